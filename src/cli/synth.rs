//! `cvtrt synth`: text to an audio file.

use super::context::Context;
use super::failure::{Exit, Failure};
use super::model;
use super::printer::{self, Printer, table};
use crate::backend::Lane;
use crate::bundle::{Bundle, Voice};
use crate::deploy::Served;
use crate::frontend::text::{Splitting, TextFrontend, text_from_bytes};
use crate::frontend::{TextTokenizer, wav};
use crate::ids::Mode;
use crate::pipeline::{Speech, SpeechRequest, StageTime, Synthesizer, check_speed};
use crate::setup::text_graphs;
use crate::tensor::Placement;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Text to an audio file
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The text to say
    #[arg(value_name = "TEXT", conflicts_with_all = ["text", "text_file"])]
    words: Option<String>,
    /// The text to say
    #[arg(long, conflicts_with = "text_file")]
    text: Option<String>,
    /// A UTF-8 file with the text to say
    #[arg(long, value_name = "FILE")]
    text_file: Option<PathBuf>,
    /// Bundle: a folder, or a name under onnx/
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// How text and voice condition the model
    #[arg(long, value_name = "MODE", default_value_t = Mode::ZeroShot)]
    mode: Mode,
    /// Voice of the bundle; the first one that the mode can use where none is named
    #[arg(long, value_name = "NAME")]
    voice: Option<String>,
    /// How to speak, for `--mode instruct2`; ends in `<|endofprompt|>`, which is added where it is missing
    #[arg(long, value_name = "TEXT")]
    instruct: Option<String>,
    /// Speaking rate; 2 is twice as fast
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = parse_speed, allow_negative_numbers = true)]
    speed: f64,
    /// Decides every random number
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Ends each sentence after this many speech tokens
    #[arg(long, value_name = "N")]
    max_tokens: Option<NonZeroUsize>,
    #[command(flatten)]
    load: model::LoadFlags,
    /// WAV file to write; `-` streams to stdout
    #[arg(short, long, value_name = "OUT.wav", default_value = "out.wav")]
    output: PathBuf,
}

/// What was said and how.
#[derive(Debug, serde::Serialize)]
struct Report {
    output: PathBuf,
    sample_rate: u32,
    audio_seconds: f64,
    /// From the start of the program to the finished file.
    wall_ms: f64,
    /// Loading bundle, engines and sessions.
    load_ms: f64,
    front_end_ms: f64,
    /// Time of speaking per second of audio; loading is not in it.
    rtf: f64,
    segments: Vec<Speech>,
    served: Vec<Served>,
}

/// Ends an instruction in the language model's input.
const END_OF_PROMPT: &str = "<|endofprompt|>";
/// A book's chapter; one utterance takes far less.
const MAX_TEXT_BYTES: u64 = 1 << 20;

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let start = Instant::now();
    let text = said_text(args)?;
    check_output(&args.output)?;
    let bundle = model::bundle(args.bundle.as_deref(), context)?;
    let voice = Arc::new(chosen_voice(args, &bundle)?);
    let tokenizer = tokenizer(&bundle)?;
    let text_frontend = TextFrontend::open(&text_graphs(context.runtime_dir()))?;
    let deployment = model::deployment(&bundle, &model::SPEAKING, &args.load, context)?;
    let mut synthesizer =
        Synthesizer::open(&bundle, &deployment.graphs, &Lane::new(0, Placement::Host))?;
    let load = start.elapsed();

    let front_end = Instant::now();
    let segments = text_frontend.segments(&text, &tokenizer, &Splitting::default())?;
    if text.is_empty() || segments.is_empty() {
        return Err(Failure::usage(anyhow::anyhow!(
            "there is nothing to say in the text"
        )));
    }
    let prompt_text_ids = match prompt_text(args, &voice, &text_frontend)? {
        Some(text) => tokenizer.encode(&text)?,
        None => Vec::new(),
    };
    let text_ids = segments
        .iter()
        .map(|segment| tokenizer.encode(segment))
        .collect::<Result<Vec<_>, _>>()?;
    let front_end = front_end.elapsed();

    let mut spoken = Vec::with_capacity(text_ids.len());
    for text_ids in text_ids {
        spoken.push(synthesizer.speak(&SpeechRequest {
            mode: args.mode,
            text_ids,
            prompt_text_ids: prompt_text_ids.clone(),
            voice: Arc::clone(&voice),
            seed: args.seed,
            max_tokens: args.max_tokens.map(NonZeroUsize::get),
            speed: args.speed,
        })?);
    }
    write_audio(&args.output, &spoken)?;
    let report = Report::new(
        args,
        spoken,
        deployment.served,
        [start.elapsed(), load, front_end],
    );
    if is_stdout(&args.output) {
        printer::say(text_of(&report));
        return Ok(Exit::Done);
    }
    context.printer().result(&report, text_of)?;
    Ok(Exit::Done)
}

/// What the language model reads before the text: the prompt's transcript, or the instruction.
fn prompt_text(
    args: &Args,
    voice: &Voice,
    text_frontend: &TextFrontend,
) -> Result<Option<String>, Failure> {
    match (args.mode, &args.instruct) {
        (Mode::Instruct2, None) => Err(Failure::usage(anyhow::anyhow!(
            "the mode instruct2 needs an instruction"
        ))
        .with_hint("--instruct \"Speak softly.\"")),
        (Mode::Instruct2, Some(words)) if words.ends_with(END_OF_PROMPT) => Ok(Some(words.clone())),
        (Mode::Instruct2, Some(words)) => Ok(Some(format!("{words}{END_OF_PROMPT}"))),
        (mode, Some(_)) => Err(Failure::usage(anyhow::anyhow!(
            "the mode {mode} takes no instruction"
        ))
        .with_hint("--mode instruct2, or leave out --instruct")),
        (Mode::ZeroShot, None) => {
            let transcript = voice.transcript.as_deref();
            Ok(transcript.map(|words| text_frontend.unsplit(words)))
        }
        (_, None) => Ok(None),
    }
}

fn said_text(args: &Args) -> Result<String, Failure> {
    if let Some(text) = args.words.as_ref().or(args.text.as_ref()) {
        return Ok(text.clone());
    }
    let Some(path) = &args.text_file else {
        return Err(Failure::usage(anyhow::anyhow!("there is no text to say"))
            .with_hint("cvtrt synth \"Good morning.\" -o out.wav, or --text-file FILE"));
    };
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(MAX_TEXT_BYTES + 1).read_to_end(&mut bytes));
    let read = read.map_err(|error| {
        Failure::usage(
            anyhow::Error::from(error).context(format!("cannot read {}", path.display())),
        )
    })?;
    if read as u64 > MAX_TEXT_BYTES {
        let what = format!(
            "{} is larger than {}",
            path.display(),
            printer::bytes(MAX_TEXT_BYTES)
        );
        return Err(
            Failure::message(Exit::Usage, what).with_hint("split the text over several files")
        );
    }
    let text = text_from_bytes(&bytes).map_err(|error| {
        Failure::usage(anyhow::Error::from(error).context(format!("cannot use {}", path.display())))
            .with_hint("iconv -t UTF-8 converts it")
    })?;
    Ok(text.to_owned())
}

fn parse_speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "it is no number".to_owned())?;
    check_speed(speed).map_err(|error| error.to_string())?;
    Ok(speed)
}

fn chosen_voice(args: &Args, bundle: &Bundle) -> Result<Voice, Failure> {
    if let Some(name) = &args.voice {
        return Ok(bundle.voice(name)?);
    }
    for name in bundle.voice_names() {
        let voice = bundle.voice(&name)?;
        if voice.serves(args.mode) {
            return Ok(voice);
        }
    }
    Err(Failure::usage(anyhow::anyhow!(
        "the bundle has no voice for the mode {}",
        args.mode
    ))
    .with_hint(format!(
        "cvtrt inspect {} lists its voices",
        bundle.dir().display()
    )))
}

fn tokenizer(bundle: &Bundle) -> Result<TextTokenizer, Failure> {
    match bundle.tokenizer_path() {
        Some(path) => Ok(TextTokenizer::open(&path)?),
        None => Err(Failure::usage(anyhow::anyhow!(
            "the bundle {} has no tokenizer, so it takes no text",
            bundle.manifest().name
        ))),
    }
}

fn is_stdout(output: &Path) -> bool {
    output.as_os_str() == "-"
}

/// Nobody wants to hear after the work that the file cannot be written.
fn check_output(output: &Path) -> Result<(), Failure> {
    if is_stdout(output) {
        return Ok(());
    }
    if output.is_dir() || output.file_name().is_none() {
        return Err(Failure::write(output, io::ErrorKind::IsADirectory.into()));
    }
    match fs::metadata(folder_of(output)) {
        Ok(folder) if folder.is_dir() => Ok(()),
        Ok(_) => Err(Failure::write(output, io::ErrorKind::NotADirectory.into())),
        Err(error) => Err(Failure::write(output, error)),
    }
}

fn folder_of(output: &Path) -> &Path {
    output
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

fn write_audio(output: &Path, spoken: &[Speech]) -> Result<(), Failure> {
    let sample_rate = spoken.first().map_or(0, |speech| speech.sample_rate);
    let pcm: Vec<f32> = spoken
        .iter()
        .flat_map(|speech| &speech.pcm)
        .copied()
        .collect();
    if is_stdout(output) {
        let mut bytes = Vec::new();
        wav::write(&mut bytes, &pcm, sample_rate)?;
        return Printer::write(&bytes);
    }
    let failed = |error: io::Error| Failure::write(output, error);
    // A pipe or a device is written to; a link's file is replaced, not the link.
    let known = fs::canonicalize(output).unwrap_or_else(|_| output.to_owned());
    if fs::metadata(&known).is_ok_and(|data| !data.is_file()) {
        let file = fs::OpenOptions::new().write(true).open(&known);
        wav::write(file.map_err(failed)?, &pcm, sample_rate)?;
        return Ok(());
    }
    let mut file = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(folder_of(&known))
        .map_err(failed)?;
    wav::write(&mut file, &pcm, sample_rate)?;
    file.persist(&known).map_err(|error| failed(error.error))?;
    Ok(())
}

impl Report {
    fn new(
        args: &Args,
        segments: Vec<Speech>,
        served: Vec<Served>,
        [wall, load, front_end]: [Duration; 3],
    ) -> Self {
        let audio_seconds: f64 = segments.iter().map(Speech::seconds).sum();
        let speaking: Duration = segments.iter().map(|speech| speech.times.total).sum();
        Self {
            output: args.output.clone(),
            sample_rate: segments.first().map_or(0, |speech| speech.sample_rate),
            audio_seconds,
            wall_ms: milliseconds(wall),
            load_ms: milliseconds(load),
            front_end_ms: milliseconds(front_end),
            rtf: speaking.as_secs_f64() / audio_seconds,
            segments,
            served,
        }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn text_of(report: &Report) -> String {
    let mut text = String::new();
    let (seconds, rtf) = (report.audio_seconds, report.rtf);
    writeln!(
        text,
        "{}: {seconds:.2} s of audio at {} Hz",
        report.output.display(),
        report.sample_rate
    )
    .expect("a string takes all");
    writeln!(
        text,
        "RTF {rtf:.3}, load {:.0} ms, in all {:.0} ms",
        report.load_ms, report.wall_ms
    )
    .expect("a string takes all");
    text.push('\n');
    text.push_str(&stage_table(report));
    text.push('\n');
    text.push_str(&served_table(&report.served));
    text
}

/// Takes one stage's time out of a speech's.
type Pick = fn(&Speech) -> StageTime;

fn stage_table(report: &Report) -> String {
    let sum = |pick: Pick| {
        report.segments.iter().map(pick).fold(
            (Duration::ZERO, Duration::ZERO, 0),
            |(wall, inside, runs), stage| {
                (
                    wall + stage.wall,
                    inside + stage.in_backend,
                    runs + stage.runs,
                )
            },
        )
    };
    let stages: [(&str, Pick); 6] = [
        ("prefill", |speech| speech.times.prefill),
        ("decode", |speech| speech.times.decode),
        ("encode", |speech| speech.times.encode),
        ("flow", |speech| speech.times.flow),
        ("pitch", |speech| speech.times.pitch),
        ("vocode", |speech| speech.times.vocode),
    ];
    let mut rows = vec![
        ["stage", "ms", "in backend", "runs"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for (name, pick) in stages {
        let (wall, inside, runs) = sum(pick);
        rows.push(vec![
            name.to_owned(),
            format!("{:.1}", milliseconds(wall)),
            format!("{:.1}", milliseconds(inside)),
            runs.to_string(),
        ]);
    }
    let source: Duration = report
        .segments
        .iter()
        .map(|speech| speech.times.source)
        .sum();
    rows.push(vec![
        "source".to_owned(),
        format!("{:.1}", milliseconds(source)),
        "host".to_owned(),
        report.segments.len().to_string(),
    ]);
    table(&rows)
}

fn served_table(served: &[Served]) -> String {
    let mut rows = vec![
        ["graph", "backend", "precision", "from"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for one in served {
        let from = if one.from_cache {
            "engine"
        } else {
            "model, no engine built"
        };
        rows.push(vec![
            one.graph.to_string(),
            one.backend.to_string(),
            one.precision.to_string(),
            from.to_owned(),
        ]);
    }
    table(&rows)
}
