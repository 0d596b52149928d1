//! `cvtrt parity`: recorded reference cases, replayed and judged.

use super::context::Context;
use super::failure::{Exit, Failure};
use super::model;
use super::printer::{self, table};
use crate::backend::Lane;
use crate::deploy::Served;
use crate::ids::{BackendId, Precision, Tier};
use crate::parity::{self, Gate, GoldenSet, Report, Row, Subject, Verdict};
use crate::pipeline::Graphs;
use std::fmt::Write as _;
use std::path::PathBuf;

/// Replay recorded reference cases and judge every result
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Bundle: a folder, or a name under onnx/
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// Folder of the recordings: `golden_*.npz`, `frontend_audio.npz`, `sampling.npz`, `text.json`
    #[arg(long, value_name = "DIR")]
    golden: PathBuf,
    /// Run every graph on this backend, in FP32; --tier chooses the precision as well
    #[arg(long, value_name = "NAME", conflicts_with = "tier")]
    backend: Option<BackendId>,
    #[command(flatten)]
    load: model::LoadFlags,
}

#[derive(Debug, serde::Serialize)]
struct Document {
    bundle: String,
    golden: PathBuf,
    served: Vec<Served>,
    #[serde(flatten)]
    report: Report,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let set = GoldenSet::open(&args.golden)?;
    let bundle = model::bundle(args.bundle.as_deref(), context)?;
    let needed: Vec<_> = set
        .graphs()
        .into_iter()
        .filter(|graph| bundle.graphs().any(|has| has == *graph))
        .collect();
    let mut load = args.load.clone();
    let precision = Precision::Fp32;
    let forced = args.backend.map(|backend| Tier { backend, precision });
    load.tier = load.tier.or(forced);
    let deployment = match needed.as_slice() {
        [] => None,
        needed => Some(model::deployment(&bundle, needed, &load, context)?),
    };
    let no_graphs = Graphs::new();
    let graphs = deployment.as_ref().map_or(&no_graphs, |one| &one.graphs);
    let lane = Lane::for_graphs(0, graphs.values().map(|graph| &graph.compiled))?;
    let precisions = deployment
        .iter()
        .flat_map(|deployment| &deployment.served)
        .map(|row| (row.graph, row.precision))
        .collect();
    let subject = Subject {
        bundle: &bundle,
        graphs,
        precisions: &precisions,
        lane: &lane,
    };
    let spinner = printer::spinner(
        format!("replaying {}", args.golden.display()),
        context.quiet(),
    );
    let report = parity::replay(&set, &subject, &mut |row| {
        spinner.set_message(format!("{} {}", row.stage, row.case));
    });
    spinner.finish_and_clear();
    let document = Document {
        bundle: bundle.manifest().name.clone(),
        golden: args.golden.clone(),
        served: deployment.map_or_else(Vec::new, |deployment| deployment.served),
        report: report?,
    };
    context.printer().result(&document, text)?;
    Ok(if document.report.failed == 0 {
        Exit::Done
    } else {
        Exit::Unverified
    })
}

fn text(document: &Document) -> String {
    let Report {
        passed,
        failed,
        skipped,
        rows,
    } = &document.report;
    let heading = [
        "stage",
        "case",
        "shape",
        "max abs error",
        "tolerance",
        "result",
    ];
    let mut cells = vec![heading.map(str::to_owned).to_vec()];
    cells.extend(rows.iter().map(row_cells));
    let mut text = table(&cells);
    for row in &document.served {
        write!(
            text,
            "{}{} on {} {}",
            separator(&text),
            row.graph,
            row.backend,
            row.precision
        )
        .expect("a string takes all");
    }
    write!(
        text,
        "\n{passed} passed, {failed} failed, {skipped} skipped"
    )
    .expect("a string takes all");
    text
}

/// The graphs that ran are one line below the table.
fn separator(text: &str) -> &'static str {
    if text.ends_with('\n') { "\n" } else { ", " }
}

fn row_cells(row: &Row) -> Vec<String> {
    let dash = || "-".to_owned();
    let error = match (row.tolerance, row.relative_l2, row.max_abs_error) {
        (Some(Gate::RelativeL2(_)), Some(relative), Some(error)) => {
            format!("{error:.1e} (L2 {relative:.1e})")
        }
        (Some(Gate::Equal), _, Some(differing)) => format!("{differing} differ"),
        (_, _, Some(error)) => format!("{error:.1e}"),
        _ => dash(),
    };
    let result = match row.result {
        Verdict::Pass => "pass",
        Verdict::Fail => "FAIL",
        Verdict::Skip => "skip",
    };
    let reason = row.reason.as_ref().map(|reason| format!(": {reason}"));
    vec![
        row.stage.to_string(),
        row.case.clone(),
        row.shape.map_or_else(dash, |shape| shape.to_string()),
        error,
        row.tolerance.map_or_else(dash, |gate| gate.to_string()),
        format!("{result}{}", reason.unwrap_or_default()),
    ]
}
