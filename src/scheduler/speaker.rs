//! What a lane drives.

use crate::backend::{Lane, LoadError};
use crate::bundle::{Bundle, Voice};
use crate::deploy::{Deployment, WarmRun, Warmup, WarmupError};
use crate::frontend::audio::Clip;
use crate::hint::{Class, Hint};
use crate::pipeline::{OpenError, Speech, SpeechError, SpeechRequest, Synthesizer};
use crate::reading::{ListenError, Listener};
use std::borrow::Cow;
use std::fmt;

/// Speaks one segment at a time, on the thread that opened it.
pub trait Speaker: fmt::Debug + Send {
    /// Runs every graph at the shapes it is made for unless `stop` comes first, which is asked before every run.
    ///
    /// # Errors
    /// [`SpeakerError`] when a graph does not run, or [`SpeakerError::is_stopped`]; it can speak after the latter.
    fn warm_up(&mut self, stop: &dyn Fn() -> bool) -> Result<Vec<WarmRun>, SpeakerError>;

    /// Speaks a segment unless `stop` comes first, which is asked before every piece of work.
    ///
    /// # Errors
    /// [`SpeechError`]; the next segment can be spoken all the same.
    fn speak(
        &mut self,
        segment: &SpeechRequest,
        stop: &dyn Fn() -> bool,
    ) -> Result<Speech, SpeechError>;

    /// Makes a voice of a recording.
    ///
    /// # Errors
    /// [`HearError`]; the next recording can be heard all the same.
    fn hear(&mut self, recording: &Recording) -> Result<Voice, HearError>;
}

/// A recording that is to become a voice.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The voice's name.
    pub name: String,
    /// What is heard.
    pub clip: Clip,
    /// What is said in it.
    pub transcript: Option<String>,
}

/// Why a recording did not become a voice.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HearError {
    /// The model cannot hear.
    #[error("the model has no graphs that hear recordings")]
    Deaf,
    /// It cannot be used.
    #[error(transparent)]
    Recording(#[from] ListenError),
}

/// Why a lane has no speaker.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpeakerError {
    /// The device gives the lane nothing to work with.
    #[error(transparent)]
    Lane(#[from] LoadError),
    /// The stages could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A graph does not run.
    #[error(transparent)]
    Warmup(#[from] WarmupError),
    /// A step of a stage does not run.
    #[error("a step of the pipeline does not run")]
    Step(#[from] SpeechError),
    /// The device is gone, and with it everything that this process had there.
    #[error("the device was lost, and this process can do nothing more on it: {reason}")]
    Lost {
        /// The driver's words.
        reason: String,
    },
    /// Opening it ended in a panic.
    #[error("opening the model failed through a bug: {message}")]
    Panicked {
        /// What the panic said.
        message: String,
    },
}

impl SpeakerError {
    /// Whether a warm-up was told to stop, and nothing is wrong.
    pub fn is_stopped(&self) -> bool {
        matches!(
            self,
            Self::Warmup(WarmupError::Stopped) | Self::Step(SpeechError::Stopped)
        )
    }
}

/// The pipeline on one lane.
#[derive(Debug)]
pub struct LaneSpeaker {
    lane: Lane,
    warmups: Vec<Warmup>,
    synthesizer: Synthesizer,
    listener: Option<Listener>,
}

impl LaneSpeaker {
    /// Opens every stage of a bundle: those that speak, and those that hear recordings, where there are any.
    ///
    /// # Errors
    /// [`SpeakerError::Open`].
    pub fn open(
        bundle: &Bundle,
        speaking: &Deployment,
        hearing: Option<&Deployment>,
        lane: Lane,
    ) -> Result<Self, SpeakerError> {
        let listener = hearing.map(|hearing| Listener::open(bundle, &hearing.graphs, &lane));
        let deployments = std::iter::once(speaking).chain(hearing);
        Ok(Self {
            synthesizer: Synthesizer::open(bundle, &speaking.graphs, &lane)?,
            listener: listener.transpose()?,
            warmups: deployments.map(|one| one.warmup.clone()).collect(),
            lane,
        })
    }
}

impl Speaker for LaneSpeaker {
    fn warm_up(&mut self, stop: &dyn Fn() -> bool) -> Result<Vec<WarmRun>, SpeakerError> {
        let mut runs = Vec::new();
        for warmup in &self.warmups {
            runs.extend(warmup.run_until(&self.lane, stop, log)?);
        }
        self.synthesizer.warm_up(stop)?;
        Ok(runs)
    }

    fn speak(
        &mut self,
        segment: &SpeechRequest,
        stop: &dyn Fn() -> bool,
    ) -> Result<Speech, SpeechError> {
        self.synthesizer.speak_until(segment, stop)
    }

    fn hear(&mut self, recording: &Recording) -> Result<Voice, HearError> {
        let Recording {
            name,
            clip,
            transcript,
        } = recording;
        let listener = self.listener.as_mut().ok_or(HearError::Deaf)?;
        Ok(listener.voice(name, clip, transcript.as_deref())?)
    }
}

fn log(run: &WarmRun) {
    let WarmRun {
        shapes,
        first_ms,
        steady_ms,
        ..
    } = run;
    tracing::info!(shapes, first_ms, steady_ms, "warm");
}

impl Hint for SpeakerError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Lane(error) => error.hint(),
            Self::Open(error) => error.hint(),
            Self::Warmup(error) => error.hint(),
            Self::Step(error) => error.hint(),
            Self::Lost { .. } => Some("start the server again".into()),
            Self::Panicked { .. } => None,
        }
    }
}

impl Hint for HearError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Deaf => Some("name a stored voice".into()),
            Self::Recording(error) => error.hint(),
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Deaf => Class::Unavailable,
            Self::Recording(error) => error.class(),
        }
    }
}
