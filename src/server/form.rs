//! Form fields, wherever a client puts them.

use super::error::ApiError;
use super::openai::unread;
use axum::RequestExt;
use axum::body::Bytes;
use axum::extract::{Multipart, Request};
use axum::http::{StatusCode, header};
use std::collections::{BTreeMap, BTreeSet};

/// The fields of a request: from its query, and from its body, URL-encoded or multipart, whatever the method.
///
/// The reference's client sends a body with `GET`. A field of the body goes before one of the query.
#[derive(Debug, Default)]
pub(super) struct Form {
    texts: BTreeMap<String, String>,
    files: BTreeSet<String>,
}

impl Form {
    pub(super) async fn read(request: Request) -> Result<Self, ApiError> {
        let mut form = Self::default();
        form.add_encoded(request.uri().query().unwrap_or_default().as_bytes());
        let content_type = request.headers().get(header::CONTENT_TYPE);
        let content_type = content_type
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        if content_type.starts_with("multipart/form-data") {
            form.add_parts(request).await?;
        } else if content_type.starts_with("application/x-www-form-urlencoded") {
            let body: Bytes = request
                .extract()
                .await
                .map_err(|rejection| unread(&rejection))?;
            form.add_encoded(&body);
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
        let mut parts: Multipart = request.extract().await.map_err(
            |rejection: axum::extract::multipart::MultipartRejection| {
                ApiError::new(rejection.status(), "unreadable_body", rejection.body_text())
            },
        )?;
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

fn broken(error: &axum::extract::multipart::MultipartError) -> ApiError {
    let status = error.status();
    let code = if status == StatusCode::PAYLOAD_TOO_LARGE {
        "body_too_large"
    } else {
        "unreadable_body"
    };
    ApiError::new(status, code, error.body_text())
}
