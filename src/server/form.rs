//! Form fields, wherever a client puts them.

use super::State;
use super::error::ApiError;
use super::incoming::{self, unread};
use axum::RequestExt;
use axum::body::Bytes;
use axum::extract::multipart::{MultipartError, MultipartRejection};
use axum::extract::{DefaultBodyLimit, Multipart, Request};
use http_body::Body as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// The fields of a request: from its query, and from its body, URL-encoded or multipart, whatever the method.
///
/// The reference's client sends a body with `GET`. A field of the body goes before one of the query.
#[derive(Debug, Default)]
pub(super) struct Form {
    texts: BTreeMap<String, String>,
    files: BTreeMap<String, Bytes>,
    /// The room its files take up.
    room: Option<OwnedSemaphorePermit>,
}

const FORMS: &str = "multipart/form-data or application/x-www-form-urlencoded";

impl Form {
    pub(super) async fn read(mut request: Request, state: &State) -> Result<Self, ApiError> {
        let settings = &state.settings;
        let mut form = Self::default();
        form.add_encoded(request.uri().query().unwrap_or_default().as_bytes());
        match incoming::content_type(&request).as_str() {
            "multipart/form-data" => {
                form.room = Some(room(state)?);
                DefaultBodyLimit::max(settings.upload_bytes).apply(&mut request);
                let reading = form.add_parts(request, settings.upload_bytes);
                incoming::in_time(reading, settings.patience.body).await?;
            }
            "application/x-www-form-urlencoded" => {
                form.add_encoded(&incoming::body(request, settings).await?);
            }
            found if !found.is_empty() && !request.body().is_end_stream() => {
                return Err(incoming::unsupported(found, FORMS));
            }
            _ => {}
        }
        Ok(form)
    }

    /// The value of a field that is no file.
    pub(super) fn text(&self, field: &str) -> Option<&str> {
        self.texts.get(field).map(String::as_str)
    }

    /// The content of a field that must be there.
    pub(super) fn needed(&self, field: &'static str) -> Result<&str, ApiError> {
        self.text(field).ok_or_else(|| missing(field))
    }

    /// A file, with the room it takes up; an empty one is none.
    pub(super) fn file(&mut self, field: &str) -> Option<Upload> {
        let bytes = self.files.remove(field).filter(|bytes| !bytes.is_empty())?;
        let room = self.room.take()?;
        Some(Upload { bytes, room })
    }

    fn add_encoded(&mut self, encoded: &[u8]) {
        self.texts
            .extend(form_urlencoded::parse(encoded).into_owned());
    }

    async fn add_parts(&mut self, request: Request, limit: usize) -> Result<(), ApiError> {
        let parts: Result<Multipart, MultipartRejection> = request.extract().await;
        let mut parts = parts.map_err(|error| unread(error.status(), error.body_text(), limit))?;
        let broken = |error: MultipartError| unread(error.status(), error.body_text(), limit);
        while let Some(part) = parts.next_field().await.map_err(broken)? {
            let Some(name) = part.name().map(str::to_owned) else {
                continue;
            };
            if part.file_name().is_some() {
                let bytes = part.bytes().await.map_err(broken)?;
                self.files.insert(name, bytes);
            } else {
                let text = part.text().await.map_err(broken)?;
                self.texts.insert(name, text);
            }
        }
        Ok(())
    }
}

/// A file that a client sent.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) bytes: Bytes,
    /// Held for as long as the bytes are.
    pub(super) room: OwnedSemaphorePermit,
}

/// Room for one upload; there is none when as many are in hand as may be.
fn room(state: &State) -> Result<OwnedSemaphorePermit, ApiError> {
    let room = Arc::clone(&state.uploads).try_acquire_owned();
    room.map_err(|_| ApiError::busy("as many uploads as there may be are in hand"))
}

/// A field that must be there and is not.
pub(super) fn missing(field: &'static str) -> ApiError {
    ApiError::field(field, "the field is missing")
}
