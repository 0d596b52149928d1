//! Recordings that clients send, and the voices in them.

use super::answer::off_the_runtime;
use super::error::ApiError;
use super::form::Upload;
use super::model::Model;
use crate::bundle::Voice;
use crate::frontend::audio::{Clip, DecodeLimits};
use crate::scheduler::Recording;

/// Has a model hear a recording.
///
/// `transcript`: what is said in it.
pub(super) async fn voice(
    model: &Model,
    name: &str,
    upload: Upload,
    transcript: Option<&str>,
) -> Result<Voice, ApiError> {
    model.check_floor()?;
    let Upload { bytes, room } = upload;
    let clip = off_the_runtime(move || Clip::decode(&bytes, DecodeLimits::default())).await;
    let recording = Recording {
        name: name.to_owned(),
        clip: clip.map_err(|error| ApiError::from(&error))?,
        transcript: transcript.map(str::to_owned),
    };
    let voice = model.scheduler.hear(recording).await?;
    drop(room);
    Ok(voice)
}
