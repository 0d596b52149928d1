//! WAV files: 16-bit mono PCM, samples converted as [`pcm`](super::pcm) says.

use super::error::FrontendError;
use super::pcm;
use hound::{SampleFormat, WavSpec};
use std::io::{Seek, Write};

/// Writes a whole WAV file to anything that takes bytes, standard output among them.
///
/// # Errors
/// [`FrontendError`] when the samples do not fit the format or the writer fails.
pub fn write(writer: impl Write, samples: &[f32], sample_rate: u32) -> Result<(), FrontendError> {
    let mut stream = WavStream::new(writer, sample_rate, Some(samples.len() as u64))?;
    stream.push(samples)?;
    stream.finish().map(drop)
}

/// A WAV file written in pieces to something that cannot seek.
///
/// With the length known the header is right from the start; without it the header says "endless", as players of
/// streams expect.
#[derive(Debug)]
pub struct WavStream<W> {
    writer: W,
    promised: Option<u64>,
    written: u64,
    bytes: Vec<u8>,
}

impl<W: Write> WavStream<W> {
    /// Writes the header. `samples`: how many will follow, if that is known.
    ///
    /// # Errors
    /// [`FrontendError::SampleRate`] and [`FrontendError::TooLong`] when the header has no room for the numbers.
    pub fn new(
        mut writer: W,
        sample_rate: u32,
        samples: Option<u64>,
    ) -> Result<Self, FrontendError> {
        let header = header(sample_rate, samples)?;
        writer
            .write_all(&header)
            .map_err(FrontendError::WriteAudio)?;
        Ok(Self {
            writer,
            promised: samples,
            written: 0,
            bytes: Vec::new(),
        })
    }

    /// Appends samples and flushes, so that a listener hears them now.
    ///
    /// # Errors
    /// [`FrontendError::Length`] when these are more than were promised; none of them is written then.
    pub fn push(&mut self, samples: &[f32]) -> Result<(), FrontendError> {
        let written = self.written + samples.len() as u64;
        if let Some(promised) = self.promised.filter(|promised| written > *promised) {
            return Err(FrontendError::Length { promised, written });
        }
        self.bytes.clear();
        pcm::append_le_bytes(samples, &mut self.bytes);
        self.writer
            .write_all(&self.bytes)
            .and_then(|()| self.writer.flush())
            .map_err(FrontendError::WriteAudio)?;
        self.written = written;
        Ok(())
    }

    /// Ends the file and gives the writer back.
    ///
    /// # Errors
    /// [`FrontendError::Length`] when fewer samples came than were promised.
    pub fn finish(self) -> Result<W, FrontendError> {
        match self.promised {
            Some(promised) if promised != self.written => Err(FrontendError::Length {
                promised,
                written: self.written,
            }),
            _ => Ok(self.writer),
        }
    }
}

/// A WAV file of unknown length written in pieces to something that can seek: the header is set right at the end.
pub struct WavFile<W: Write + Seek> {
    writer: hound::WavWriter<W>,
}

impl<W: Write + Seek> WavFile<W> {
    /// Writes a header for an empty file. `writer` should buffer.
    ///
    /// # Errors
    /// [`FrontendError::SampleRate`] when the header has no room for the rate, [`FrontendError::WriteAudio`] when the
    /// writer fails.
    pub fn new(writer: W, sample_rate: u32) -> Result<Self, FrontendError> {
        let writer = hound::WavWriter::new(writer, spec(sample_rate)?).map_err(write_error)?;
        Ok(Self { writer })
    }

    /// Appends samples.
    ///
    /// # Errors
    /// [`FrontendError::TooLong`] when the file is full; none of the samples is written then.
    pub fn push(&mut self, samples: &[f32]) -> Result<(), FrontendError> {
        check_length(u64::from(self.writer.len()) + samples.len() as u64)?;
        samples
            .iter()
            .try_for_each(|&sample| self.writer.write_sample(pcm::i16_from_f32(sample)))
            .map_err(write_error)
    }

    /// Sets the header right and flushes.
    ///
    /// # Errors
    /// [`FrontendError::WriteAudio`] when the writer fails.
    pub fn finish(self) -> Result<(), FrontendError> {
        self.writer.finalize().map_err(write_error)
    }
}

impl<W: Write + Seek> std::fmt::Debug for WavFile<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WavFile")
            .field("samples", &self.writer.len())
            .finish_non_exhaustive()
    }
}

const BYTES_PER_SAMPLE: u32 = 2;
/// The header holds the data's length and, eight bytes in, that of all that follows, in 32 bits each.
const MAX_SAMPLES: u64 = ((u32::MAX - HEADER_BYTES) / BYTES_PER_SAMPLE) as u64;
/// The header holds bytes per second in 32 bits.
const MAX_RATE_HZ: u32 = u32::MAX / BYTES_PER_SAMPLE;
const HEADER_BYTES: u32 = 44;
const RIFF_LENGTH_AT: usize = 4;
const DATA_LENGTH_AT: usize = 40;

fn header(sample_rate: u32, samples: Option<u64>) -> Result<Vec<u8>, FrontendError> {
    let mut header = spec(sample_rate)?.into_header_for_infinite_file();
    if let Some(samples) = samples {
        let data_bytes = check_length(samples)? * BYTES_PER_SAMPLE;
        let riff_bytes = data_bytes + HEADER_BYTES - 8;
        header[RIFF_LENGTH_AT..][..4].copy_from_slice(&riff_bytes.to_le_bytes());
        header[DATA_LENGTH_AT..][..4].copy_from_slice(&data_bytes.to_le_bytes());
    }
    Ok(header)
}

fn spec(sample_rate: u32) -> Result<WavSpec, FrontendError> {
    if !(1..=MAX_RATE_HZ).contains(&sample_rate) {
        return Err(FrontendError::SampleRate {
            sample_rate,
            max_hz: MAX_RATE_HZ,
        });
    }
    Ok(WavSpec {
        channels: 1,
        sample_rate,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    })
}

fn check_length(samples: u64) -> Result<u32, FrontendError> {
    u32::try_from(samples)
        .ok()
        .filter(|count| u64::from(*count) <= MAX_SAMPLES)
        .ok_or(FrontendError::TooLong {
            samples,
            max_samples: MAX_SAMPLES,
        })
}

fn write_error(error: hound::Error) -> FrontendError {
    FrontendError::WriteAudio(match error {
        hound::Error::IoError(error) => error,
        other => std::io::Error::other(other),
    })
}
