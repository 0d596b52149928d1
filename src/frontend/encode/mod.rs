//! Samples to the audio formats an answer can have, in pieces as they come.

mod flac;
#[cfg(feature = "mp3")]
mod mp3;
mod opus;
mod plain;

#[cfg(test)]
mod tests;

use super::error::FrontendError;
use std::error::Error;
use std::fmt;

/// An audio format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AudioFormat {
    /// MPEG layer 3, 128 kbit/s.
    #[cfg(feature = "mp3")]
    Mp3,
    /// WAV, 16-bit.
    Wav,
    /// 16-bit little-endian samples and nothing else.
    Pcm,
    /// FLAC, 16-bit.
    Flac,
    /// Opus in Ogg, 48 kbit/s.
    Opus,
}

/// Turns mono samples into bytes of one format, piece by piece.
pub trait Encoder: fmt::Debug + Send {
    /// Appends what these samples become to `out`. A format with frames keeps the rest for the next call.
    ///
    /// # Errors
    /// [`FrontendError`].
    fn push(&mut self, samples: &[f32], out: &mut Vec<u8>) -> Result<(), FrontendError>;

    /// Appends what is left.
    ///
    /// # Errors
    /// [`FrontendError`].
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), FrontendError>;
}

impl AudioFormat {
    /// Every format that is compiled in.
    pub const ALL: &'static [Self] = &[
        #[cfg(feature = "mp3")]
        Self::Mp3,
        Self::Wav,
        Self::Pcm,
        Self::Flac,
        Self::Opus,
    ];

    /// The format's name in requests.
    pub const fn as_str(self) -> &'static str {
        match self {
            #[cfg(feature = "mp3")]
            Self::Mp3 => "mp3",
            Self::Wav => "wav",
            Self::Pcm => "pcm",
            Self::Flac => "flac",
            Self::Opus => "opus",
        }
    }

    /// The format with this name, if it is compiled in.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|format| format.as_str() == name)
    }

    /// The media type of an answer.
    pub const fn content_type(self) -> &'static str {
        match self {
            #[cfg(feature = "mp3")]
            Self::Mp3 => "audio/mpeg",
            Self::Wav => "audio/wav",
            Self::Pcm => "audio/pcm",
            Self::Flac => "audio/flac",
            Self::Opus => "audio/ogg",
        }
    }

    /// Starts a file.
    ///
    /// `samples`: how many will come, where that is known; a header then says so.
    ///
    /// # Errors
    /// [`FrontendError`] when the format has no room for the rate or the length.
    pub fn encoder(
        self,
        sample_rate: u32,
        samples: Option<u64>,
    ) -> Result<Box<dyn Encoder>, FrontendError> {
        Ok(match self {
            #[cfg(feature = "mp3")]
            Self::Mp3 => Box::new(mp3::Mp3::new(sample_rate)?),
            Self::Wav => Box::new(plain::Wav::new(sample_rate, samples)?),
            Self::Pcm => Box::new(plain::Pcm),
            Self::Flac => Box::new(flac::Flac::new(sample_rate, samples)?),
            Self::Opus => Box::new(opus::Opus::new(sample_rate)?),
        })
    }

    /// A whole file.
    ///
    /// # Errors
    /// [`FrontendError`] as [`Self::encoder`] and the encoder give it.
    pub fn encode(self, samples: &[f32], sample_rate: u32) -> Result<Vec<u8>, FrontendError> {
        let mut bytes = Vec::new();
        let mut encoder = self.encoder(sample_rate, Some(samples.len() as u64))?;
        encoder.push(samples, &mut bytes)?;
        encoder.finish(&mut bytes)?;
        Ok(bytes)
    }
}

fn refused(
    format: &'static str,
) -> impl Fn(Box<dyn Error + Send + Sync + 'static>) -> FrontendError {
    move |source| FrontendError::EncodeAudio { format, source }
}
