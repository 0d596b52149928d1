//! `cvtrt voices`: the voices a bundle has, and recordings made into more of them.

use super::context::Context;
use super::failure::{Exit, Failure};
use super::listen::{self, Ear, stand_ins_line};
use super::model;
use super::printer::table;
use crate::bundle::{BundleError, VoiceSummary, check_voice_name};
use crate::ids::GraphId;
use std::fmt::Write as _;
use std::path::PathBuf;

/// List, keep and remove voices of a bundle
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Every voice, with its prompt's length and words
    List(OfBundle),
    /// Make a recording a voice, once for all later requests
    Add(Add),
    /// Forget a voice
    Remove(OfVoice),
    /// One voice: tokens, frames, duration, transcript, embedding
    Show(OfVoice),
}

#[derive(Debug, clap::Args)]
struct OfBundle {
    /// Bundle: a folder, or a name under onnx/
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct OfVoice {
    /// The voice
    name: String,
    #[command(flatten)]
    of: OfBundle,
}

#[derive(Debug, clap::Args)]
struct Add {
    /// Name of the new voice
    name: String,
    /// The recording: WAV, FLAC, MP3 or Ogg Vorbis, half a second to 30 s
    #[arg(long, value_name = "FILE")]
    wav: PathBuf,
    /// What the recording says; without it the voice does not speak in mode `zero_shot`
    #[arg(long, value_name = "TRANSCRIPT")]
    text: Option<String>,
    /// Replace a voice of the same name
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    of: OfBundle,
    #[command(flatten)]
    load: model::LoadFlags,
}

/// One voice, and where it is kept.
#[derive(Debug, serde::Serialize)]
struct Shown {
    #[serde(flatten)]
    voice: VoiceSummary,
    file: PathBuf,
    /// Graphs with random weights that heard it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stand_ins: Vec<GraphId>,
}

#[derive(Debug, serde::Serialize)]
struct Removed {
    removed: String,
    file: PathBuf,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    match &args.command {
        Command::List(of) => list(of, context),
        Command::Add(add) => keep(add, context),
        Command::Remove(which) => remove(which, context),
        Command::Show(which) => show(which, context),
    }
}

/// A table of voices.
pub(super) fn table_of(voices: &[VoiceSummary]) -> String {
    let heading = ["voice", "prompt", "transcript"]
        .map(str::to_owned)
        .to_vec();
    let rows = voices.iter().map(|voice| {
        let prompt = if voice.prompt_tokens == 0 {
            "none".to_owned()
        } else {
            format!("{:.2} s", voice.prompt_seconds)
        };
        vec![
            voice.name.clone(),
            prompt,
            voice.transcript.clone().unwrap_or_default(),
        ]
    });
    table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>())
}

fn list(of: &OfBundle, context: &Context) -> Result<Exit, Failure> {
    let voices = model::bundle(of.bundle.as_deref(), context)?.voice_summaries()?;
    context
        .printer()
        .result(&voices, |voices| table_of(voices))?;
    Ok(Exit::Done)
}

fn show(OfVoice { name, of }: &OfVoice, context: &Context) -> Result<Exit, Failure> {
    let bundle = model::bundle(of.bundle.as_deref(), context)?;
    let shown = Shown {
        voice: VoiceSummary::of(&bundle.voice(name)?, bundle.manifest()),
        file: bundle.voice_path(name),
        stand_ins: Vec::new(),
    };
    context.printer().result(&shown, shown_text)?;
    Ok(Exit::Done)
}

fn keep(add: &Add, context: &Context) -> Result<Exit, Failure> {
    check_voice_name(&add.name)?;
    let recording = listen::prompt(&add.wav)?;
    let mut bundle = model::bundle(add.of.bundle.as_deref(), context)?;
    // Again under the bundle's lock; asked here so that a taken name costs no loading.
    if !add.force && bundle.voice_names().contains(&add.name) {
        return Err(BundleError::VoiceExists {
            bundle: bundle.manifest().name.clone(),
            voice: add.name.clone(),
        }
        .into());
    }
    let mut ear = Ear::open(&bundle, &add.load, context)?;
    let words = add.text.as_deref();
    let voice = ear.listener.voice(&add.name, &recording, words)?;
    bundle.add_voice(&voice, add.force)?;
    let shown = Shown {
        voice: VoiceSummary::of(&voice, bundle.manifest()),
        file: bundle.voice_path(&voice.name),
        stand_ins: listen::stand_ins(&bundle, &ear.into_served()),
    };
    context.printer().result(&shown, shown_text)?;
    Ok(Exit::Done)
}

fn remove(OfVoice { name, of }: &OfVoice, context: &Context) -> Result<Exit, Failure> {
    let mut bundle = model::bundle(of.bundle.as_deref(), context)?;
    bundle.remove_voice(name)?;
    let removed = Removed {
        removed: name.clone(),
        file: bundle.voice_path(name),
    };
    context.printer().result(&removed, |removed| {
        format!("removed {}, {}", removed.removed, removed.file.display())
    })?;
    Ok(Exit::Done)
}

fn shown_text(shown: &Shown) -> String {
    let voice = &shown.voice;
    let mut text = String::new();
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        writeln!(text, "{name:<12} {value}").expect("a string takes all");
    };
    line("voice", &voice.name);
    line("tokens", &voice.prompt_tokens);
    line("frames", &voice.prompt_frames);
    line("duration", &format_args!("{:.2} s", voice.prompt_seconds));
    line("transcript", &voice.transcript.as_deref().unwrap_or("none"));
    line(
        "embedding",
        &format_args!("norm {:.4}", voice.embedding_norm),
    );
    line("file", &shown.file.display());
    if !shown.stand_ins.is_empty() {
        text.push_str(&stand_ins_line(&shown.stand_ins));
    }
    text
}
