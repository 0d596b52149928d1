//! `cvtrt synth`: text, or a recording, to an audio file.

mod output;
mod report;

use super::context::Context;
use super::failure::{Exit, Failure};
use super::listen::{self, Ear};
use super::model;
use super::printer;
use super::values::positive;
use crate::frontend::text::{TextFrontend, text_from_bytes};
use crate::ids::Mode;
use crate::pipeline::{
    ConversionRequest, Speech, SpeechError, SpeechRequest, Synthesizer, check_speed,
};
use crate::reading::{Reader, Wish, WishedVoice};
use crate::setup::text_graphs;
use output::{check_output, is_stdout, write_audio};
use report::{Report, Said, Times, text_of};
use std::fs::File;
use std::io::Read as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// Text, or a recording, to an audio file
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The text to say
    #[arg(value_name = "TEXT", conflicts_with_all = ["text", "text_file", "source_wav"])]
    words: Option<String>,
    /// The text to say
    #[arg(long, conflicts_with_all = ["text_file", "source_wav"])]
    text: Option<String>,
    /// A UTF-8 file with the text to say
    #[arg(long, value_name = "FILE", conflicts_with = "source_wav")]
    text_file: Option<PathBuf>,
    /// A recording to say in another voice, for `--mode vc`: WAV, FLAC, MP3 or Ogg Vorbis, up to 30 s
    #[arg(long, value_name = "FILE", conflicts_with_all = ["instruct", "max_tokens"])]
    source_wav: Option<PathBuf>,
    /// Bundle: a folder, or a name under onnx/
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// How text and voice condition the model; what fits the voice where none is named
    #[arg(long, value_name = "MODE")]
    mode: Option<Mode>,
    /// Voice of the bundle; the first one that the mode can use where none is named
    #[arg(long, value_name = "NAME", conflicts_with = "prompt_wav")]
    voice: Option<String>,
    /// A recording whose voice is to speak: WAV, FLAC, MP3 or Ogg Vorbis, half a second to 30 s
    #[arg(long, value_name = "FILE")]
    prompt_wav: Option<PathBuf>,
    /// What the prompt says, for `--mode zero_shot`
    #[arg(long, value_name = "TEXT")]
    prompt_text: Option<String>,
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
    #[arg(long, value_name = "N", value_parser = positive::<NonZeroUsize>)]
    max_tokens: Option<NonZeroUsize>,
    #[command(flatten)]
    load: model::LoadFlags,
    /// WAV file to write; `-` streams to stdout
    #[arg(short, long, value_name = "OUT.wav", default_value = "out.wav")]
    output: PathBuf,
}

/// What is to be done, ready for the pipeline.
enum Order {
    /// Speak the segments of a text.
    Speak(Vec<SpeechRequest>),
    /// Say a recording in another voice.
    Convert(ConversionRequest),
}

/// A book's chapter; one utterance takes far less.
const MAX_TEXT_BYTES: u64 = 1 << 20;
/// What a voice is called that comes with `--prompt-wav`.
const PROMPT: &str = "prompt";

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let start = Instant::now();
    check_output(&args.output)?;
    let prompt = args.prompt_wav.as_deref().map(listen::prompt).transpose()?;
    let source = args.source_wav.as_deref().map(listen::source).transpose()?;
    let text = match source {
        Some(_) => check_conversion(args).map(|()| String::new())?,
        None => said_text(args)?,
    };
    let bundle = model::bundle(args.bundle.as_deref(), context)?;
    let reader = Reader::open(
        &bundle,
        TextFrontend::open(&text_graphs(context.runtime_dir()))?,
    )?;
    let mut ear = match (&prompt, &source) {
        (None, None) => None,
        _ => Some(Ear::open(&bundle, &args.load, context)?),
    };

    let front_end = Instant::now();
    let voice = match (&prompt, &mut ear) {
        (Some(prompt), Some(ear)) => {
            let words = args.prompt_text.as_deref();
            WishedVoice::Given(Arc::new(ear.listener.voice(PROMPT, prompt, words)?))
        }
        _ => args.voice.clone().into(),
    };
    let wish = wish(args, text, voice);
    let order = match (&source, &mut ear) {
        (Some(source), Some(ear)) => {
            Order::Convert(reader.conversion(ear.listener.tokens(source)?, &wish)?)
        }
        _ => Order::Speak(reader.segments(&wish)?),
    };
    let front_end = front_end.elapsed();
    // The encoders have heard all there is; their memory is for the graphs that speak.
    let mut served = ear.map_or_else(Vec::new, Ear::into_served);

    let deployment = model::deployment(&bundle, &model::SPEAKING, &args.load, context)?;
    let lane = deployment.lane(0)?;
    let mut synthesizer = Synthesizer::open(&bundle, &deployment.graphs, &lane)?;
    let load = start.elapsed().saturating_sub(front_end);

    let spoken = order.speak(&mut synthesizer)?;
    write_audio(&args.output, &spoken)?;
    served.extend(deployment.served);
    let said = Said {
        mode: order.mode(),
        voice: order.voice().to_owned(),
        normalisation: order.has_text().then(|| reader.normalisation().clone()),
        stand_ins: listen::stand_ins(&bundle, &served),
        served,
    };
    let wall = start.elapsed();
    let times = Times {
        wall,
        load,
        front_end,
    };
    let report = Report::new(&args.output, said, spoken, times);
    if is_stdout(&args.output) {
        if !context.quiet() {
            printer::say(text_of(&report));
        }
        return Ok(Exit::Done);
    }
    context.printer().result(&report, text_of)?;
    Ok(Exit::Done)
}

fn wish(args: &Args, text: String, voice: WishedVoice) -> Wish {
    Wish {
        voice,
        mode: args.mode,
        instruction: args.instruct.clone(),
        transcript: args.prompt_text.clone(),
        seed: args.seed,
        max_tokens: args.max_tokens.map(NonZeroUsize::get),
        speed: args.speed,
        ..Wish::new(text)
    }
}

/// A recording is said again in one mode only.
fn check_conversion(args: &Args) -> Result<(), Failure> {
    match args.mode {
        None | Some(Mode::Vc) => Ok(()),
        Some(mode) => Err(Failure::usage(anyhow::anyhow!(
            "the mode {mode} takes a text, not a recording"
        ))
        .with_hint("leave out --mode, or --source-wav")),
    }
}

impl Order {
    fn speak(&self, synthesizer: &mut Synthesizer) -> Result<Vec<Speech>, SpeechError> {
        match self {
            Self::Speak(segments) => segments
                .iter()
                .map(|segment| synthesizer.speak(segment))
                .collect(),
            Self::Convert(conversion) => Ok(vec![synthesizer.convert(conversion)?]),
        }
    }

    fn mode(&self) -> Mode {
        match self {
            Self::Speak(segments) => segments[0].mode,
            Self::Convert(_) => Mode::Vc,
        }
    }

    fn voice(&self) -> &str {
        match self {
            Self::Speak(segments) => &segments[0].voice.name,
            Self::Convert(conversion) => &conversion.voice.name,
        }
    }

    fn has_text(&self) -> bool {
        matches!(self, Self::Speak(_))
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
