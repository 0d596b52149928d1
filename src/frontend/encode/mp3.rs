//! MP3 by LAME.

use super::super::error::FrontendError;
use super::super::pcm;
use super::{Encoder, refused};
use mp3lame_encoder::{
    Bitrate, Builder, Encoder as Lame, FlushNoGap, Mode, MonoPcm, Quality, max_required_buffer_size,
};

/// An MP3 file of constant bit rate, so that it needs no header that knows its length.
pub(super) struct Mp3 {
    lame: Lame,
}

/// Room LAME asks for when it gives its last frames.
const FLUSH_BYTES: usize = 7200;

impl Mp3 {
    pub(super) fn new(sample_rate: u32) -> Result<Self, FrontendError> {
        let refused = refused("mp3");
        let failed = |error: mp3lame_encoder::BuildError| refused(Box::new(error));
        let builder = Builder::new().ok_or_else(|| refused("LAME has no memory".into()))?;
        let lame = builder
            .with_num_channels(1)
            .and_then(|builder| builder.with_sample_rate(sample_rate))
            .and_then(|builder| builder.with_mode(Mode::Mono))
            .and_then(|builder| builder.with_brate(Bitrate::Kbps128))
            .and_then(|builder| builder.with_quality(Quality::Good))
            .and_then(|builder| builder.with_to_write_vbr_tag(false))
            .and_then(Builder::build)
            .map_err(failed)?;
        Ok(Self { lame })
    }
}

impl Encoder for Mp3 {
    fn push(&mut self, samples: &[f32], out: &mut Vec<u8>) -> Result<(), FrontendError> {
        let samples: Vec<i16> = samples
            .iter()
            .map(|&sample| pcm::i16_from_f32(sample))
            .collect();
        out.reserve(max_required_buffer_size(samples.len()));
        self.lame
            .encode_to_vec(MonoPcm(&samples), out)
            .map(drop)
            .map_err(|error| refused("mp3")(Box::new(error)))
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), FrontendError> {
        out.reserve(FLUSH_BYTES);
        self.lame
            .flush_to_vec::<FlushNoGap>(out)
            .map(drop)
            .map_err(|error| refused("mp3")(Box::new(error)))
    }
}

impl std::fmt::Debug for Mp3 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mp3").finish_non_exhaustive()
    }
}
