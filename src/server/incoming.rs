//! Bodies of requests: within their size, in time, and of the type that is asked for.

use super::Settings;
use super::error::ApiError;
use axum::RequestExt;
use axum::body::Bytes;
use axum::extract::Request;
use axum::extract::rejection::BytesRejection;
use axum::http::{StatusCode, header};
use std::future::Future;
use std::time::Duration;

/// The whole body of a request that is no upload.
pub(super) async fn body(request: Request, settings: &Settings) -> Result<Bytes, ApiError> {
    let reading = async {
        let body: Result<Bytes, BytesRejection> = request.extract().await;
        let limit = settings.body_bytes;
        body.map_err(|rejection| unread(rejection.status(), rejection.body_text(), limit))
    };
    in_time(reading, settings.patience.body).await
}

/// Reads a body, and gives up on a client that takes too long to send it, however steadily.
pub(super) async fn in_time<T>(
    reading: impl Future<Output = Result<T, ApiError>>,
    patience: Duration,
) -> Result<T, ApiError> {
    match tokio::time::timeout(patience, reading).await {
        Ok(read) => read,
        Err(_) => Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            format!("the body did not arrive within {} s", patience.as_secs()),
        )),
    }
}

/// The content type without its parameters, in small letters; empty where there is none.
pub(super) fn content_type(request: &Request) -> String {
    let value = request.headers().get(header::CONTENT_TYPE);
    let value = value.map_or("", |value| value.to_str().unwrap_or("unreadable"));
    let essence = value.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

/// A body of a type that cannot be used.
pub(super) fn unsupported(found: &str, expected: &str) -> ApiError {
    let message = format!("the body is `{found}`; this endpoint takes {expected}");
    ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        message,
    )
}

/// A body that did not arrive, or not all of it.
pub(super) fn unread(status: StatusCode, reason: String, limit_bytes: usize) -> ApiError {
    if status != StatusCode::PAYLOAD_TOO_LARGE {
        return ApiError::new(status, "unreadable_body", reason);
    }
    let message = format!("the body has more than {limit_bytes} bytes, which is the limit");
    ApiError::new(status, "body_too_large", message)
}
