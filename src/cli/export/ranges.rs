//! The last step of an export: how far the new bundle's values reach, kept in the bundle for half precision.

use crate::backend::Unavailable;
use crate::build::Cancel;
use crate::bundle::Bundle;
use crate::cli::calibrate;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::model;
use crate::cli::rehearse::Script;
use crate::hint::Hint;
use crate::ids::{BackendId, GraphId};
use crate::pipeline::{NEEDED, check_family};
use std::fmt;
use std::time::Instant;

/// What became of it.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Calibration {
    /// The bundle spoke, and keeps the ranges.
    Recorded {
        utterances: u64,
        values: usize,
        seconds: f64,
    },
    /// It did not.
    Left { reason: String, fix: Option<String> },
}

/// Lets a bundle that was just exported speak what `cvtrt calibrate` lets it speak; says why where it cannot.
pub(super) fn record(
    bundle: &Bundle,
    cancel: &Cancel,
    context: &Context,
) -> Result<Calibration, Failure> {
    if let Some(left) = obstacle(bundle, context) {
        return Ok(left);
    }
    let started = Instant::now();
    let script = Script::default();
    let ranges = calibrate::record(bundle, script, true, context, &|| cancel.is_cancelled())
        .map_err(|failure| failure.about("the bundle is written, its ranges were not recorded"))?;
    Ok(Calibration::Recorded {
        utterances: ranges.utterances,
        values: ranges.graphs.values().map(|graph| graph.values.len()).sum(),
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// Why the bundle cannot speak here.
fn obstacle(bundle: &Bundle, context: &Context) -> Option<Calibration> {
    let later = |first: &str| {
        let dir = bundle.dir().display();
        Some(format!("{first}, then cvtrt calibrate --bundle {dir}"))
    };
    let left = |reason: String, fix| Some(Calibration::Left { reason, fix });
    if let Err(error) = check_family(bundle.manifest().family) {
        return left(error.to_string(), None);
    }
    let is_missing = |graph: &GraphId| bundle.graph_file(*graph).is_err();
    if let Some(graph) = NEEDED.into_iter().find(is_missing) {
        let fix = later("export every graph of it");
        return left(format!("it has no `{graph}`"), fix);
    }
    if bundle.voice_names().is_empty() {
        let fix = later("cvtrt voices add NAME --wav F --text T");
        return left("it has no voice".to_owned(), fix);
    }
    let backends = model::backends(context);
    let reference = backends.get(BackendId::OrtCpu);
    let found: Result<_, Unavailable> = reference.and_then(|backend| backend.probe());
    let unavailable = found.err()?;
    let fix = unavailable.hint().and_then(|hint| later(&hint));
    left(unavailable.to_string(), fix)
}

impl fmt::Display for Calibration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recorded {
                utterances,
                values,
                seconds,
            } => write!(
                f,
                "ranges: of {values} values over {utterances} utterances, recorded in {seconds:.1} s"
            ),
            Self::Left { reason, fix } => {
                write!(f, "ranges: not recorded, {reason}")?;
                match fix {
                    Some(fix) => write!(f, "\nhint:  {fix}"),
                    None => Ok(()),
                }
            }
        }
    }
}
