//! What `synth` says of its work.

use crate::cli::listen::stand_ins_line;
use crate::cli::printer::table;
use crate::deploy::Served;
use crate::frontend::text::Normalisation;
use crate::ids::{GraphId, Mode};
use crate::pipeline::{Speech, StageTime};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What was said and how.
#[derive(Debug, serde::Serialize)]
pub(super) struct Report {
    output: PathBuf,
    mode: Mode,
    voice: String,
    /// Whether dates, units and money were spelled out; of a text only.
    normalisation: Option<Normalisation>,
    /// Graphs with random weights that took part.
    stand_ins: Vec<GraphId>,
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

/// What was said, by whom, and on which graphs.
pub(super) struct Said {
    pub(super) mode: Mode,
    pub(super) voice: String,
    pub(super) normalisation: Option<Normalisation>,
    pub(super) stand_ins: Vec<GraphId>,
    pub(super) served: Vec<Served>,
}

/// Where the time of a run went.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) wall: Duration,
    pub(super) load: Duration,
    pub(super) front_end: Duration,
}

impl Report {
    pub(super) fn new(output: &Path, said: Said, segments: Vec<Speech>, times: Times) -> Self {
        let audio_seconds: f64 = segments.iter().map(Speech::seconds).sum();
        let speaking: Duration = segments.iter().map(|speech| speech.times.total).sum();
        Self {
            output: output.to_owned(),
            mode: said.mode,
            voice: said.voice,
            normalisation: said.normalisation,
            stand_ins: said.stand_ins,
            sample_rate: segments.first().map_or(0, |speech| speech.sample_rate),
            audio_seconds,
            wall_ms: milliseconds(times.wall),
            load_ms: milliseconds(times.load),
            front_end_ms: milliseconds(times.front_end),
            rtf: speaking.as_secs_f64() / audio_seconds,
            segments,
            served: said.served,
        }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

pub(super) fn text_of(report: &Report) -> String {
    let mut text = String::new();
    let (seconds, rtf) = (report.audio_seconds, report.rtf);
    writeln!(
        text,
        "{}: {seconds:.2} s of audio at {} Hz, {} as {}",
        report.output.display(),
        report.sample_rate,
        report.voice,
        report.mode
    )
    .expect("a string takes all");
    writeln!(
        text,
        "RTF {rtf:.3}, load {:.0} ms, in all {:.0} ms",
        report.load_ms, report.wall_ms
    )
    .expect("a string takes all");
    if !report.stand_ins.is_empty() {
        text.push_str(&stand_ins_line(&report.stand_ins));
    }
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

/// What follows the first line of a reason is a library's log.
fn first_line(reason: &str) -> &str {
    reason.lines().next().unwrap_or_default()
}

fn served_table(served: &[Served]) -> String {
    let mut rows = vec![
        ["graph", "backend", "precision", "from"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for one in served {
        let from = one.no_engine.as_ref();
        let from = from.map_or("engine".to_owned(), |why| {
            format!("model, no engine: {}", first_line(why))
        });
        rows.push(vec![
            one.graph.to_string(),
            one.backend.to_string(),
            one.precision.to_string(),
            from,
        ]);
    }
    table(&rows)
}
