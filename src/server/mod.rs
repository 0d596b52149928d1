//! HTTP: `OpenAI`'s speech API, CosyVoice's own, and what operators ask.
//!
//! The server turns requests into wishes, has them read (`crate::reading`) and spoken by a scheduler, and encodes what
//! comes. It holds no audio but that of the requests in hand.

mod admin;
mod answer;
mod body;
mod cosyvoice;
mod error;
mod form;
mod metrics;
mod model;
mod openai;
mod request;

#[cfg(test)]
mod tests;

pub use model::Model;

use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::{any, get, post};
use axum::{Router, middleware};
use error::ApiError;
use metrics::Metrics;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// Models behind HTTP.
#[derive(Debug, Clone)]
pub struct Server {
    state: Arc<State>,
}

/// What a server refuses, and how long it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of a request's body at most.
    pub body_bytes: usize,
    /// Characters of a text at most.
    pub text_chars: usize,
    /// How long requests in hand may take once the server is to stop.
    pub drain: Duration,
}

/// What every handler sees.
#[derive(Debug)]
struct State {
    models: Vec<Model>,
    metrics: Arc<Metrics>,
    settings: Settings,
    started: Instant,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            body_bytes: 16 << 20,
            text_chars: 4096,
            drain: Duration::from_secs(30),
        }
    }
}

impl Server {
    /// A server of these models, the first of which is the default.
    pub fn new(models: Vec<Model>, settings: Settings) -> Self {
        let state = State {
            models,
            metrics: Arc::new(Metrics::new()),
            settings,
            started: Instant::now(),
        };
        Self {
            state: Arc::new(state),
        }
    }

    /// Every route.
    pub fn router(&self) -> Router {
        let state = &self.state;
        Router::new()
            .route("/v1/audio/speech", post(openai::speech))
            .route("/v1/models", get(openai::models))
            .route("/v1/audio/voices", get(openai::voices))
            .route("/v1/{*rest}", any(openai::unknown))
            .route("/inference_sft", get(cosyvoice::sft).post(cosyvoice::sft))
            .route(
                "/inference_zero_shot",
                get(cosyvoice::zero_shot).post(cosyvoice::zero_shot),
            )
            .route(
                "/inference_cross_lingual",
                get(cosyvoice::cross_lingual).post(cosyvoice::cross_lingual),
            )
            .route(
                "/inference_instruct2",
                get(cosyvoice::instruct2).post(cosyvoice::instruct2),
            )
            .route("/list_voices", get(cosyvoice::list_voices))
            .route("/warmup_trt", post(admin::warm_up))
            .route("/performance_info", get(admin::performance))
            .route("/healthz", get(admin::health))
            .route("/readyz", get(admin::ready))
            .route("/metrics", get(admin::metrics))
            .layer(DefaultBodyLimit::max(state.settings.body_bytes))
            .layer(middleware::from_fn_with_state(
                Arc::clone(state),
                request::attend,
            ))
            .with_state(Arc::clone(state))
    }

    /// Serves until `stop`; then takes no new connection, and lets the requests in hand end.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let state = Arc::clone(&self.state);
        let (stopping, stopped) = tokio::sync::oneshot::channel();
        let closing = async move {
            stop.await;
            for model in &state.models {
                model.scheduler.close();
            }
            // Nobody listens once the listener has failed.
            let _ = stopping.send(());
        };
        let drain = self.state.settings.drain;
        let late = async {
            if stopped.await.is_err() {
                return std::future::pending().await;
            }
            tokio::time::sleep(drain).await;
        };
        tokio::select! {
            served = axum::serve(listener, self.router()).with_graceful_shutdown(closing) => served,
            () = late => {
                tracing::warn!(drain_s = drain.as_secs(), "requests in hand are given up");
                Ok(())
            }
        }
    }
}

impl State {
    /// The text, if it is no longer than one may be.
    fn checked(&self, text: String) -> Result<String, ApiError> {
        let limit = self.settings.text_chars;
        let found = text.chars().count();
        if found <= limit {
            return Ok(text);
        }
        let message = format!("the text has {found} characters, {limit} is the limit");
        Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "text_too_long", message).of_field("text"))
    }
}
