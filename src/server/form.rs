//! Form fields, wherever a client puts them.

use super::error::ApiError;
use super::incoming::{self, unread};
use axum::RequestExt;
use axum::extract::multipart::{MultipartError, MultipartRejection};
use axum::extract::{Multipart, Request};
use http_body::Body as _;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The fields of a request: from its query, and from its body, URL-encoded or multipart, whatever the method.
///
/// The reference's client sends a body with `GET`. A field of the body goes before one of the query.
#[derive(Debug, Default)]
pub(super) struct Form {
    texts: BTreeMap<String, String>,
    files: BTreeSet<String>,
}

const FORMS: &str = "multipart/form-data or application/x-www-form-urlencoded";

impl Form {
    /// Reads a request's fields within `patience`.
    pub(super) async fn read(request: Request, patience: Duration) -> Result<Self, ApiError> {
        let mut form = Self::default();
        form.add_encoded(request.uri().query().unwrap_or_default().as_bytes());
        match incoming::content_type(&request).as_str() {
            "multipart/form-data" => {
                incoming::in_time(form.add_parts(request), patience).await?;
            }
            "application/x-www-form-urlencoded" => {
                form.add_encoded(&incoming::body(request, patience).await?);
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

    /// Whether a file came under this name.
    pub(super) fn has_file(&self, field: &str) -> bool {
        self.files.contains(field)
    }

    fn add_encoded(&mut self, encoded: &[u8]) {
        self.texts
            .extend(form_urlencoded::parse(encoded).into_owned());
    }

    async fn add_parts(&mut self, request: Request) -> Result<(), ApiError> {
        let parts: Result<Multipart, MultipartRejection> = request.extract().await;
        let mut parts = parts.map_err(|error| unread(error.status(), error.body_text()))?;
        while let Some(part) = parts.next_field().await.map_err(|error| broken(&error))? {
            let Some(name) = part.name().map(str::to_owned) else {
                continue;
            };
            if part.file_name().is_some() {
                self.files.insert(name);
                continue;
            }
            let text = part.text().await.map_err(|error| broken(&error))?;
            self.texts.insert(name, text);
        }
        Ok(())
    }
}

fn broken(error: &MultipartError) -> ApiError {
    unread(error.status(), error.body_text())
}
