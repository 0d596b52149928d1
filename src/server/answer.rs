//! Speech as an HTTP response: whole, chunked, or as server-sent events.

use super::body::{self, BodyFrame, Broken};
use super::error::ApiError;
use super::metrics::Metrics;
use super::model::Model;
use crate::frontend::FrontendError;
use crate::frontend::encode::{AudioFormat, Encoder};
use crate::pipeline::SpeechRequest;
use crate::scheduler::{Chunk, JobError, SpeechStream};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use http_body::Frame;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How audio reaches the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// With its length, when all of it is there.
    Whole,
    /// As it is made.
    Chunked,
    /// As it is made, in `speech.audio.delta` events.
    Events,
}

/// What an answer is to be.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) format: AudioFormat,
    pub(super) delivery: Delivery,
    /// When the request came.
    pub(super) asked: Instant,
    pub(super) metrics: Arc<Metrics>,
}

/// What was spoken so far.
#[derive(Debug, Clone)]
struct Account {
    model: String,
    asked: Instant,
    metrics: Arc<Metrics>,
    samples: u64,
    sample_rate: u32,
    /// Time the lane took.
    took: Duration,
    input_tokens: usize,
    output_tokens: usize,
}

const RTF: HeaderName = HeaderName::from_static("x-rtf");
const PROCESSING_TIME: HeaderName = HeaderName::from_static("x-processing-time");
const AUDIO_DURATION: HeaderName = HeaderName::from_static("x-audio-duration");
const BACKEND: HeaderName = HeaderName::from_static("x-backend");
const SAMPLE_RATE: HeaderName = HeaderName::from_static("x-sample-rate");

/// Has a model speak, and answers once the first audio is there: until then an error can still have its own status.
pub(super) async fn speak(
    model: &Model,
    segments: Vec<SpeechRequest>,
    answer: Answer,
) -> Result<Response, ApiError> {
    model.check_floor()?;
    let input_tokens = segments.iter().map(|segment| segment.text_ids.len()).sum();
    let mut stream = model.scheduler.submit(segments)?;
    let first = stream.next().await?.ok_or(JobError::Stopped)?;
    answer.metrics.begun(&model.name, answer.asked.elapsed());
    let account = Account {
        model: model.name.clone(),
        asked: answer.asked,
        metrics: Arc::clone(&answer.metrics),
        samples: 0,
        sample_rate: first.sample_rate,
        took: Duration::ZERO,
        input_tokens,
        output_tokens: 0,
    };
    let mut response = match answer.delivery {
        Delivery::Whole => whole(stream, first, answer.format, account).await?,
        Delivery::Chunked | Delivery::Events => {
            let encoder = answer.format.encoder(first.sample_rate, None);
            let encoder = encoder.map_err(|error| ApiError::from(&error))?;
            streamed(stream, first, encoder, &answer, account)
        }
    };
    let backend = HeaderValue::from_str(&model.backends()).expect("names of backends are ASCII");
    response.headers_mut().insert(BACKEND, backend);
    Ok(response)
}

async fn whole(
    mut stream: SpeechStream,
    first: Chunk,
    format: AudioFormat,
    mut account: Account,
) -> Result<Response, ApiError> {
    account.add(&first);
    let mut pcm = first.pcm;
    while let Some(chunk) = stream.next().await? {
        account.add(&chunk);
        pcm.extend(chunk.pcm);
    }
    let sample_rate = account.sample_rate;
    let bytes = off_the_runtime(move || format.encode(&pcm, sample_rate))
        .await
        .map_err(|error| ApiError::from(&error))?;
    let mut response = Response::new(Body::from(bytes));
    let headers = response.headers_mut();
    headers.extend(account.close());
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(format.content_type()),
    );
    headers.insert(SAMPLE_RATE, HeaderValue::from(sample_rate));
    Ok(response)
}

fn streamed(
    stream: SpeechStream,
    first: Chunk,
    encoder: Box<dyn Encoder>,
    answer: &Answer,
    account: Account,
) -> Response {
    let (frames, body) = body::channel();
    let sample_rate = account.sample_rate;
    let events = answer.delivery == Delivery::Events;
    let writer = Writer {
        frames,
        events,
        account,
    };
    tokio::spawn(writer.write(stream, first, encoder));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    let content_type = if events {
        "text/event-stream"
    } else {
        answer.format.content_type()
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(SAMPLE_RATE, HeaderValue::from(sample_rate));
    let trailers = HeaderValue::from_static("x-rtf, x-processing-time, x-audio-duration");
    headers.insert(header::TRAILER, trailers);
    response
}

/// Writes a streamed answer; ends, and withdraws the request, when the client goes.
struct Writer {
    frames: mpsc::Sender<BodyFrame>,
    events: bool,
    account: Account,
}

/// The client has gone.
struct Gone;

impl Writer {
    async fn write(
        mut self,
        mut stream: SpeechStream,
        first: Chunk,
        mut encoder: Box<dyn Encoder>,
    ) {
        let mut next: Result<_, JobError> = Ok(Some(first));
        loop {
            let chunk = match next {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return self.end(encoder).await,
                Err(error) => return self.fail(&error.into()).await,
            };
            self.account.add(&chunk);
            let bytes;
            (encoder, bytes) = match encode(encoder, chunk.pcm).await {
                Ok(done) => done,
                Err(error) => return self.fail(&ApiError::from(&error)).await,
            };
            if self.audio(bytes).await.is_err() {
                return;
            }
            next = tokio::select! {
                next = stream.next() => next,
                () = self.frames.closed() => return,
            };
        }
    }

    async fn end(self, mut encoder: Box<dyn Encoder>) {
        let mut bytes = Vec::new();
        if let Err(error) = encoder.finish(&mut bytes) {
            return self.fail(&ApiError::from(&error)).await;
        }
        // Whoever hung up after the last byte has what he wanted.
        let _ = self.farewell(bytes).await;
    }

    async fn farewell(&self, bytes: Vec<u8>) -> Result<(), Gone> {
        self.audio(bytes).await?;
        if self.events {
            let Account {
                input_tokens: input,
                output_tokens: output,
                ..
            } = self.account;
            let usage = json!({ "input_tokens": input, "output_tokens": output, "total_tokens": input + output });
            self.event(&json!({ "type": "speech.audio.done", "usage": usage }))
                .await?;
        }
        self.send(Ok(Frame::trailers(self.account.close()))).await
    }

    async fn audio(&self, bytes: Vec<u8>) -> Result<(), Gone> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.events {
            let audio = base64::encode(bytes);
            return self
                .event(&json!({ "type": "speech.audio.delta", "audio": audio }))
                .await;
        }
        self.send(Ok(Frame::data(Bytes::from(bytes)))).await
    }

    async fn event(&self, event: &serde_json::Value) -> Result<(), Gone> {
        self.send(Ok(Frame::data(Bytes::from(format!("data: {event}\n\n")))))
            .await
    }

    async fn fail(&self, error: &ApiError) {
        tracing::error!(message = error.message(), "an answer broke off");
        if self.events {
            let (code, message) = (error.code(), error.message());
            let event = json!({ "type": "error", "error": { "code": code, "message": message } });
            if self.event(&event).await.is_err() {
                return;
            }
        }
        let _ = self.send(Err(Broken(error.message().to_owned()))).await;
    }

    async fn send(&self, frame: BodyFrame) -> Result<(), Gone> {
        self.frames.send(frame).await.map_err(|_| Gone)
    }
}

/// Encodes samples where it holds up no socket, and gives the encoder back for the next ones.
async fn encode(
    mut encoder: Box<dyn Encoder>,
    pcm: Vec<f32>,
) -> Result<(Box<dyn Encoder>, Vec<u8>), FrontendError> {
    off_the_runtime(move || {
        let mut bytes = Vec::new();
        encoder.push(&pcm, &mut bytes)?;
        Ok((encoder, bytes))
    })
    .await
}

/// Runs work that takes a processor for a while where it holds up no socket.
pub(super) async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

impl Account {
    fn add(&mut self, chunk: &Chunk) {
        self.samples += chunk.pcm.len() as u64;
        self.took += chunk.took;
        self.output_tokens += chunk.tokens;
        if let Some(end) = chunk.end {
            self.metrics.segment(&self.model, end, chunk.loops_broken);
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "sample counts are far below 2^53"
    )]
    fn audio_seconds(&self) -> f64 {
        self.samples as f64 / f64::from(self.sample_rate)
    }

    /// What the speech was worth.
    fn close(&self) -> HeaderMap {
        let seconds = self.audio_seconds();
        let rtf = self.took.as_secs_f64() / seconds;
        self.metrics.spoken(&self.model, seconds, rtf);
        let number =
            |value: f64| HeaderValue::from_str(&format!("{value:.3}")).expect("a number is ASCII");
        HeaderMap::from_iter([
            (RTF, number(rtf)),
            (PROCESSING_TIME, number(self.asked.elapsed().as_secs_f64())),
            (AUDIO_DURATION, number(seconds)),
        ])
    }
}
