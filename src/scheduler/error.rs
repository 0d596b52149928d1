//! Why a request is not spoken.

use super::speaker::{HearError, SpeakerError};
use crate::hint::{Class, Hint};
use crate::pipeline::SpeechError;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// Why a request was not admitted.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// As many requests as there may be are waiting or being spoken.
    #[error("all {places} places are taken")]
    Busy {
        /// Places there are.
        places: usize,
        /// When one is expected to be free.
        retry_after: Duration,
    },
    /// Nothing is admitted any more.
    #[error("the server is shutting down")]
    Closed,
    /// The lane could not be opened.
    #[error("the model cannot speak")]
    Down(#[source] Arc<SpeakerError>),
}

/// Why an admitted request was not spoken to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// The pipeline gave up.
    #[error(transparent)]
    Speech(Box<SpeechError>),
    /// A recording did not become a voice.
    #[error(transparent)]
    Hear(Box<HearError>),
    /// The lane could not be opened, or not be made warm.
    #[error("the model cannot speak")]
    Lane(#[source] Arc<SpeakerError>),
    /// A bug ended this request, and only this one.
    #[error("the request failed through a bug: {message}")]
    Panicked {
        /// What the panic said.
        message: String,
    },
    /// The lane ended before the request's turn.
    #[error("the server stopped before the end")]
    Stopped,
}

impl From<SpeechError> for JobError {
    fn from(error: SpeechError) -> Self {
        Self::Speech(Box::new(error))
    }
}

impl From<HearError> for JobError {
    fn from(error: HearError) -> Self {
        Self::Hear(Box::new(error))
    }
}

impl Hint for Refused {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Busy { retry_after, .. } => {
                Some(format!("try again in {} s", retry_after.as_secs().max(1)).into())
            }
            Self::Down(error) => error.hint(),
            Self::Closed => None,
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Busy { .. } | Self::Closed => Class::Unavailable,
            Self::Down(_) => Class::Failed,
        }
    }
}

impl Hint for JobError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Speech(error) => error.hint(),
            Self::Hear(error) => error.hint(),
            Self::Lane(error) => error.hint(),
            Self::Panicked { .. } | Self::Stopped => None,
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Speech(error) => error.class(),
            Self::Hear(error) => error.class(),
            _ => Class::Failed,
        }
    }
}
