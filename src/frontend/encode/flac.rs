//! FLAC, frame by frame.

use super::super::error::FrontendError;
use super::super::pcm;
use super::{Encoder, refused};
use flacenc::bitsink::{ByteSink, MemSink};
use flacenc::component::{BitRepr, Stream, StreamInfo};
use flacenc::error::{Verified, Verify};
use flacenc::source::{Fill, FrameBuf};
use flacenc::{config, encode_fixed_size_frame};

/// A FLAC file.
///
/// A stream of unknown length carries the zeros which the format has for "unknown"; the digest of the samples stays
/// unknown in any case, because it would have to be known before the first of them.
pub(super) struct Flac {
    config: Verified<config::Encoder>,
    info: StreamInfo,
    header: Vec<u8>,
    waiting: Vec<i32>,
    frames: usize,
}

/// Samples of a frame, as the reference encoder has them.
const BLOCK: usize = 4096;
const BITS: usize = 16;

impl Flac {
    pub(super) fn new(sample_rate: u32, samples: Option<u64>) -> Result<Self, FrontendError> {
        let refused = refused("flac");
        let config = config::Encoder::default()
            .into_verified()
            .map_err(|(_, error)| refused(Box::new(error)))?;
        let rate = usize::try_from(sample_rate).unwrap_or(usize::MAX);
        let mut stream = Stream::new(rate, 1, BITS).map_err(|error| refused(Box::new(error)))?;
        let info = stream.stream_info_mut();
        info.set_block_sizes(BLOCK, BLOCK)
            .map_err(|error| refused(Box::new(error)))?;
        if let Some(samples) = samples.and_then(|count| usize::try_from(count).ok()) {
            info.set_total_samples(samples);
        }
        let info = info.clone();
        let mut sink = ByteSink::new();
        stream
            .write(&mut sink)
            .map_err(|error| refused(error.to_string().into()))?;
        Ok(Self {
            config,
            info,
            header: sink.into_inner(),
            waiting: Vec::with_capacity(BLOCK),
            frames: 0,
        })
    }

    fn frame(&mut self, samples: &[i32], out: &mut Vec<u8>) -> Result<(), FrontendError> {
        let refused = refused("flac");
        let mut block =
            FrameBuf::with_size(1, samples.len()).map_err(|error| refused(Box::new(error)))?;
        block
            .fill_interleaved(samples)
            .map_err(|error| refused(error.to_string().into()))?;
        let frame = encode_fixed_size_frame(&self.config, &block, self.frames, &self.info)
            .map_err(|error| refused(error.to_string().into()))?;
        let mut sink = MemSink::<u8>::new();
        frame
            .write(&mut sink)
            .map_err(|error| refused(error.to_string().into()))?;
        self.frames += 1;
        out.extend(sink.into_inner());
        Ok(())
    }
}

impl Encoder for Flac {
    fn push(&mut self, samples: &[f32], out: &mut Vec<u8>) -> Result<(), FrontendError> {
        out.append(&mut self.header);
        self.waiting.extend(
            samples
                .iter()
                .map(|&sample| i32::from(pcm::i16_from_f32(sample))),
        );
        let waiting = std::mem::take(&mut self.waiting);
        let blocks = waiting.chunks_exact(BLOCK);
        self.waiting.extend(blocks.remainder());
        for block in blocks {
            self.frame(block, out)?;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), FrontendError> {
        out.append(&mut self.header);
        let last = std::mem::take(&mut self.waiting);
        if last.is_empty() {
            return Ok(());
        }
        self.frame(&last, out)
    }
}

impl std::fmt::Debug for Flac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flac")
            .field("frames", &self.frames)
            .finish_non_exhaustive()
    }
}
