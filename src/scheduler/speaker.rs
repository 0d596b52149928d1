//! What a lane drives.

use crate::backend::Lane;
use crate::bundle::Bundle;
use crate::deploy::{Deployment, WarmRun, Warmup, WarmupError};
use crate::hint::Hint;
use crate::pipeline::{OpenError, Speech, SpeechError, SpeechRequest, Synthesizer};
use std::borrow::Cow;
use std::fmt;

/// Speaks one segment at a time, on the thread that opened it.
pub trait Speaker: fmt::Debug + Send {
    /// Runs every graph once at the shapes it is made for.
    ///
    /// # Errors
    /// [`SpeakerError`] when a graph does not run.
    fn warm_up(&mut self) -> Result<Vec<WarmRun>, SpeakerError>;

    /// Speaks a segment unless `stop` comes first, which is asked before every piece of work.
    ///
    /// # Errors
    /// [`SpeechError`]; the next segment can be spoken all the same.
    fn speak(
        &mut self,
        segment: &SpeechRequest,
        stop: &dyn Fn() -> bool,
    ) -> Result<Speech, SpeechError>;
}

/// Why a lane has no speaker.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpeakerError {
    /// The stages could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A graph does not run.
    #[error(transparent)]
    Warmup(#[from] WarmupError),
    /// Opening it ended in a panic.
    #[error("opening the model failed through a bug: {message}")]
    Panicked {
        /// What the panic said.
        message: String,
    },
}

/// The pipeline on one lane.
#[derive(Debug)]
pub struct LaneSpeaker {
    lane: Lane,
    warmup: Warmup,
    synthesizer: Synthesizer,
}

impl LaneSpeaker {
    /// Opens every stage of a bundle.
    ///
    /// # Errors
    /// [`SpeakerError::Open`].
    pub fn open(
        bundle: &Bundle,
        deployment: &Deployment,
        lane: Lane,
    ) -> Result<Self, SpeakerError> {
        Ok(Self {
            synthesizer: Synthesizer::open(bundle, &deployment.graphs, &lane)?,
            warmup: deployment.warmup.clone(),
            lane,
        })
    }
}

impl Speaker for LaneSpeaker {
    fn warm_up(&mut self) -> Result<Vec<WarmRun>, SpeakerError> {
        let log = |run: &WarmRun| {
            let WarmRun {
                graph,
                shapes,
                first_ms,
                steady_ms,
                ..
            } = run;
            tracing::info!(%graph, shapes, first_ms, steady_ms, "warm");
        };
        Ok(self.warmup.run(&self.lane, log)?)
    }

    fn speak(
        &mut self,
        segment: &SpeechRequest,
        stop: &dyn Fn() -> bool,
    ) -> Result<Speech, SpeechError> {
        self.synthesizer.speak_until(segment, stop)
    }
}

impl Hint for SpeakerError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Open(error) => error.hint(),
            Self::Warmup(error) => error.hint(),
            Self::Panicked { .. } => None,
        }
    }
}
