//! The thread that works the queue off.

use super::OpenSpeaker;
use super::error::JobError;
use super::queue::{Queue, Readiness, Work};
use super::speaker::{Recording, Speaker, SpeakerError};
use super::stream::{Chunk, Job};
use crate::backend::{Recovery, RunError};
use crate::bundle::Voice;
use crate::cuda::{CudaError, CudaErrorKind};
use crate::deploy::WarmRun;
use crate::pipeline::SpeechError;
use std::any::Any;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

/// One speaker and the queue it works off.
pub(super) struct Lane {
    queue: Arc<Queue>,
    open: OpenSpeaker,
    speaker: Option<Box<dyn Speaker>>,
    lost: Option<Arc<SpeakerError>>,
    /// Whether there ever was a speaker.
    has_spoken: bool,
}

impl Lane {
    pub(super) fn new(queue: Arc<Queue>, open: OpenSpeaker) -> Self {
        Self {
            queue,
            open,
            speaker: None,
            lost: None,
            has_spoken: false,
        }
    }

    /// Works until the queue is closed and empty.
    pub(super) fn work(mut self) {
        if let Err(error) = self.speaker() {
            tracing::error!(%error, "the lane cannot speak");
        }
        while let Some(work) = self.queue.take() {
            let start = Instant::now();
            match work {
                Work::Speak(job) => self.speak(&job),
                // Whoever asked may have gone.
                Work::Hear(recording, answer) => drop(answer.send(self.hear(&recording))),
                Work::WarmUp(answer) => drop(answer.send(self.warm_up())),
            }
            self.queue.done(start.elapsed());
        }
    }

    fn speak(&mut self, job: &Job) {
        for segment in 0..job.segments.len() {
            match self.segment(job, segment) {
                Ok(chunk) => job.send(Ok(chunk)),
                Err(JobError::Speech(error)) if matches!(*error, SpeechError::Stopped) => {
                    tracing::debug!("the client has gone");
                    return;
                }
                Err(error) => return job.send(Err(error)),
            }
        }
    }

    fn segment(&mut self, job: &Job, segment: usize) -> Result<Chunk, JobError> {
        let speech = self.guarded(|speaker| {
            speaker
                .speak(&job.segments[segment], &|| job.is_withdrawn())
                .map_err(JobError::from)
        })?;
        Ok(Chunk {
            pcm: speech.pcm,
            sample_rate: speech.sample_rate,
            tokens: speech.tokens.len(),
            took: speech.times.total,
            ends_segment: true,
            end: Some(speech.end),
            loops_broken: speech.loops_broken,
        })
    }

    fn hear(&mut self, recording: &Recording) -> Result<Voice, JobError> {
        self.guarded(|speaker| speaker.hear(recording).map_err(JobError::from))
    }

    fn warm_up(&mut self) -> Result<Vec<WarmRun>, JobError> {
        let queue = Arc::clone(&self.queue);
        self.guarded(|speaker| {
            let warm = speaker.warm_up(&|| queue.is_closed());
            warm.map_err(|error| {
                if error.is_stopped() {
                    JobError::Stopped
                } else {
                    JobError::Lane(Arc::new(error))
                }
            })
        })
    }

    /// Does something with the speaker. After a panic the speaker's state is unknown, so it goes, and another is opened.
    fn guarded<T>(
        &mut self,
        work: impl FnOnce(&mut dyn Speaker) -> Result<T, JobError>,
    ) -> Result<T, JobError> {
        let speaker = self.speaker()?;
        let outcome = catch_unwind(AssertUnwindSafe(|| work(speaker))).unwrap_or_else(|panic| {
            let message = message_of(panic.as_ref());
            tracing::error!(message, "a request panicked; its lane is opened again");
            let spoilt = self.speaker.take();
            if catch_unwind(AssertUnwindSafe(|| drop(spoilt))).is_err() {
                tracing::error!("closing the lane panicked, too");
            }
            Err(JobError::Panicked { message })
        });
        if let Err(error) = &outcome {
            self.check_device(error);
        }
        outcome
    }

    /// Gives up for good where an error tells that the device is lost.
    fn check_device(&mut self, error: &(dyn Error + 'static)) {
        if tells_lost_device(error) {
            self.lose(error);
        }
    }

    /// Whatever the process has on the device is gone; asking for any of it only fails again.
    fn lose(&mut self, error: &(dyn Error + 'static)) {
        let mut reason = error.to_string();
        let mut source = error.source();
        while let Some(deeper) = source {
            reason = format!("{reason}: {deeper}");
            source = deeper.source();
        }
        tracing::error!(reason, "the device was lost");
        let lost = Arc::new(SpeakerError::Lost { reason });
        self.lost = Some(Arc::clone(&lost));
        self.queue.lose(lost);
    }

    /// A new speaker, made warm. Once nothing more is admitted it stays as it is: what was admitted before is spoken sooner.
    fn opened(&mut self) -> Result<Box<dyn Speaker>, SpeakerError> {
        let mut speaker = (self.open)()?;
        match speaker.warm_up(&|| self.queue.is_closed()) {
            Err(error) if error.is_stopped() => tracing::info!("stopping: the warm-up is given up"),
            outcome => drop(outcome?),
        }
        Ok(speaker)
    }

    /// The speaker, opened and made warm where there is none.
    fn speaker(&mut self) -> Result<&mut dyn Speaker, JobError> {
        if let Some(lost) = &self.lost {
            return Err(JobError::Lane(Arc::clone(lost)));
        }
        if self.speaker.is_none() {
            self.queue.set_readiness(Readiness::Opening);
            let opened = catch_unwind(AssertUnwindSafe(|| self.opened()));
            let opened = opened.unwrap_or_else(|panic| {
                let message = message_of(panic.as_ref());
                Err(SpeakerError::Panicked { message })
            });
            match opened {
                Ok(speaker) => {
                    self.speaker = Some(speaker);
                    self.has_spoken = true;
                }
                Err(error) => {
                    self.check_device(&error);
                    if let Some(lost) = &self.lost {
                        return Err(JobError::Lane(Arc::clone(lost)));
                    }
                    let reason = Arc::new(error);
                    if self.has_spoken {
                        // Nothing would try again: a server that is started anew does.
                        self.lost = Some(Arc::clone(&reason));
                        self.queue.lose(Arc::clone(&reason));
                        return Err(JobError::Lane(reason));
                    }
                    self.queue
                        .set_readiness(Readiness::Down(Arc::clone(&reason)));
                    return Err(JobError::Lane(reason));
                }
            }
            self.queue.set_readiness(Readiness::Ready);
        }
        Ok(self.speaker.as_deref_mut().expect("opened above"))
    }
}

/// Whether the driver said so, however deep below the error.
fn tells_lost_device(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| (*error).source()).any(|error| {
        let run = error
            .downcast_ref::<RunError>()
            .or_else(|| error.downcast_ref::<Box<RunError>>().map(AsRef::as_ref));
        let cuda = error.downcast_ref::<CudaError>();
        run.is_some_and(|run| run.recovery() == Recovery::Process)
            || cuda.is_some_and(|cuda| cuda.kind == CudaErrorKind::DeviceLost)
    })
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
