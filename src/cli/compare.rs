//! `cvtrt compare`: one graph on several backends, tensor by tensor.

use super::context::Context;
use super::failure::{Exit, Failure};
use super::graph::{GraphFlags, Opened, Target};
use super::inputs::InputFlags;
use super::printer::table;
use crate::backend::run_once;
use crate::compare::{Closeness, Difference, compare_sides};
use crate::ids::Tier;
use crate::tensor::Tensor;
use std::fmt::Write as _;

/// Run one graph on several backends and compare what they give
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    graph: GraphFlags,
    /// Backends or tiers; every later one is judged against the first
    #[arg(long, value_name = "A,B", value_delimiter = ',', num_args = 1.., required = true)]
    backends: Vec<Target>,
    #[command(flatten)]
    inputs: InputFlags,
    /// Absolute part of |a - b| ≤ atol + rtol · |a|
    #[arg(long, value_name = "X", default_value_t = 1e-5, value_parser = tolerance)]
    atol: f64,
    /// Relative part
    #[arg(long, value_name = "X", default_value_t = 1e-5, value_parser = tolerance)]
    rtol: f64,
}

#[derive(Debug, serde::Serialize)]
struct Report {
    reference: Tier,
    close: Closeness,
    passed: bool,
    comparisons: Vec<Comparison>,
}

/// One backend against the first, on one set of inputs.
#[derive(Debug, serde::Serialize)]
struct Comparison {
    given: String,
    tier: Tier,
    /// The first tensor that is too far off.
    first_differing: Option<String>,
    tensors: Vec<Difference>,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    if args.backends.len() < 2 {
        return Err(
            Failure::message(Exit::Usage, "--backends takes two or more")
                .with_hint("as --backends ort-cpu,ort-cuda"),
        );
    }
    let close = Closeness {
        atol: args.atol,
        rtol: args.rtol,
    };
    let source = args.graph.source(context)?;
    let draws = args.inputs.draws(&source, context)?;
    let mut sides = Vec::new();
    for target in &args.backends {
        sides.push(source.open(Some(*target), context)?);
    }
    let signature = sides[0].session.signature().clone();
    let names: Vec<&str> = signature
        .outputs
        .iter()
        .map(|port| port.name.as_str())
        .collect();
    let mut comparisons = Vec::new();
    for draw in draws {
        let want = run_once(sides[0].session.as_mut(), &draw.tensors)?;
        for side in &mut sides[1..] {
            let got = outputs_of(side, &draw.tensors, &names)?;
            let tensors = compare_sides(names.iter().copied(), &got, &want, close);
            let first = tensors.iter().find(|one| !one.passed);
            comparisons.push(Comparison {
                given: draw.label.clone(),
                tier: side.tier,
                first_differing: first.map(|one| one.tensor.clone()),
                tensors,
            });
        }
    }
    let report = Report {
        reference: sides[0].tier,
        close,
        passed: comparisons.iter().all(|one| one.first_differing.is_none()),
        comparisons,
    };
    context.printer().result(&report, text)?;
    Ok(if report.passed {
        Exit::Done
    } else {
        Exit::Unverified
    })
}

/// One side's outputs, which must be those of the first.
fn outputs_of(
    side: &mut Opened,
    inputs: &[Tensor],
    names: &[&str],
) -> Result<Vec<Tensor>, Failure> {
    let own = &side.session.signature().outputs;
    if own
        .iter()
        .map(|port| port.name.as_str())
        .ne(names.iter().copied())
    {
        let own: Vec<String> = own.iter().map(ToString::to_string).collect();
        let (tier, own) = (side.tier, own.join(", "));
        let what = format!("{tier} gives {own}, the first backend {}", names.join(", "));
        return Err(Failure::message(Exit::Unverified, what));
    }
    Ok(run_once(side.session.as_mut(), inputs)?)
}

fn tolerance(word: &str) -> Result<f64, String> {
    let value: f64 = word.parse().map_err(|_| format!("`{word}` is no number"))?;
    if value >= 0.0 {
        return Ok(value);
    }
    Err(format!("a tolerance is not negative, here is {word}"))
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    for one in &report.comparisons {
        let heading = [
            "tensor",
            "shape",
            "max abs",
            "max rel",
            "cosine",
            "not finite",
            "passes with atol",
            "result",
        ];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        rows.extend(one.tensors.iter().map(cells));
        let (given, tier, reference) = (&one.given, one.tier, report.reference);
        write!(
            text,
            "{tier} against {reference}, {given}\n{}",
            table(&rows)
        )
        .expect("a string takes all");
        if let Some(tensor) = &one.first_differing {
            writeln!(text, "first differing tensor: {tensor}").expect("a string takes all");
        }
        text.push('\n');
    }
    let Closeness { atol, rtol } = report.close;
    let verdict = if report.passed { "within" } else { "OUT OF" };
    write!(text, "{verdict} atol {atol:e}, rtol {rtol:e}").expect("a string takes all");
    text
}

fn cells(one: &Difference) -> Vec<String> {
    let dash = || "-".to_owned();
    let measured = |figure: fn(&crate::compare::Metrics) -> String| {
        one.metrics.as_ref().map_or_else(dash, figure)
    };
    vec![
        one.tensor.clone(),
        one.shape.to_string(),
        measured(|metrics| format!("{:.3e}", metrics.max_abs)),
        measured(|metrics| format!("{:.3e}", metrics.max_rel)),
        measured(|metrics| format!("{:.9}", metrics.cosine)),
        measured(|metrics| format!("{} / {}", metrics.non_finite_got, metrics.non_finite_want)),
        one.atol_needed
            .map_or_else(dash, |needed| format!("{needed:.3e}")),
        match &one.reason {
            None => "pass".to_owned(),
            Some(reason) => format!("FAIL: {reason}"),
        },
    ]
}
