//! `cvtrt run`: one graph on given tensors.

use super::context::Context;
use super::failure::{Exit, Failure};
use super::graph::{GraphFlags, Target};
use super::inputs::{Draw, InputFlags};
use super::printer::table;
use crate::backend::{Session, run_once};
use crate::compare::Statistics;
use crate::ids::Tier;
use crate::tensor::{DType, Port, Shape, Tensor, write_npz};
use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Run one graph on given tensors
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    graph: GraphFlags,
    #[command(flatten)]
    inputs: InputFlags,
    /// Backend, or a tier such as ort-cuda-fp16; without, what the profile would serve the graph with
    #[arg(long, value_name = "NAME")]
    backend: Option<Target>,
    /// Write the outputs to a numpy archive
    #[arg(long, value_name = "OUT.npz")]
    outputs: Option<PathBuf>,
    /// Runs after the first one, whose median time is told
    #[arg(long, value_name = "N", default_value = "5")]
    repeat: NonZeroU32,
}

#[derive(Debug, serde::Serialize)]
struct Report {
    tier: Tier,
    file: PathBuf,
    runs: Vec<Run>,
    outputs: Option<PathBuf>,
}

#[derive(Debug, serde::Serialize)]
struct Run {
    given: String,
    first_ms: f64,
    median_ms: f64,
    inputs: Vec<Described>,
    outputs: Vec<Described>,
}

#[derive(Debug, serde::Serialize)]
struct Described {
    name: String,
    dtype: DType,
    shape: Shape,
    #[serde(flatten)]
    statistics: Statistics,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let source = args.graph.source(context)?;
    let draws = args.inputs.draws(&source, context)?;
    if args.outputs.is_some() && draws.len() > 1 {
        let what = format!(
            "--outputs holds the tensors of one run, here are {}",
            draws.len()
        );
        return Err(Failure::message(Exit::Usage, what).with_hint("leave out the N of --random"));
    }
    let mut opened = source.open(args.backend, context)?;
    let signature = opened.session.signature().clone();
    let mut runs = Vec::new();
    for draw in draws {
        let (times, outputs) = timed(opened.session.as_mut(), &draw, args.repeat)?;
        if let Some(path) = &args.outputs {
            keep(path, &signature.outputs, &outputs)?;
        }
        runs.push(Run {
            given: draw.label,
            first_ms: times.0,
            median_ms: times.1,
            inputs: described(&signature.inputs, &draw.tensors)?,
            outputs: described(&signature.outputs, &outputs)?,
        });
    }
    let report = Report {
        tier: opened.tier,
        file: opened.file,
        runs,
        outputs: args.outputs.clone(),
    };
    context.printer().result(&report, text)?;
    Ok(Exit::Done)
}

/// Milliseconds of the first run and the median of the others; the first run's outputs.
fn timed(
    session: &mut dyn Session,
    draw: &Draw,
    repeat: NonZeroU32,
) -> Result<((f64, f64), Vec<Tensor>), Failure> {
    let mut once = || -> Result<(f64, Vec<Tensor>), Failure> {
        let start = Instant::now();
        let outputs = run_once(session, &draw.tensors)?;
        Ok((start.elapsed().as_secs_f64() * 1e3, outputs))
    };
    let (first, outputs) = once()?;
    let mut times = Vec::new();
    for _ in 0..repeat.get() {
        times.push(once()?.0);
    }
    times.sort_by(f64::total_cmp);
    Ok(((first, times[times.len() / 2]), outputs))
}

fn keep(path: &Path, ports: &[Port], outputs: &[Tensor]) -> Result<(), Failure> {
    let named = ports.iter().map(|port| port.name.as_str()).zip(outputs);
    Ok(write_npz(path, named)?)
}

fn described(ports: &[Port], tensors: &[Tensor]) -> Result<Vec<Described>, Failure> {
    let pairs = ports.iter().zip(tensors);
    pairs
        .map(|(port, tensor)| {
            let statistics =
                Statistics::of(tensor.view()).map_err(|error| Failure::new(Exit::Failed, error))?;
            Ok(Described {
                name: port.name.clone(),
                dtype: tensor.dtype(),
                shape: tensor.shape(),
                statistics,
            })
        })
        .collect()
}

fn text(report: &Report) -> String {
    let mut text = format!("{} on {}\n", report.file.display(), report.tier);
    for run in &report.runs {
        let heading = [
            "",
            "tensor",
            "type",
            "shape",
            "min",
            "max",
            "mean",
            "std",
            "not finite",
        ];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        rows.extend(run.inputs.iter().map(|tensor| cells("in", tensor)));
        rows.extend(run.outputs.iter().map(|tensor| cells("out", tensor)));
        let Run {
            given,
            first_ms,
            median_ms,
            ..
        } = run;
        write!(
            text,
            "\n{given}: first run {first_ms:.2} ms, then {median_ms:.2} ms\n{}",
            table(&rows)
        )
        .expect("a string takes all");
    }
    if let Some(path) = &report.outputs {
        writeln!(text, "\nwrote {}", path.display()).expect("a string takes all");
    }
    text
}

fn cells(side: &str, tensor: &Described) -> Vec<String> {
    let Statistics {
        elements: _,
        min,
        max,
        mean,
        std,
        non_finite,
    } = tensor.statistics;
    let figure =
        |figure: Option<f64>| figure.map_or_else(|| "-".to_owned(), |it| format!("{it:.4e}"));
    vec![
        side.to_owned(),
        tensor.name.clone(),
        tensor.dtype.to_string(),
        tensor.shape.to_string(),
        figure(min),
        figure(max),
        figure(mean),
        figure(std),
        non_finite.to_string(),
    ]
}
