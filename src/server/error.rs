//! What a client hears when a request fails: one error, rendered as `OpenAI`'s API does, or as CosyVoice's.

use crate::bundle::{BundleError, VoiceError};
use crate::deploy::BelowFloor;
use crate::frontend::FrontendError;
use crate::frontend::audio::AudioError;
use crate::hint::Hint;
use crate::pipeline::SpeechError;
use crate::reading::{ListenError, ReadError};
use crate::scheduler::{HearError, JobError, Refused, TaskError};
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Why a request failed.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    /// A word for programs.
    code: &'static str,
    /// The request's field that is wrong.
    field: Option<&'static str>,
    /// What and why, and what helps.
    message: String,
    retry_after_s: Option<u64>,
}

/// `{"error": {"message", "type", "param", "code"}}`.
#[derive(Debug)]
pub(super) struct OpenAiError(pub(super) ApiError);

/// `{"detail"}`, as the framework under CosyVoice's server has it.
#[derive(Debug)]
pub(super) struct CosyVoiceError(pub(super) ApiError);

/// What errors call the recording of a request.
pub(super) const RECORDING: &str = "file";

impl ApiError {
    pub(super) fn new(
        status: StatusCode,
        code: &'static str,
        message: impl std::fmt::Display,
    ) -> Self {
        Self {
            status,
            code,
            field: None,
            message: message.to_string(),
            retry_after_s: None,
        }
    }

    /// A field that cannot be used.
    pub(super) fn field(field: &'static str, message: impl std::fmt::Display) -> Self {
        Self::invalid(message).of_field(field)
    }

    /// A body that cannot be used.
    pub(super) fn invalid(message: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_value", message)
    }

    /// No room; a moment later there may be some.
    pub(super) fn busy(message: impl std::fmt::Display) -> Self {
        Self {
            retry_after_s: Some(1),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limit_exceeded",
                message,
            )
        }
    }

    #[must_use]
    pub(super) fn of_field(mut self, field: &'static str) -> Self {
        self.field = Some(field);
        self
    }

    /// The same error in the words of a request whose fields have other names.
    #[must_use]
    pub(super) fn renamed(mut self, names: &[(&'static str, &'static str)]) -> Self {
        let new = |field| {
            names
                .iter()
                .find(|(old, _)| *old == field)
                .map(|(_, new)| *new)
        };
        self.field = self.field.map(|field| new(field).unwrap_or(field));
        self
    }

    /// The message, for answers whose head is already on its way.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    fn of<E: Hint>(status: StatusCode, code: &'static str, error: &E) -> Self {
        Self::new(status, code, told(error))
    }

    /// `OpenAI`'s class of the error.
    fn kind(&self) -> &'static str {
        match self.status {
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_client_error() => "invalid_request_error",
            _ => "server_error",
        }
    }

    fn respond(self, body: &serde_json::Value) -> Response {
        if self.status.is_server_error() {
            tracing::error!(
                status = self.status.as_u16(),
                message = self.message,
                "request failed"
            );
        }
        let mut response = (self.status, Json(body)).into_response();
        if let Some(seconds) = self.retry_after_s {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl IntoResponse for OpenAiError {
    fn into_response(self) -> Response {
        let error = self.0;
        let body = json!({ "error": {
            "message": error.message, "type": error.kind(), "param": error.field, "code": error.code,
        }});
        error.respond(&body)
    }
}

impl IntoResponse for CosyVoiceError {
    fn into_response(self) -> Response {
        let error = self.0;
        let body = match error.field {
            Some(field) => json!({ "detail": format!("{field}: {}", error.message) }),
            None => json!({ "detail": error.message }),
        };
        error.respond(&body)
    }
}

impl<E: Into<ApiError>> From<E> for OpenAiError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl<E: Into<ApiError>> From<E> for CosyVoiceError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        match &error {
            ReadError::Frontend(source) => source.into(),
            _ => Self::field(error.field(), &error),
        }
    }
}

impl From<&FrontendError> for ApiError {
    fn from(error: &FrontendError) -> Self {
        Self::of(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", error)
    }
}

impl From<BelowFloor> for ApiError {
    fn from(error: BelowFloor) -> Self {
        Self::of(StatusCode::SERVICE_UNAVAILABLE, "below_floor", &error)
    }
}

impl From<Refused> for ApiError {
    fn from(error: Refused) -> Self {
        match &error {
            Refused::Busy { retry_after, .. } => Self {
                retry_after_s: Some(retry_after.as_secs()),
                ..Self::of(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", &error)
            },
            _ => Self::of(StatusCode::SERVICE_UNAVAILABLE, "unavailable", &error),
        }
    }
}

impl From<JobError> for ApiError {
    fn from(error: JobError) -> Self {
        match &error {
            JobError::Speech(source) => source.as_ref().into(),
            JobError::Hear(source) => source.as_ref().into(),
            JobError::Lane(_) | JobError::Stopped => {
                Self::of(StatusCode::SERVICE_UNAVAILABLE, "unavailable", &error)
            }
            // What a panic says is for the log.
            _ => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal_error",
                "the request failed through a bug; the server's log has its message",
            ),
        }
    }
}

impl From<TaskError> for ApiError {
    fn from(error: TaskError) -> Self {
        match error {
            TaskError::Refused(refused) => refused.into(),
            TaskError::Failed(failed) => failed.into(),
        }
    }
}

impl From<&HearError> for ApiError {
    fn from(error: &HearError) -> Self {
        match error {
            HearError::Recording(ListenError::Audio(audio)) => audio.into(),
            HearError::Recording(ListenError::Speech(speech)) => speech.as_ref().into(),
            HearError::Recording(ListenError::Voice(VoiceError::Name { .. })) => {
                Self::field("name", error)
            }
            HearError::Recording(ListenError::NoTokens) | HearError::Deaf => {
                Self::field(RECORDING, told(error))
            }
            _ => Self::of(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", error),
        }
    }
}

impl From<&AudioError> for ApiError {
    fn from(error: &AudioError) -> Self {
        let status = match error {
            AudioError::TooManyBytes { .. } | AudioError::TooLong { .. } => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            _ => StatusCode::BAD_REQUEST,
        };
        Self::of(status, "invalid_audio", error).of_field(RECORDING)
    }
}

impl From<&BundleError> for ApiError {
    fn from(error: &BundleError) -> Self {
        match error {
            BundleError::VoiceExists { .. } => {
                Self::new(StatusCode::CONFLICT, "voice_exists", error).of_field("name")
            }
            BundleError::NoVoice { .. } => {
                Self::new(StatusCode::NOT_FOUND, "voice_not_found", error).of_field("name")
            }
            BundleError::Voice { source, .. } => Self::field("name", source),
            _ => Self::of(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", error),
        }
    }
}

impl From<&SpeechError> for ApiError {
    fn from(error: &SpeechError) -> Self {
        let field = match error {
            SpeechError::EmptyText | SpeechError::NoSpeech => "text",
            SpeechError::Mode { .. } => "mode",
            SpeechError::NoPrompt { .. }
            | SpeechError::NoTranscript { .. }
            | SpeechError::VoiceSize { .. } => "voice",
            SpeechError::Speed(_) => "speed",
            SpeechError::TextTooLong { .. } | SpeechError::TooManyTokens { .. } => {
                return Self::of(StatusCode::PAYLOAD_TOO_LARGE, "text_too_long", error)
                    .of_field("text");
            }
            _ => return Self::of(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", error),
        };
        Self::field(field, error)
    }
}

/// An error with its causes and its hint, in one line.
pub(super) fn told<E: Hint>(error: &E) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        // A transparent error repeats its source.
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    if let Some(hint) = error.hint() {
        text.push_str(" (");
        text.push_str(&hint);
        text.push(')');
    }
    text
}
