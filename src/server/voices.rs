//! Voices: what there are, new ones, and those that go.

use super::State;
use super::answer::off_the_runtime;
use super::error::{ApiError, OpenAiError};
use super::form::{self, Form};
use super::model::{self, Model};
use super::recording;
use crate::bundle::{BundleError, check_voice_name};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{self, Path, Request};
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;

/// `GET /v1/audio/voices`.
pub(super) async fn list(extract::State(state): extract::State<Arc<State>>) -> Json<Value> {
    let voices = state.models.iter().flat_map(|model| {
        let names = model.reader.voice_names().into_iter();
        names.map(|name| described(model, &name))
    });
    Json(json!({ "object": "list", "data": voices.collect::<Vec<_>>() }))
}

/// `POST /v1/audio/voices`: a recording becomes a voice of the bundle, which speaks from then on.
///
/// Fields: `name`, `file`, `transcript`, and `model`, where it is not the first.
pub(super) async fn add(
    extract::State(state): extract::State<Arc<State>>,
    request: Request,
) -> Result<(StatusCode, Json<Value>), OpenAiError> {
    let mut form = Form::read(request, &state).await?;
    let file = form.file("file").ok_or_else(|| form::missing("file"))?;
    let model = model::named(&state.models, form.text("model"))?;
    let name = form.needed("name")?;
    check_voice_name(name).map_err(|error| ApiError::field("name", error))?;
    if model.reader.voice_names().iter().any(|known| known == name) {
        return Err(exists(name).into());
    }
    let voice = recording::voice(model, name, file, form.text("transcript")).await?;
    let mut bundle = model.bundle.clone();
    let kept = voice.clone();
    off_the_runtime(move || bundle.add_voice(&kept, false))
        .await
        .map_err(|error| ApiError::from(&error))?;
    model.reader.keep(voice);
    tracing::info!(model = model.name, voice = name, "a new voice");
    Ok((StatusCode::CREATED, Json(described(model, name))))
}

/// `DELETE /v1/audio/voices/{name}`, of the model that the query names, or of the first.
pub(super) async fn remove(
    extract::State(state): extract::State<Arc<State>>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<Value>, OpenAiError> {
    let Path(name) = name.map_err(|rejection| ApiError::field("name", rejection.body_text()))?;
    let form = Form::read(request, &state).await?;
    let model = model::named(&state.models, form.text("model"))?;
    let mut bundle = model.bundle.clone();
    let gone = name.clone();
    let removed = off_the_runtime(move || bundle.remove_voice(&gone)).await;
    let known = model.reader.forget(&name);
    match removed {
        Ok(()) => {}
        // Somebody else took it out of the bundle; from now on it is unknown here, too.
        Err(BundleError::NoVoice { .. }) if known => {}
        Err(error) => return Err(ApiError::from(&error).into()),
    }
    tracing::info!(model = model.name, voice = name, "a voice less");
    Ok(Json(
        json!({ "id": name, "object": "voice", "deleted": true }),
    ))
}

fn described(model: &Model, name: &str) -> Value {
    json!({ "id": name, "object": "voice", "name": name, "model": model.name })
}

fn exists(name: &str) -> ApiError {
    let message =
        format!("there is a voice `{name}` already; delete it first, or choose another name");
    ApiError::new(StatusCode::CONFLICT, "voice_exists", message).of_field("name")
}
