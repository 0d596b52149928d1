//! Opus in Ogg.

use super::super::error::FrontendError;
use super::{Encoder, refused};
use opus_pure::{Application, MAX_PACKET_BYTES, OggOpusWriter, OpusEncoder, OpusHead};

/// An Opus file.
pub(super) struct Opus {
    encoder: OpusEncoder,
    /// Gone once the file is finished.
    writer: Option<OggOpusWriter<Vec<u8>>>,
    /// Samples of a packet.
    block: usize,
    /// 48 kHz ticks per sample.
    ticks: u64,
    /// Ticks the encoder is behind its input.
    delay: u64,
    waiting: Vec<f32>,
    samples: u64,
    packet: Vec<u8>,
}

/// Rates the format codes.
const RATES: [u32; 5] = [8_000, 12_000, 16_000, 24_000, 48_000];
const TICKS_PER_SECOND: u32 = 48_000;
const PACKETS_PER_SECOND: usize = 50;
const BITS_PER_SECOND: i32 = 48_000;

impl Opus {
    pub(super) fn new(sample_rate: u32) -> Result<Self, FrontendError> {
        let refused = refused("opus");
        let rate = i32::try_from(sample_rate)
            .ok()
            .filter(|_| RATES.contains(&sample_rate))
            .ok_or_else(|| refused(format!("it cannot hold {sample_rate} Hz").into()))?;
        let mut encoder = OpusEncoder::new(rate, 1, Application::Audio)
            .map_err(|error| refused(Box::new(error)))?;
        encoder.bitrate_bps = BITS_PER_SECOND;
        let head = OpusHead::for_encoder(&encoder, sample_rate);
        let delay = u64::from(head.pre_skip);
        let writer =
            OggOpusWriter::new(Vec::new(), head).map_err(|error| refused(Box::new(error)))?;
        Ok(Self {
            encoder,
            writer: Some(writer),
            block: usize::try_from(sample_rate).unwrap_or(usize::MAX) / PACKETS_PER_SECOND,
            ticks: u64::from(TICKS_PER_SECOND / sample_rate),
            delay,
            waiting: Vec::new(),
            samples: 0,
            packet: vec![0; MAX_PACKET_BYTES],
        })
    }

    fn writer(&mut self) -> &mut OggOpusWriter<Vec<u8>> {
        self.writer
            .as_mut()
            .expect("nothing is pushed after the end")
    }

    /// Encodes a block; `ticks`: how much of it is heard, where that is not all.
    fn packet(&mut self, block: &[f32], ticks: Option<u32>) -> Result<(), FrontendError> {
        let refused = refused("opus");
        let bytes = self
            .encoder
            .encode(block, self.block, &mut self.packet)
            .map_err(|error| refused(Box::new(error)))?;
        let packet = std::mem::take(&mut self.packet);
        let written = match ticks {
            Some(ticks) => self
                .writer()
                .write_packet_with_duration(&packet[..bytes], ticks),
            None => self.writer().write_packet(&packet[..bytes]),
        };
        self.packet = packet;
        written.map_err(|error| refused(Box::new(error)))
    }

    fn written(&self) -> u64 {
        let granule = self.writer.as_ref().map_or(0, OggOpusWriter::granule);
        u64::try_from(granule).unwrap_or(0)
    }

    /// Moves the pages that are complete to `out`.
    fn give(&mut self, out: &mut Vec<u8>) {
        if let Some(pages) = self.writer().get_mut() {
            out.append(pages);
        }
    }
}

impl Encoder for Opus {
    fn push(&mut self, samples: &[f32], out: &mut Vec<u8>) -> Result<(), FrontendError> {
        self.samples += samples.len() as u64;
        self.waiting.extend(samples);
        let waiting = std::mem::take(&mut self.waiting);
        let blocks = waiting.chunks_exact(self.block);
        self.waiting.extend(blocks.remainder());
        for block in blocks {
            self.packet(block, None)?;
        }
        self.give(out);
        Ok(())
    }

    /// The encoder's delay is fed as silence, so that the last samples come out; the last page says where they end.
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), FrontendError> {
        let end = self.delay + self.samples * self.ticks;
        let mut block = std::mem::take(&mut self.waiting);
        loop {
            block.resize(self.block, 0.0);
            let left = end.saturating_sub(self.written());
            let whole = self.block as u64 * self.ticks;
            if left <= whole {
                self.packet(&block, Some(u32::try_from(left).unwrap_or(0)))?;
                break;
            }
            self.packet(&block, None)?;
            block.clear();
        }
        let writer = self.writer.take().expect("a file is finished once");
        let pages = writer
            .finish()
            .map_err(|error| refused("opus")(Box::new(error)))?;
        out.extend(pages);
        Ok(())
    }
}

impl std::fmt::Debug for Opus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opus")
            .field("samples", &self.samples)
            .finish_non_exhaustive()
    }
}
