//! The two ends of an admitted request: the lane's job and the client's stream.

use super::error::JobError;
use crate::pipeline::{End, SpeechRequest};
use std::time::Duration;
use tokio::sync::mpsc;

/// Audio as it comes from a lane, in order.
///
/// Dropping it withdraws the request.
#[derive(Debug)]
pub struct SpeechStream {
    chunks: mpsc::Receiver<Result<Chunk, JobError>>,
    /// Segments that are still to come.
    left: usize,
}

/// A stretch of audio.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// Samples, within plus and minus one.
    pub pcm: Vec<f32>,
    /// Samples per second.
    pub sample_rate: u32,
    /// Speech tokens in it.
    pub tokens: usize,
    /// Time the lane took for it.
    pub took: Duration,
    /// Whether it ends a segment.
    pub ends_segment: bool,
    /// Why its segment has no more tokens, where that is known.
    pub end: Option<End>,
    /// Loops of tokens its segment was led out of.
    pub loops_broken: usize,
}

/// A request on its way to the lane.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) segments: Vec<SpeechRequest>,
    chunks: mpsc::Sender<Result<Chunk, JobError>>,
}

/// The two ends of a request.
///
/// The channel has a place for the audio of each segment and one for an error, so a slow reader never holds up the
/// lane; what a request can pile up is limited by the length of its text.
pub(super) fn pair(segments: Vec<SpeechRequest>) -> (Job, SpeechStream) {
    let (sender, chunks) = mpsc::channel(segments.len() + 1);
    let left = segments.len();
    let job = Job {
        segments,
        chunks: sender,
    };
    (job, SpeechStream { chunks, left })
}

impl SpeechStream {
    /// The next chunk; `None` after the last one.
    ///
    /// # Errors
    /// [`JobError`]; nothing comes after it.
    pub async fn next(&mut self) -> Result<Option<Chunk>, JobError> {
        if self.left == 0 {
            return Ok(None);
        }
        let next = self.chunks.recv().await.unwrap_or(Err(JobError::Stopped));
        match &next {
            Ok(chunk) => self.left -= usize::from(chunk.ends_segment),
            Err(_) => self.left = 0,
        }
        next.map(Some)
    }
}

impl Job {
    /// Whether nobody waits for the audio any more.
    pub(super) fn is_withdrawn(&self) -> bool {
        self.chunks.is_closed()
    }

    /// Hands over a chunk, or an error; a client that has gone is no failure.
    pub(super) fn send(&self, chunk: Result<Chunk, JobError>) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.chunks.try_send(chunk) {
            unreachable!("the channel has a place for each segment and for an error");
        }
    }
}
