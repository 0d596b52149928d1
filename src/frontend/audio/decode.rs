//! Audio files to mono samples.

use super::clip::{Clip, check_rate};
use super::error::AudioError;
use super::riff;
use std::io::{Cursor, ErrorKind};
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as StreamError;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{
    MediaSource, MediaSourceStream, MediaSourceStreamOptions, ReadOnlySource,
};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;

/// What a file may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Bytes of the file.
    pub max_bytes: u64,
    /// Seconds of audio; decoding stops as soon as there are more.
    pub max_seconds: u32,
}

impl Default for DecodeLimits {
    /// Thirty seconds, and the bytes they have in 192 kHz stereo floats.
    fn default() -> Self {
        Self {
            max_bytes: 64 << 20,
            max_seconds: super::MAX_SECONDS,
        }
    }
}

/// Decodes the first audio track; channels are averaged.
///
/// A header that promises more than there is, is an error. MP3 without a length tag, Ogg and WAV of unknown length
/// promise nothing: where they end is the end.
pub(super) fn decode(file: &[u8], limits: DecodeLimits) -> Result<Clip, AudioError> {
    if file.len() as u64 > limits.max_bytes {
        return Err(AudioError::TooManyBytes {
            max_bytes: limits.max_bytes,
        });
    }
    let file = without_id3v2(file);
    riff::check(file)?;
    let mut format = open(file)?;
    let track = format
        .default_track(TrackType::Audio)
        .ok_or(AudioError::UnknownFormat)?;
    let (track_id, promised) = (track.id, track.num_frames);
    let Some(CodecParameters::Audio(parameters)) = &track.codec_params else {
        return Err(AudioError::UnknownFormat);
    };
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(parameters, &AudioDecoderOptions::default())
        .map_err(stream_error)?;

    let mut mix = Downmix::new(limits.max_seconds);
    loop {
        match format.next_packet() {
            Ok(Some(packet)) if packet.track_id == track_id => {
                mix.push(decoder.as_mut(), &packet)?;
            }
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) if promised.is_none() && is_end_of_file(&error) => break,
            Err(error) => return Err(stream_error(error)),
        }
    }
    mix.finish(promised)
}

fn open(file: &[u8]) -> Result<Box<dyn FormatReader + '_>, AudioError> {
    let stream = MediaSourceStream::new(source(file), MediaSourceStreamOptions::default());
    symphonia::default::get_probe()
        .probe(
            &Hint::new(),
            stream,
            FormatOptions::default(),
            MetadataOptions::default(),
        )
        .map_err(|error| match error {
            // The probe ends so when nothing it knows begins anywhere in the file.
            StreamError::IoError(_) | StreamError::Unsupported(_) => AudioError::UnknownFormat,
            broken => AudioError::Broken(broken),
        })
}

/// The bytes as the decoder reads them.
///
/// From a seekable MP3 without a length tag the decoder guesses the length by the first frames' bit rate, and cuts the
/// audio there.
fn source(file: &[u8]) -> Box<dyn MediaSource + '_> {
    let promises_length = [b"RIFF", b"fLaC", b"OggS"]
        .iter()
        .any(|magic| file.starts_with(*magic));
    if promises_length {
        Box::new(Cursor::new(file))
    } else {
        Box::new(ReadOnlySource::new(Cursor::new(file)))
    }
}

/// The file behind its `ID3v2` tag, which may be longer than the decoder looks for audio.
fn without_id3v2(file: &[u8]) -> &[u8] {
    const FOOTER: u8 = 0x10;
    let Some([b'I', b'D', b'3', _, _, flags, length @ ..]) = file.first_chunk::<10>() else {
        return file;
    };
    let body = length
        .iter()
        .fold(0, |sum, &byte| sum << 7 | usize::from(byte & 0x7f));
    let footer = if flags & FOOTER == 0 { 0 } else { 10 };
    file.get(10 + body + footer..).unwrap_or_default()
}

/// The mean over channels, as it grows.
struct Downmix {
    max_seconds: u32,
    rate_hz: Option<u32>,
    samples: Vec<f32>,
    interleaved: Vec<f32>,
}

impl Downmix {
    fn new(max_seconds: u32) -> Self {
        Self {
            max_seconds,
            rate_hz: None,
            samples: Vec::new(),
            interleaved: Vec::new(),
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "channel counts are far below 2^23"
    )]
    fn push(&mut self, decoder: &mut dyn AudioDecoder, packet: &Packet) -> Result<(), AudioError> {
        let audio = decoder.decode(packet).map_err(stream_error)?;
        let rate_hz = audio.spec().rate();
        let channels = audio.spec().channels().count();
        check_rate(rate_hz)?;
        if channels == 0 || self.rate_hz.is_some_and(|before| before != rate_hz) {
            return Err(AudioError::Changed);
        }
        self.rate_hz = Some(rate_hz);
        audio.copy_to_vec_interleaved(&mut self.interleaved);
        self.samples.extend(
            self.interleaved
                .chunks_exact(channels)
                .map(|frame| frame.iter().sum::<f32>() / channels as f32),
        );
        if self.samples.len() as u64 > u64::from(self.max_seconds) * u64::from(rate_hz) {
            return Err(AudioError::TooLong {
                max_seconds: self.max_seconds,
            });
        }
        Ok(())
    }

    fn finish(self, promised: Option<u64>) -> Result<Clip, AudioError> {
        let found = self.samples.len() as u64;
        if let Some(promised) = promised.filter(|&promised| promised > found) {
            return Err(AudioError::CutShort { promised, found });
        }
        match self.rate_hz {
            Some(rate_hz) => Clip::new(self.samples, rate_hz),
            None => Err(AudioError::FewSamples {
                samples: 0,
                min_samples: 1,
            }),
        }
    }
}

fn is_end_of_file(error: &StreamError) -> bool {
    matches!(error, StreamError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof)
}

fn stream_error(error: StreamError) -> AudioError {
    match error {
        StreamError::Unsupported(_) => AudioError::UnsupportedCoding(error),
        StreamError::ResetRequired => AudioError::Changed,
        _ => AudioError::Broken(error),
    }
}
