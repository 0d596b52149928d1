//! Formats that are samples with little around them.

use super::super::error::FrontendError;
use super::super::pcm;
use super::super::wav::WavStream;
use super::Encoder;

/// 16-bit little-endian samples.
#[derive(Debug)]
pub(super) struct Pcm;

/// A WAV file.
#[derive(Debug)]
pub(super) struct Wav {
    stream: WavStream<Vec<u8>>,
}

impl Encoder for Pcm {
    fn push(&mut self, samples: &[f32], out: &mut Vec<u8>) -> Result<(), FrontendError> {
        pcm::append_le_bytes(samples, out);
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<u8>) -> Result<(), FrontendError> {
        Ok(())
    }
}

impl Wav {
    pub(super) fn new(sample_rate: u32, samples: Option<u64>) -> Result<Self, FrontendError> {
        let stream = WavStream::new(Vec::new(), sample_rate, samples)?;
        Ok(Self { stream })
    }
}

impl Encoder for Wav {
    fn push(&mut self, samples: &[f32], out: &mut Vec<u8>) -> Result<(), FrontendError> {
        self.stream.push(samples)?;
        out.append(self.stream.writer_mut());
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), FrontendError> {
        // A file without samples still has its header to give.
        out.append(self.stream.writer_mut());
        self.stream.check_length()
    }
}
