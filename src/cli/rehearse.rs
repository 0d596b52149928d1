//! What is said to a bundle to learn how its values behave: a few texts, with the bundle's own voices.

use super::context::Context;
use super::failure::{Exit, Failure};
use super::printer;
use crate::backend::{Backends, LoadOptions};
use crate::bundle::Bundle;
use crate::frontend::text::{TextFrontend, text_from_bytes};
use crate::ids::BackendId;
use crate::pipeline::SpeechRequest;
use crate::qualify::{QualifyError, Rehearsal};
use crate::reading::{Reader, Wish, WishedVoice};
use crate::setup::text_graphs;
use std::num::NonZeroUsize;
use std::path::Path;

/// What to say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Script<'a> {
    /// A UTF-8 file with one text per line; `None` for the texts that are always said.
    pub(super) texts: Option<&'a Path>,
    /// Voices by name; none for the bundle's first ones.
    pub(super) voices: &'a [String],
    /// Most speech tokens of one utterance.
    pub(super) max_tokens: NonZeroUsize,
}

/// Short, since ranges hardly grow with length; numbers, questions and two writing systems, since they do with content.
const TEXTS: [&str; 3] = [
    "Good morning! Did the 8:15 train leave on time?",
    "收到好友从远方寄来的生日礼物，那份意外的惊喜让我心中充满了甜蜜的快乐。",
    "She sells sea shells by the sea shore, quietly, and nobody ever asks her why.",
];
/// Voices used where none is named.
const VOICES: usize = 2;

impl Default for Script<'_> {
    fn default() -> Self {
        Self {
            texts: None,
            voices: &[],
            max_tokens: MAX_TOKENS,
        }
    }
}

/// Two seconds of speech.
pub(super) const MAX_TOKENS: NonZeroUsize = NonZeroUsize::new(50).expect("not zero");

/// Lets the pipeline speak a script for `work`, on ONNX Runtime.
pub(super) fn rehearse<T>(
    bundle: &Bundle,
    backends: &Backends,
    script: Script<'_>,
    context: &Context,
    cancelled: &dyn Fn() -> bool,
    work: impl FnOnce(&Rehearsal<'_>) -> Result<T, QualifyError>,
) -> Result<T, Failure> {
    let reference = backends
        .get(BackendId::OrtCpu)
        .map_err(QualifyError::from)?;
    reference.probe().map_err(QualifyError::from)?;
    let requests = requests(bundle, script, context)?;
    let options = LoadOptions {
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        device: 0,
    };
    let spinner = printer::spinner(
        format!(
            "{}: speaking {} texts",
            bundle.manifest().name,
            requests.len()
        ),
        context.quiet(),
    );
    let outcome = work(&Rehearsal {
        bundle,
        reference: &**reference,
        options: &options,
        requests: &requests,
        cancelled,
        say: &|what| {
            spinner.set_message(what.to_owned());
            tracing::info!("{what}");
        },
    });
    spinner.finish_and_clear();
    outcome.map_err(|error| {
        if error.is_stop() {
            Failure::message(Exit::Failed, "stopped")
        } else {
            Failure::from(error)
        }
    })
}

/// One request per segment of a text, the voices in turn; none where the bundle cannot speak.
fn requests(
    bundle: &Bundle,
    script: Script<'_>,
    context: &Context,
) -> Result<Vec<SpeechRequest>, Failure> {
    let frontend = TextFrontend::open(&text_graphs(context.runtime_dir()))?;
    let reader = Reader::open(bundle, frontend)?;
    let mut voices = script.voices.to_vec();
    if voices.is_empty() {
        voices = reader.voice_names();
        voices.truncate(VOICES);
    }
    let mut requests = Vec::new();
    // A text says nothing to a bundle without voices.
    for ((seed, text), voice) in (0..).zip(texts(script.texts)?).zip(voices.iter().cycle()) {
        requests.extend(reader.segments(&Wish {
            voice: WishedVoice::Named(voice.clone()),
            seed,
            max_tokens: Some(script.max_tokens.get()),
            ..Wish::new(text)
        })?);
    }
    Ok(requests)
}

fn texts(file: Option<&Path>) -> Result<Vec<String>, Failure> {
    let Some(path) = file else {
        return Ok(TEXTS.map(str::to_owned).to_vec());
    };
    let unusable = |error: anyhow::Error| {
        Failure::usage(error.context(format!("cannot use {}", path.display())))
    };
    let bytes = std::fs::read(path).map_err(|error| unusable(error.into()))?;
    let text = text_from_bytes(&bytes).map_err(|error| unusable(error.into()))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.map(str::to_owned).collect())
}
