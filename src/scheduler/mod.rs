//! Requests in, audio out: admission, the queue, and the lane that works it off.
//!
//! A [`Scheduler`] owns a lane: a thread with one [`Speaker`]. [`Scheduler::submit`] admits a request or refuses it at
//! once, so the queue is as long as it may be and no longer. An admitted request is a [`SpeechStream`]; dropping it
//! withdraws the request, from the queue at once and from the lane before its next piece of work.

mod error;
mod lane;
mod queue;
mod speaker;
mod stream;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

pub use error::{JobError, Refused};
pub use queue::{Limits, Load, Readiness};
pub use speaker::{HearError, LaneSpeaker, Recording, Speaker, SpeakerError};
pub use stream::{Chunk, SpeechStream};

use crate::bundle::Voice;
use crate::deploy::WarmRun;
use crate::pipeline::SpeechRequest;
use lane::Lane;
use queue::{Answer, Queue, Work};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// Opens a speaker; called on the lane's thread, again after a panic.
pub type OpenSpeaker = Box<dyn FnMut() -> Result<Box<dyn Speaker>, SpeakerError> + Send>;

/// Admits requests and has them spoken, one after the other.
#[derive(Debug)]
pub struct Scheduler {
    queue: Arc<Queue>,
    lane: Mutex<Option<JoinHandle<()>>>,
}

impl Scheduler {
    /// Starts the lane's thread, which opens its speaker and makes it warm. Requests are admitted meanwhile, and wait.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(name: &str, open: OpenSpeaker, limits: Limits) -> io::Result<Self> {
        let queue = Arc::new(Queue::new(limits));
        let lane = Lane::new(Arc::clone(&queue), open);
        // Of the level that is always heard, so that every line of the thread says whose it is.
        let span = tracing::error_span!(parent: None, "lane", model = name);
        let thread = std::thread::Builder::new()
            .name(format!("lane {name}"))
            .spawn(move || span.in_scope(|| lane.work()))?;
        Ok(Self {
            queue,
            lane: Mutex::new(Some(thread)),
        })
    }

    /// Admits the segments of one text, to be spoken in order.
    ///
    /// # Errors
    /// [`Refused`] when the queue is full, the scheduler is closed, or its lane cannot be opened.
    pub fn submit(&self, segments: Vec<SpeechRequest>) -> Result<SpeechStream, Refused> {
        let (job, stream) = stream::pair(segments);
        self.queue.admit(Work::Speak(job))?;
        Ok(stream)
    }

    /// Has the lane make a voice of a recording, between two requests.
    ///
    /// # Errors
    /// [`TaskError::Refused`] as for a request, [`TaskError::Failed`] when the recording cannot be used.
    pub async fn hear(&self, recording: Recording) -> Result<Voice, TaskError> {
        self.done(|answer| Work::Hear(recording, answer)).await
    }

    /// Has the lane run every graph at its opt shapes, between two requests.
    ///
    /// # Errors
    /// [`TaskError::Refused`] as for a request, [`TaskError::Failed`] when a graph does not run.
    pub async fn warm_up(&self) -> Result<Vec<WarmRun>, TaskError> {
        self.done(Work::WarmUp).await
    }

    async fn done<T>(&self, work: impl FnOnce(Answer<T>) -> Work) -> Result<T, TaskError> {
        let (answer, answered) = oneshot::channel();
        self.queue.admit(work(answer))?;
        Ok(answered.await.map_err(|_| JobError::Stopped)??)
    }

    /// Whether the lane can speak what is submitted now.
    pub fn readiness(&self) -> Readiness {
        self.queue.readiness()
    }

    /// Ends when the lane can do nothing more in this process, with the reason; else never.
    pub fn lost(&self) -> impl Future<Output = Arc<SpeakerError>> + Send + 'static {
        let mut losses = self.queue.losses();
        async move {
            let told = losses.wait_for(Option::is_some).await;
            let reason = told.ok().and_then(|reason| reason.clone());
            match reason {
                Some(reason) => reason,
                // The scheduler went in peace.
                None => std::future::pending().await,
            }
        }
    }

    /// How many requests there are.
    pub fn load(&self) -> Load {
        self.queue.load()
    }

    /// Admits nothing more; what was admitted is still spoken.
    pub fn close(&self) {
        self.queue.close();
    }

    /// Closes, and waits until everything admitted is spoken or withdrawn.
    pub fn drain(&self) {
        self.close();
        let lane = self
            .lane
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if lane.is_some_and(|lane| lane.join().is_err()) {
            tracing::error!("a lane ended in a panic");
        }
    }
}

/// Withdraws what waits, and waits for the lane.
impl Drop for Scheduler {
    fn drop(&mut self) {
        self.queue.abandon();
        self.drain();
    }
}

/// Why a lane did not do what it was asked for between two requests.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// It was not admitted.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It failed.
    #[error(transparent)]
    Failed(#[from] JobError),
}
