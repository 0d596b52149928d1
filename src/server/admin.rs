//! How the server is.

use super::State;
use super::error::OpenAiError;
use super::metrics::Metrics;
use crate::deploy::WarmRun;
use crate::scheduler::Readiness;
use axum::Json;
use axum::extract;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// `GET /healthz`: the process answers.
pub(super) async fn health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// `GET /readyz`: every model is warm.
pub(super) async fn ready(
    extract::State(state): extract::State<Arc<State>>,
) -> (StatusCode, Json<Value>) {
    let mut all = true;
    let models: BTreeMap<&str, String> = state
        .models
        .iter()
        .map(|model| {
            let said = match model.scheduler.readiness() {
                Readiness::Ready => "ready".to_owned(),
                Readiness::Opening => "warming up".to_owned(),
                Readiness::Down(reason) => reason.to_string(),
            };
            all &= said == "ready";
            (model.name.as_str(), said)
        })
        .collect();
    let status = if all {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(json!({ "ready": all, "models": models })))
}

/// `POST /warmup_trt`: every graph of every model once at its opt shapes, between two requests.
pub(super) async fn warm_up(
    extract::State(state): extract::State<Arc<State>>,
) -> Result<Json<BTreeMap<String, Vec<WarmRun>>>, OpenAiError> {
    let mut runs = BTreeMap::new();
    for model in &state.models {
        runs.insert(model.name.clone(), model.scheduler.warm_up().await?);
    }
    Ok(Json(runs))
}

/// `GET /performance_info`: what runs each graph, what was passed over, and how many requests there are.
pub(super) async fn performance(extract::State(state): extract::State<Arc<State>>) -> Json<Value> {
    let models: Vec<Value> = state
        .models
        .iter()
        .map(|model| json!({ "model": model.name, "load": model.scheduler.load(), "graphs": model.served }))
        .collect();
    let uptime_s = state.started.elapsed().as_secs();
    Json(json!({ "version": env!("CARGO_PKG_VERSION"), "uptime_s": uptime_s, "models": models }))
}

/// `GET /metrics`.
pub(super) async fn metrics(
    extract::State(state): extract::State<Arc<State>>,
) -> impl IntoResponse {
    let text = state.metrics.render(&state.models);
    ([(header::CONTENT_TYPE, Metrics::CONTENT_TYPE)], text)
}
