//! WAV files: 16-bit mono PCM, samples converted as [`super::pcm`] says.

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

    /// Where the bytes go.
    pub fn writer_mut(&mut self) -> &mut W {
        &mut self.writer
    }

    /// Whether as many samples came as were promised.
    ///
    /// # Errors
    /// [`FrontendError::Length`] when fewer did.
    pub fn check_length(&self) -> Result<(), FrontendError> {
        match self.promised {
            Some(promised) if promised != self.written => Err(FrontendError::Length {
                promised,
                written: self.written,
            }),
            _ => Ok(()),
        }
    }

    /// Ends the file and gives the writer back.
    ///
    /// # Errors
    /// [`FrontendError::Length`] when fewer samples came than were promised.
    pub fn finish(self) -> Result<W, FrontendError> {
        self.check_length()?;
        Ok(self.writer)
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::{BufWriter, Cursor};

    /// Rate and samples of a WAV file, as another reader understands it.
    fn read(file: &[u8]) -> (u32, Vec<i16>) {
        let reader = hound::WavReader::new(file).expect("a WAV file");
        let spec = reader.spec();
        assert_eq!((spec.channels, spec.bits_per_sample), (1, 16));
        let samples = reader
            .into_samples()
            .collect::<Result<_, _>>()
            .expect("samples");
        (spec.sample_rate, samples)
    }

    /// Takes bytes and cannot seek; counts how often it was flushed.
    #[derive(Debug, Default)]
    struct Pipe {
        bytes: Vec<u8>,
        flushes: usize,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.bytes.extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            self.flushes += 1;
            Ok(())
        }
    }

    #[test]
    fn a_stream_of_unknown_length_has_an_endless_header() {
        let mut stream = WavStream::new(Pipe::default(), 24_000, None).expect("a header");
        for piece in [&[0.5; 3][..], &[], &[-0.5; 2]] {
            stream.push(piece).expect("written");
        }
        let pipe = stream.finish().expect("nothing was promised");
        assert_eq!(pipe.flushes, 3, "each piece is heard at once");
        assert_eq!(pipe.bytes[RIFF_LENGTH_AT..][..4], [0xff; 4]);
        assert_eq!(pipe.bytes[DATA_LENGTH_AT..][..4], [0xff; 4]);
        let samples = &pipe.bytes[HEADER_BYTES as usize..];
        assert_eq!(samples[..2], 16_384_i16.to_le_bytes());
        assert_eq!(samples.len(), 5 * 2);
    }

    #[test]
    fn a_promised_length_is_kept_or_an_error() {
        let mut stream = WavStream::new(Pipe::default(), 24_000, Some(2)).expect("a header");
        stream.push(&[0.0]).expect("written");
        let error = stream.push(&[0.0; 2]).expect_err("one too many");
        assert!(matches!(
            error,
            FrontendError::Length {
                promised: 2,
                written: 3
            }
        ));
        let error = stream.finish().expect_err("one is missing");
        assert!(matches!(
            error,
            FrontendError::Length {
                promised: 2,
                written: 1
            }
        ));
    }

    #[test]
    fn numbers_the_header_has_no_room_for_are_refused() {
        for rate in [0, MAX_RATE_HZ + 1, u32::MAX] {
            let error = write(Pipe::default(), &[], rate).expect_err("no rate");
            assert!(matches!(error, FrontendError::SampleRate { .. }));
            assert!(WavFile::new(Cursor::new(Vec::new()), rate).is_err());
        }
        WavStream::new(Pipe::default(), MAX_RATE_HZ, Some(MAX_SAMPLES))
            .expect("the most there is room for");
        for samples in [MAX_SAMPLES + 1, u64::MAX] {
            let error =
                WavStream::new(Pipe::default(), 24_000, Some(samples)).expect_err("too long");
            assert!(matches!(error, FrontendError::TooLong { .. }));
        }
    }

    #[test]
    fn a_failing_writer_is_an_error() {
        let mut short = [0; 45];
        let error = write(&mut short[..], &[0.0; 100], 24_000).expect_err("no room");
        assert!(matches!(error, FrontendError::WriteAudio(_)));
    }

    proptest! {
        #[test]
        fn every_way_of_writing_reads_back(
            pieces in prop::collection::vec(prop::collection::vec(-1.5..1.5_f32, 0..50), 0..5),
            rate in 1..400_000_u32,
        ) {
            let samples = pieces.concat();
            let mut whole = Pipe::default();
            write(&mut whole, &samples, rate).expect("written");

            let mut stream = WavStream::new(Pipe::default(), rate, Some(samples.len() as u64)).expect("a header");
            let mut seekable = Cursor::new(Vec::new());
            let mut file = WavFile::new(BufWriter::new(&mut seekable), rate).expect("a header");
            for piece in &pieces {
                stream.push(piece).expect("written");
                file.push(piece).expect("written");
            }
            file.finish().expect("written");
            prop_assert_eq!(&stream.finish().expect("as promised").bytes, &whole.bytes);
            prop_assert_eq!(&seekable.into_inner(), &whole.bytes);

            let (read_rate, read_samples) = read(&whole.bytes);
            prop_assert_eq!(read_rate, rate);
            prop_assert_eq!(read_samples.len(), samples.len());
            for (value, sample) in read_samples.iter().zip(&samples) {
                let clipped = sample.clamp(-1.0, 32_767.0 / 32_768.0);
                prop_assert!((f32::from(*value) / 32_768.0 - clipped).abs() <= 0.5 / 32_768.0, "{} {}", value, sample);
            }
        }
    }
}
