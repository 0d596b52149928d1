//! What can be wrong with a prompt's audio.

use super::clip::MAX_RATE_HZ;
use crate::hint::{Class, Hint};
use crate::tensor::ShapeError;
use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use symphonia::core::errors::Error as StreamError;

/// What can be wrong with a prompt's audio.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AudioError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is larger than the caller allows.
    #[error("the audio file has more than {max_bytes} bytes")]
    TooManyBytes {
        /// Bytes allowed.
        max_bytes: u64,
    },
    /// The bytes are none of the formats read here.
    #[error("this is no WAV, FLAC, MP3 or Ogg Vorbis file")]
    UnknownFormat,
    /// The file holds audio, in a coding that is not read here.
    #[error("the audio file uses a coding that is not supported")]
    UnsupportedCoding(#[source] StreamError),
    /// The file does not follow its format.
    #[error("the audio file is broken")]
    Broken(#[source] StreamError),
    /// A chunk a WAV file must have is missing, or comes too late.
    #[error("the WAV file has no `{id}` chunk where one must be")]
    MissingChunk {
        /// The chunk's name.
        id: &'static str,
    },
    /// A WAV file's chunk is longer than what is left of the file.
    #[error(
        "the WAV file's `{}` chunk claims {promised} bytes, {left} are left", id.escape_ascii()
    )]
    ChunkLength {
        /// The chunk's name.
        id: [u8; 4],
        /// Bytes by its header.
        promised: u64,
        /// Bytes there are.
        left: u64,
    },
    /// The file ends before the audio its header promised.
    #[error("the audio file promises {promised} samples and holds {found}")]
    CutShort {
        /// Samples by the header.
        promised: u64,
        /// Samples decoded.
        found: u64,
    },
    /// A channel count that cannot be.
    #[error("{channels} channels: 1 to {max_channels} are possible")]
    Channels {
        /// Channels by the header.
        channels: u16,
        /// The most taken.
        max_channels: u16,
    },
    /// A WAV file places channels where no speaker is.
    #[error("the channel mask {mask:#010x} names speakers there are none of")]
    ChannelMask {
        /// One bit per speaker.
        mask: u32,
    },
    /// A sample rate that cannot be.
    #[error("{rate_hz} Hz is not a sample rate: 1 to {MAX_RATE_HZ}")]
    Rate {
        /// The rate.
        rate_hz: u32,
    },
    /// Rate or channels change in the middle.
    #[error("sample rate or channels change within the audio file")]
    Changed,
    /// A sample is infinite or no number.
    #[error("sample {sample} is not a finite number")]
    NotFinite {
        /// Its index.
        sample: usize,
    },
    /// The sample rate leaves out what the models listen to.
    #[error("the audio has {rate_hz} samples per second, at least {min_hz} are needed")]
    LowRate {
        /// The rate.
        rate_hz: u32,
        /// The least taken.
        min_hz: u32,
    },
    /// Longer than the speech tokenizer takes, or than the caller allows.
    #[error("the audio is longer than {max_seconds} s")]
    TooLong {
        /// Seconds allowed.
        max_seconds: u32,
    },
    /// Too short to hold a voice.
    #[error("the audio has {ms} ms, at least {min_ms} are needed")]
    TooShort {
        /// Its duration.
        ms: u64,
        /// The least taken.
        min_ms: u64,
    },
    /// Nothing to hear.
    #[error("the audio is silent: no sample exceeds {peak:.6} of full scale")]
    Silent {
        /// The largest magnitude.
        peak: f32,
    },
    /// Fewer samples than one window of a transform.
    #[error("{samples} samples, this transform needs {min_samples}")]
    FewSamples {
        /// Samples there are.
        samples: usize,
        /// Samples needed.
        min_samples: usize,
    },
    /// A transform with impossible dimensions.
    #[error("`{field}` cannot be {value} in a mel transform")]
    MelSpec {
        /// The parameter.
        field: &'static str,
        /// Its value.
        value: usize,
    },
    /// More frames than a tensor holds.
    #[error("the features do not fit into a tensor")]
    Shape(#[from] ShapeError),
}

impl Hint for AudioError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::UnknownFormat | Self::UnsupportedCoding(_) => {
                "convert it first: ffmpeg -i IN -ac 1 -c:a pcm_s16le OUT.wav".into()
            }
            Self::Broken(_)
            | Self::MissingChunk { .. }
            | Self::ChunkLength { .. }
            | Self::CutShort { .. }
            | Self::NotFinite { .. } => {
                "copy the file again, or write it anew: ffmpeg -i IN -c:a pcm_s16le OUT.wav".into()
            }
            Self::TooLong { max_seconds } => {
                format!("cut it: ffmpeg -t {max_seconds} -i IN OUT.wav").into()
            }
            Self::LowRate { min_hz, .. } => {
                format!("use a recording made with {min_hz} samples per second or more").into()
            }
            Self::TooShort { .. } | Self::Silent { .. } => {
                "use a recording with a few seconds of clear speech".into()
            }
            _ => return None,
        })
    }

    fn class(&self) -> Class {
        Class::Input
    }
}
