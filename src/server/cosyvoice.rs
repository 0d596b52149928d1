//! CosyVoice's own HTTP API: form fields in, raw 16-bit samples out.

use super::State;
use super::answer::{self, Answer, Delivery};
use super::error::{ApiError, CosyVoiceError, RECORDING};
use super::form::Form;
use super::request::Asked;
use super::{model, recording};
use crate::frontend::encode::AudioFormat;
use crate::frontend::text::{SplitRules, Splitting};
use crate::ids::Mode;
use crate::reading::{Wish, WishedVoice};
use axum::Json;
use axum::extract::{self, Extension, Request};
use axum::response::Response;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::sync::Arc;

/// What the API's fields are called where they differ.
const NAMES: [(&str, &str); 5] = [
    ("text", "tts_text"),
    ("voice", "spk_id"),
    ("transcript", "prompt_text"),
    ("instruction", "instruct_text"),
    (RECORDING, "prompt_wav"),
];

/// What errors call the voice of an uploaded prompt.
const PROMPT: &str = "prompt_wav";

/// Sentences are cut beyond this, in characters or, without Chinese, in tokens.
const LONGEST_SENTENCE: NonZeroUsize = NonZeroUsize::new(100).expect("positive");

/// `/inference_sft`.
pub(super) async fn sft(
    state: extract::State<Arc<State>>,
    asked: Extension<Asked>,
    request: Request,
) -> Result<Response, CosyVoiceError> {
    inference(Mode::Sft, &state, *asked, request).await
}

/// `/inference_zero_shot`.
pub(super) async fn zero_shot(
    state: extract::State<Arc<State>>,
    asked: Extension<Asked>,
    request: Request,
) -> Result<Response, CosyVoiceError> {
    inference(Mode::ZeroShot, &state, *asked, request).await
}

/// `/inference_cross_lingual`.
pub(super) async fn cross_lingual(
    state: extract::State<Arc<State>>,
    asked: Extension<Asked>,
    request: Request,
) -> Result<Response, CosyVoiceError> {
    inference(Mode::CrossLingual, &state, *asked, request).await
}

/// `/inference_instruct`.
pub(super) async fn instruct(
    state: extract::State<Arc<State>>,
    asked: Extension<Asked>,
    request: Request,
) -> Result<Response, CosyVoiceError> {
    inference(Mode::Instruct, &state, *asked, request).await
}

/// `/inference_instruct2`.
pub(super) async fn instruct2(
    state: extract::State<Arc<State>>,
    asked: Extension<Asked>,
    request: Request,
) -> Result<Response, CosyVoiceError> {
    inference(Mode::Instruct2, &state, *asked, request).await
}

/// `GET /list_voices`: names of the first model's voices.
pub(super) async fn list_voices(
    extract::State(state): extract::State<Arc<State>>,
) -> Json<Vec<String>> {
    let names = state
        .models
        .iter()
        .take(1)
        .flat_map(|model| model.reader.voice_names());
    Json(names.collect())
}

async fn inference(
    mode: Mode,
    state: &Arc<State>,
    asked: Asked,
    request: Request,
) -> Result<Response, CosyVoiceError> {
    let mut form = Form::read(request, state).await?;
    let model = model::named(&state.models, form.text("model"))?;
    let answer = Answer {
        format: format(&form)?,
        delivery: delivery(&form)?,
        asked: asked.at,
        metrics: Arc::clone(&state.metrics),
    };
    let prompt = form.file("prompt_wav").filter(|_| hears_prompt(mode));
    let spoken: Result<Response, ApiError> = async {
        let mut wish = wish(mode, state, &form)?;
        if let Some(prompt) = prompt {
            let voice = recording::voice(model, PROMPT, prompt, form.text("prompt_text")).await?;
            wish.voice = WishedVoice::Given(Arc::new(voice));
        }
        let segments = model.reader.segments(&wish)?;
        answer::speak(model, segments, answer).await
    }
    .await;
    Ok(spoken.map_err(|error| error.renamed(&NAMES))?)
}

/// Whether a mode conditions on a prompt, and not on a stored speaker only.
fn hears_prompt(mode: Mode) -> bool {
    matches!(mode, Mode::ZeroShot | Mode::CrossLingual | Mode::Instruct2)
}

fn wish(mode: Mode, state: &State, form: &Form) -> Result<Wish, ApiError> {
    let text = form.needed("tts_text")?.to_owned();
    let instruction = form.text("instruct_text");
    Ok(Wish {
        voice: form.text("spk_id").map(str::to_owned).into(),
        mode: Some(mode),
        instruction: instruction
            .filter(|_| matches!(mode, Mode::Instruct | Mode::Instruct2))
            .map(str::to_owned),
        transcript: form.text("prompt_text").map(str::to_owned),
        splitting: splitting(form)?,
        seed: parsed(form, "seed")?.unwrap_or(0),
        speed: parsed(form, "speed")?.unwrap_or(1.0),
        ..Wish::new(state.checked(text)?)
    })
}

/// `enable_smart_split` cuts sentences longer than `max_text_length`.
fn splitting(form: &Form) -> Result<Splitting, ApiError> {
    let cuts: bool = parsed(form, "enable_smart_split")?.unwrap_or(true);
    let longest: NonZeroUsize = parsed(form, "max_text_length")?.unwrap_or(LONGEST_SENTENCE);
    Ok(Splitting {
        rules: SplitRules::default(),
        max_length: cuts.then_some(longest),
    })
}

/// `format`: `stream`, the reference's raw samples, or `wav`.
fn format(form: &Form) -> Result<AudioFormat, ApiError> {
    match form.text("format") {
        None | Some("stream") => Ok(AudioFormat::Pcm),
        Some("wav") => Ok(AudioFormat::Wav),
        Some(other) => Err(ApiError::field(
            "format",
            format!("`{other}` is neither stream nor wav"),
        )),
    }
}

fn delivery(form: &Form) -> Result<Delivery, ApiError> {
    let usual = form.text("format") != Some("wav");
    let streamed: bool = parsed(form, "stream")?.unwrap_or(usual);
    Ok(if streamed {
        Delivery::Chunked
    } else {
        Delivery::Whole
    })
}

fn parsed<T: FromStr<Err: std::fmt::Display>>(
    form: &Form,
    field: &'static str,
) -> Result<Option<T>, ApiError> {
    let word = form.text(field).map(str::to_ascii_lowercase);
    word.map(|word| {
        word.parse()
            .map_err(|error| ApiError::field(field, format!("`{word}`: {error}")))
    })
    .transpose()
}
