//! How the server is.

use super::State;
use super::error::OpenAiError;
use super::metrics::Metrics;
use super::model::Model;
use crate::deploy::{LowGraph, Served, WarmRun};
use crate::ids::Tier;
use axum::Json;
use axum::extract;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What `/readyz` says of a model that can speak.
const READY: &str = "ready";

/// `GET /healthz`: the process answers.
pub(super) async fn health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// `GET /readyz`: every model is warm and at its floor; of those below it, every graph that is and every reason.
pub(super) async fn ready(
    extract::State(state): extract::State<Arc<State>>,
) -> (StatusCode, Json<Value>) {
    let models: BTreeMap<&str, String> = state
        .models
        .iter()
        .map(|model| {
            let said = model.not_ready().unwrap_or_else(|| READY.to_owned());
            (model.name.as_str(), said)
        })
        .collect();
    let all = models.values().all(|said| said == READY);
    let status = if all {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let below_floor: BTreeMap<&str, Vec<LowGraph>> = state
        .models
        .iter()
        .filter_map(|model| Some((model.name.as_str(), model.check_floor().err()?.graphs)))
        .collect();
    let told = json!({ "ready": all, "models": models, "below_floor": below_floor });
    (status, Json(told))
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
    let models: Vec<Value> = state.models.iter().map(of_model).collect();
    let uptime_s = state.started.elapsed().as_secs();
    Json(json!({ "version": env!("CARGO_PKG_VERSION"), "uptime_s": uptime_s, "models": models }))
}

/// How a graph was loaded, and what became of it.
#[derive(serde::Serialize)]
struct OfGraph<'a> {
    #[serde(flatten)]
    loaded: &'a Served,
    /// What runs it now.
    tier: Tier,
}

fn of_model(model: &Model) -> Value {
    let graphs = model.served.iter().map(|loaded| OfGraph {
        loaded,
        tier: loaded.now(),
    });
    let graphs: Vec<OfGraph<'_>> = graphs.collect();
    let fallbacks = model.served.iter().filter(|one| one.is_fallback());
    let fallbacks: Vec<&str> = fallbacks.map(|one| one.graph.as_str()).collect();
    json!({
        "model": model.name,
        "not_ready": model.not_ready(),
        "floor": model.floor.map(|floor| floor.to_string()),
        "fallbacks": fallbacks,
        "load": model.scheduler.load(),
        "graphs": graphs,
    })
}

/// `GET /metrics`.
pub(super) async fn metrics(
    extract::State(state): extract::State<Arc<State>>,
) -> impl IntoResponse {
    let text = state.metrics.render(&state.models);
    ([(header::CONTENT_TYPE, Metrics::CONTENT_TYPE)], text)
}
