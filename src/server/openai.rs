//! `OpenAI`'s speech API.

use super::State;
use super::answer::{self, Answer, Delivery};
use super::error::{ApiError, OpenAiError};
use super::form;
use super::incoming;
use super::model::{self, Model};
use super::request::Asked;
use crate::frontend::encode::AudioFormat;
use crate::ids::{Mode, Tier};
use crate::reading::Wish;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{self, Extension, Path, Request};
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
const NAMES: [(&str, &str); 3] = [
    ("text", "input"),
    ("transcript", "voice"),
    ("instruction", "instructions"),
];
/// The format where none is asked for.
const USUAL_FORMAT: &str = "mp3";

/// `POST /v1/audio/speech`.
pub(super) async fn speech(
    extract::State(state): extract::State<Arc<State>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Result<Response, OpenAiError> {
    let body = json_body(&state, request).await?;
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
    let models: Vec<Value> = state.models.iter().map(described).collect();
    Json(json!({ "object": "list", "data": models }))
}

/// `GET /v1/models/{model}`.
pub(super) async fn model(
    extract::State(state): extract::State<Arc<State>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, OpenAiError> {
    let Path(name) = name.map_err(|rejection| ApiError::field("model", rejection.body_text()))?;
    let model = model::named(&state.models, Some(&name))?;
    Ok(Json(described(model)))
}

fn described(model: &Model) -> Value {
    json!({ "id": model.name, "object": "model", "created": 0, "owned_by": "cvtrt" })
}

async fn json_body(state: &State, request: Request) -> Result<SpeechBody, ApiError> {
    let found = incoming::content_type(&request);
    if !(found.is_empty() || found == "application/json" || found.ends_with("+json")) {
        return Err(incoming::unsupported(&found, "application/json"));
    }
    parse(&incoming::body(request, &state.settings).await?)
}

fn parse(body: &[u8]) -> Result<SpeechBody, ApiError> {
    let deserializer = &mut serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let path = error.path().to_string();
        let refused = ApiError::invalid(error.inner());
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

fn chosen<'a>(state: &'a State, body: &SpeechBody) -> Result<&'a Model, ApiError> {
    let model = model::named(&state.models, body.model.as_deref())?;
    let Some(tier) = &body.tier else {
        return Ok(model);
    };
    let wanted: Tier = tier
        .parse()
        .map_err(|error| ApiError::field("tier", error))?;
    if model.is_at(wanted) {
        return Ok(model);
    }
    let message = format!(
        "the model is served at {}; leave the tier out, or have it served by `cvtrt serve --tier {wanted}`",
        model.tiers()
    );
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
        let text = self.input.ok_or_else(|| form::missing("input"))?;
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
