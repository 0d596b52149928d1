//! HTTP: `OpenAI`'s speech API, CosyVoice's own, and what operators ask.
//!
//! The server turns requests into wishes, has them read (`crate::reading`) and spoken by a scheduler, and encodes what
//! comes. It holds no audio but that of the requests in hand.

mod admin;
mod answer;
mod body;
mod connections;
mod cosyvoice;
mod error;
mod form;
mod incoming;
mod metrics;
mod model;
mod openai;
mod recording;
mod request;
mod voices;

#[cfg(test)]
mod tests;

pub use connections::Patience;
pub use model::Model;

use crate::scheduler::SpeakerError;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use axum::{Router, middleware};
use error::ApiError;
use metrics::Metrics;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};

/// Models behind HTTP.
#[derive(Debug, Clone)]
pub struct Server {
    state: Arc<State>,
}

/// What a server refuses, and how long it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of a request's body at most, where it is no upload.
    pub body_bytes: usize,
    /// Bytes of an upload at most.
    pub upload_bytes: usize,
    /// Uploads that are held in memory at once.
    pub uploads: usize,
    /// Characters of a text at most.
    pub text_chars: usize,
    /// How long it waits for its clients.
    pub patience: Patience,
}

/// What every handler sees.
#[derive(Debug)]
struct State {
    models: Vec<Model>,
    metrics: Arc<Metrics>,
    settings: Settings,
    uploads: Arc<Semaphore>,
    started: Instant,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            body_bytes: 256 << 10,
            upload_bytes: 16 << 20,
            uploads: 16,
            text_chars: 4096,
            patience: Patience::default(),
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
            uploads: Arc::new(Semaphore::new(settings.uploads)),
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
            .route("/v1/models/{model}", get(openai::model))
            .route("/v1/audio/voices", get(voices::list).post(voices::add))
            .route("/v1/audio/voices/{name}", delete(voices::remove))
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
                "/inference_instruct",
                get(cosyvoice::instruct).post(cosyvoice::instruct),
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
            .fallback(request::no_such_path)
            .method_not_allowed_fallback(request::no_such_method)
            .layer(DefaultBodyLimit::max(state.settings.body_bytes))
            .layer(middleware::from_fn_with_state(
                Arc::clone(state),
                request::attend,
            ))
            .with_state(Arc::clone(state))
    }

    /// Serves until `stop`, or until a model's device is lost; then takes no new connection, and lets the requests in hand
    /// end.
    ///
    /// # Errors
    /// Why the first model that was lost can do nothing more in this process.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()>,
    ) -> Result<(), Arc<SpeakerError>> {
        let mut lost = self.losses();
        let mut outcome = Ok(());
        let closing = async {
            tokio::select! {
                () = stop => {}
                Some(reason) = lost.recv() => outcome = Err(reason),
            }
            for model in &self.state.models {
                model.scheduler.close();
            }
        };
        let patience = self.state.settings.patience;
        connections::serve(listener, self.router(), patience, closing).await;
        outcome
    }

    /// Hears of the first model that is lost.
    fn losses(&self) -> mpsc::Receiver<Arc<SpeakerError>> {
        let (tell, lost) = mpsc::channel(1);
        for model in &self.state.models {
            let (reason, tell) = (model.scheduler.lost(), tell.clone());
            tokio::spawn(async move {
                // Only the first one is waited for.
                let _ = tell.send(reason.await).await;
            });
        }
        lost
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
