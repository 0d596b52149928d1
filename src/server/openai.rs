//! `OpenAI`'s speech API.

use super::State;
use super::answer::{self, Answer, Delivery};
use super::error::{ApiError, OpenAiError};
use super::model::{self, DEFAULT, Model};
use super::request::Asked;
use crate::frontend::encode::AudioFormat;
use crate::ids::{Mode, Tier};
use crate::reading::Wish;
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{self, Extension};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// The body of `POST /v1/audio/speech`; fields it does not know are left alone, as there.
#[derive(Debug, Deserialize)]
struct SpeechBody {
    model: Option<String>,
    input: Option<String>,
    voice: Option<VoiceName>,
    instructions: Option<String>,
    response_format: Option<String>,
    speed: Option<f64>,
    stream_format: Option<StreamFormat>,
    stream: Option<bool>,
    seed: Option<u64>,
    mode: Option<Mode>,
    tier: Option<String>,
}

/// A name, or an object with the name as its id.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum VoiceName {
    Name(String),
    Object { id: String },
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StreamFormat {
    Audio,
    Sse,
}

/// What the API's fields are called where they differ.
const NAMES: [(&str, &str); 2] = [("text", "input"), ("instruction", "instructions")];
/// The format where none is asked for.
const USUAL_FORMAT: &str = "mp3";

/// `POST /v1/audio/speech`.
pub(super) async fn speech(
    extract::State(state): extract::State<Arc<State>>,
    Extension(asked): Extension<Asked>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, OpenAiError> {
    let body = parse(&body.map_err(|rejection| unread(&rejection))?)?;
    let model = chosen(&state, &body)?;
    let answer = Answer {
        format: format(body.response_format.as_deref())?,
        delivery: body.delivery(),
        asked: asked.at,
        metrics: Arc::clone(&state.metrics),
    };
    let wish = body.wish(&state).map_err(|error| error.renamed(&NAMES))?;
    let segments = model
        .reader
        .segments(&wish)
        .map_err(|error| ApiError::from(error).renamed(&NAMES))?;
    let spoken = answer::speak(model, segments, answer).await;
    Ok(spoken.map_err(|error| error.renamed(&NAMES))?)
}

/// `GET /v1/models`.
pub(super) async fn models(extract::State(state): extract::State<Arc<State>>) -> Json<Value> {
    let models: Vec<Value> = state
        .models
        .iter()
        .map(|model| json!({ "id": model.name, "object": "model", "created": 0, "owned_by": "cvtrt" }))
        .collect();
    Json(json!({ "object": "list", "data": models }))
}

/// `GET /v1/audio/voices`.
pub(super) async fn voices(extract::State(state): extract::State<Arc<State>>) -> Json<Value> {
    let voices: Vec<Value> = state
        .models
        .iter()
        .flat_map(|model| {
            model
                .reader
                .voice_names()
                .into_iter()
                .map(|name| json!({ "id": name, "name": name, "model": model.name }))
        })
        .collect();
    Json(json!({ "object": "list", "data": voices }))
}

/// Anything else below `/v1`.
pub(super) async fn unknown() -> OpenAiError {
    OpenAiError(ApiError::new(
        StatusCode::NOT_FOUND,
        "not_found",
        "there is no such endpoint",
    ))
}

fn parse(body: &[u8]) -> Result<SpeechBody, ApiError> {
    let deserializer = &mut serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let path = error.path().to_string();
        let refused = ApiError::new(StatusCode::BAD_REQUEST, "invalid_value", error.inner());
        match FIELDS
            .iter()
            .find(|field| path.split('.').next() == Some(field))
        {
            Some(field) => refused.of_field(field),
            None => refused,
        }
    })
}

const FIELDS: [&str; 11] = [
    "model",
    "input",
    "voice",
    "instructions",
    "response_format",
    "speed",
    "stream_format",
    "stream",
    "seed",
    "mode",
    "tier",
];

/// A body that did not arrive.
pub(super) fn unread(rejection: &BytesRejection) -> ApiError {
    let status = rejection.status();
    let code = if status == StatusCode::PAYLOAD_TOO_LARGE {
        "body_too_large"
    } else {
        "unreadable_body"
    };
    ApiError::new(status, code, rejection.body_text())
}

fn chosen<'a>(state: &'a State, body: &SpeechBody) -> Result<&'a Model, ApiError> {
    let model = model::find(&state.models, body.model.as_deref()).ok_or_else(|| {
        let known: Vec<&str> = state
            .models
            .iter()
            .map(|model| model.name.as_str())
            .collect();
        let name = body.model.as_deref().unwrap_or(DEFAULT);
        let message = format!(
            "there is no model `{name}`; there are: {}, {DEFAULT}",
            known.join(", ")
        );
        ApiError::new(StatusCode::NOT_FOUND, "model_not_found", message).of_field("model")
    })?;
    let Some(tier) = &body.tier else {
        return Ok(model);
    };
    let wanted: Tier = tier
        .parse()
        .map_err(|error| ApiError::field("tier", error))?;
    if model.is_at(wanted) {
        return Ok(model);
    }
    let message =
        format!("the server does not run at `{wanted}`; `cvtrt serve --tier {wanted}` would");
    Err(ApiError::field("tier", message))
}

/// The format of this name; the usual one where none is named.
pub(super) fn format(name: Option<&str>) -> Result<AudioFormat, ApiError> {
    let name = name.unwrap_or(USUAL_FORMAT);
    AudioFormat::named(name).ok_or_else(|| {
        let known: Vec<&str> = AudioFormat::ALL
            .iter()
            .map(|format| format.as_str())
            .collect();
        let message = format!(
            "there is no format `{name}` here; there are: {}",
            known.join(", ")
        );
        ApiError::field("response_format", message)
    })
}

impl SpeechBody {
    fn delivery(&self) -> Delivery {
        match (self.stream_format, self.stream) {
            (Some(StreamFormat::Sse), _) => Delivery::Events,
            (Some(StreamFormat::Audio), _) | (None, Some(true)) => Delivery::Chunked,
            (None, Some(false) | None) => Delivery::Whole,
        }
    }

    fn wish(self, state: &State) -> Result<Wish, ApiError> {
        let text = self
            .input
            .ok_or_else(|| ApiError::field("input", "the field is missing"))?;
        let name = self.voice.map(|voice| match voice {
            VoiceName::Name(name) | VoiceName::Object { id: name } => name,
        });
        Ok(Wish {
            voice: name.into(),
            mode: self.mode,
            instruction: self.instructions.filter(|words| !words.is_empty()),
            seed: self.seed.unwrap_or(0),
            speed: self.speed.unwrap_or(1.0),
            ..Wish::new(state.checked(text)?)
        })
    }
}
