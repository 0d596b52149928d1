//! `cvtrt calibrate`: how far a bundle's values reach, kept in the bundle.

use super::context::{self, Context};
use super::failure::{Exit, Failure};
use super::model;
use super::printer::table;
use super::rehearse::{MAX_TOKENS, Script, rehearse};
use crate::bundle::Bundle;
use crate::ids::GraphId;
use crate::qualify::{self, GraphRanges, Ranges};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Record how far a bundle's values reach, for half precision
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Bundle: a folder, or a name under onnx/
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// A UTF-8 file with one text per line, to be said instead of the usual ones
    #[arg(long, value_name = "FILE")]
    texts: Option<PathBuf>,
    /// Voices to say them with, in turn; the bundle's first two where none is named
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    voices: Vec<String>,
    /// Ends each sentence after this many speech tokens
    #[arg(long, value_name = "N", default_value_t = MAX_TOKENS)]
    max_tokens: NonZeroUsize,
    /// Forget what was recorded before
    #[arg(long)]
    afresh: bool,
}

#[derive(Debug, serde::Serialize)]
struct Row {
    graph: GraphId,
    runs: u64,
    values: usize,
    /// The value that reaches furthest.
    furthest: String,
    reaches: f32,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let bundle = model::bundle(args.bundle.as_deref(), context)?;
    let cancel = context::cancel_on_interrupt()?;
    let script = Script {
        texts: args.texts.as_deref(),
        voices: &args.voices,
        max_tokens: args.max_tokens,
    };
    let ranges = record(&bundle, script, args.afresh, context, &|| {
        cancel.is_cancelled()
    })?;
    let rows: Vec<Row> = ranges
        .graphs
        .iter()
        .map(|(graph, own)| row(*graph, own))
        .collect();
    context.printer().result(&rows, |rows| rows_text(rows))?;
    Ok(Exit::Done)
}

/// Records a bundle's ranges and keeps them in it, beside those of earlier recordings unless `afresh`.
pub(super) fn record(
    bundle: &Bundle,
    script: Script<'_>,
    afresh: bool,
    context: &Context,
    cancelled: &dyn Fn() -> bool,
) -> Result<Ranges, Failure> {
    let backends = model::backends(context);
    let recorded = rehearse(bundle, &backends, script, context, cancelled, |rehearsal| {
        qualify::calibrate(rehearsal)
    })?;
    let ranges = if afresh {
        recorded
    } else {
        qualify::ranges_of(bundle)?.with(recorded)
    };
    qualify::keep_ranges(bundle, &ranges)?;
    Ok(ranges)
}

fn row(graph: GraphId, ranges: &GraphRanges) -> Row {
    let reach = |[least, greatest]: &[f32; 2]| least.abs().max(greatest.abs());
    let furthest = ranges
        .values
        .iter()
        .max_by(|a, b| reach(a.1).total_cmp(&reach(b.1)));
    Row {
        graph,
        runs: ranges.runs,
        values: ranges.values.len(),
        furthest: furthest.map_or_else(String::new, |(name, _)| name.clone()),
        reaches: furthest.map_or(0.0, |(_, range)| reach(range)),
    }
}

fn rows_text(rows: &[Row]) -> String {
    let heading = ["graph", "runs", "values", "furthest", "reaches"];
    let lines = rows.iter().map(|row| {
        vec![
            row.graph.to_string(),
            row.runs.to_string(),
            row.values.to_string(),
            row.furthest.clone(),
            format!("{:.3e}", row.reaches),
        ]
    });
    let heading = std::iter::once(heading.map(str::to_owned).to_vec());
    table(&heading.chain(lines).collect::<Vec<_>>())
}
