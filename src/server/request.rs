//! What every request gets: an id, a span, a place in the metrics.

use super::State;
use super::error::{ApiError, OpenAiError};
use axum::extract::{self, MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use std::sync::Arc;
use std::time::Instant;
use tracing::Instrument as _;

/// When a request came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) at: Instant,
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A client's own id is kept up to this length.
const MAX_ID_BYTES: usize = 128;
/// Characters of a path that a message repeats.
const MAX_PATH_CHARS: usize = 128;

/// Runs a request in a span of its own, counts its answer, and puts its id on it.
pub(super) async fn attend(
    extract::State(state): extract::State<Arc<State>>,
    mut request: Request,
    next: Next,
) -> Response {
    let at = Instant::now();
    request.extensions_mut().insert(Asked { at });
    let id = id_of(&request);
    // Of a path that is no route only this is kept: labels must not grow with what clients make up.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none", MatchedPath::as_str)
        .to_owned();
    let span = tracing::info_span!("request", id = id.to_str().unwrap_or_default(), route);
    let mut response = next.run(request).instrument(span.clone()).await;
    let status = response.status().as_u16();
    state.metrics.answered(&route, status, at.elapsed());
    span.in_scope(|| tracing::info!(status, elapsed_ms = at.elapsed().as_millis(), "answered"));
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// What is asked of a path that is none.
pub(super) async fn no_such_path(request: Request) -> OpenAiError {
    let message = format!("there is no `{}`", path_of(&request));
    OpenAiError(ApiError::new(StatusCode::NOT_FOUND, "not_found", message))
}

/// A path asked in a way it does not answer; the head of the answer names those it does.
pub(super) async fn no_such_method(request: Request) -> OpenAiError {
    let message = format!("`{}` takes no {}", path_of(&request), request.method());
    let status = StatusCode::METHOD_NOT_ALLOWED;
    OpenAiError(ApiError::new(status, "method_not_allowed", message))
}

/// As much of the path as a message needs.
fn path_of(request: &Request) -> String {
    request.uri().path().chars().take(MAX_PATH_CHARS).collect()
}

fn id_of(request: &Request) -> HeaderValue {
    let sound = |id: &&HeaderValue| {
        (1..=MAX_ID_BYTES).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    let given = request.headers().get(REQUEST_ID).filter(sound).cloned();
    given.unwrap_or_else(|| {
        let id = format!("req-{:032x}", fastrand::u128(..));
        HeaderValue::from_str(&id).expect("hexadecimal digits are ASCII")
    })
}
