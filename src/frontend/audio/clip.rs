//! Mono audio in memory.

use super::decode::{self, DecodeLimits};
use super::error::AudioError;
use super::resample::resample;
use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Samples per second of the fastest audio taken; above every converter there is.
pub const MAX_RATE_HZ: u32 = 384_000;

/// Mono audio: finite samples, full scale at ±1, and a rate of 1 to [`MAX_RATE_HZ`].
#[derive(Debug, Clone, PartialEq)]
pub struct Clip {
    samples: Vec<f32>,
    rate_hz: u32,
}

impl Clip {
    /// A clip from samples.
    ///
    /// # Errors
    /// [`AudioError::Rate`] for a rate out of range, [`AudioError::NotFinite`] for a sample that is no number.
    pub fn new(samples: Vec<f32>, rate_hz: u32) -> Result<Self, AudioError> {
        check_rate(rate_hz)?;
        if let Some(sample) = samples.iter().position(|sample| !sample.is_finite()) {
            return Err(AudioError::NotFinite { sample });
        }
        Ok(Self { samples, rate_hz })
    }

    /// Decodes a WAV, FLAC, MP3 or Ogg Vorbis file held in memory; channels are averaged.
    ///
    /// # Errors
    /// [`AudioError`] when the bytes are no such file, are broken or exceed `limits`.
    pub fn decode(file: &[u8], limits: DecodeLimits) -> Result<Self, AudioError> {
        decode::decode(file, limits)
    }

    /// Reads and decodes a file, as [`Self::decode`].
    ///
    /// # Errors
    /// [`AudioError::Read`] when the file cannot be read, else as [`Self::decode`].
    pub fn open(path: &Path, limits: DecodeLimits) -> Result<Self, AudioError> {
        let read = |source| AudioError::Read {
            path: path.to_owned(),
            source,
        };
        let mut bytes = Vec::new();
        File::open(path)
            .map_err(read)?
            .take(limits.max_bytes.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(read)?;
        Self::decode(&bytes, limits)
    }

    /// The samples.
    pub fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// Samples per second.
    pub fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Duration.
    #[expect(
        clippy::cast_precision_loss,
        reason = "clips have far fewer than 2^52 samples"
    )]
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.rate_hz)
    }

    /// The samples at another rate.
    ///
    /// # Errors
    /// [`AudioError::Rate`] for a rate out of range.
    pub fn at_rate(&self, rate_hz: u32) -> Result<Cow<'_, [f32]>, AudioError> {
        if rate_hz == self.rate_hz {
            return Ok(Cow::Borrowed(&self.samples));
        }
        resample(&self.samples, self.rate_hz, rate_hz).map(Cow::Owned)
    }
}

pub(super) fn check_rate(rate_hz: u32) -> Result<(), AudioError> {
    if (1..=MAX_RATE_HZ).contains(&rate_hz) {
        return Ok(());
    }
    Err(AudioError::Rate { rate_hz })
}
