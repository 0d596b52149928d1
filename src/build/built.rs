//! What was done for a graph.

use super::{PassedOver, PlannedGraph};
use crate::backend::{Rewriting, Timings};
use crate::cache::{EngineKey, Entry, Verification};
use crate::ids::{BackendId, GraphId, Precision};
use serde::Deserialize;
use std::path::PathBuf;

/// One graph that is done.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Built {
    /// The graph.
    pub graph: GraphId,
    /// What compiled and runs it.
    pub backend: BackendId,
    /// In which precision.
    pub precision: Precision,
    /// What was done.
    pub state: RowState,
    /// The engine's key.
    pub key: EngineKey,
    /// The entry's name in the store.
    pub entry: String,
    /// The file a backend loads.
    pub engine: PathBuf,
    /// How long the compile took, whenever it was.
    pub build_ms: u64,
    /// Bytes of the entry's files.
    pub bytes: u64,
    /// How long rewriting the model took of it, and most memory held until then; `None` where it is not known.
    pub rewriting: Option<Rewriting>,
    /// Most host memory the compile held; `None` where the system did not tell.
    pub peak_bytes: Option<u64>,
    /// What became of the timings of earlier builds, where the library takes any.
    pub timings: Option<Timings>,
    /// Largest absolute difference from the reference; `None` where nothing ran.
    pub max_abs_error: Option<f64>,
    /// Whether it computes what the reference does.
    pub verification: Verification,
    /// Better links of the chain and why they were not taken.
    pub passed_over: Vec<PassedOver>,
    /// What is not as the request or the profile says.
    pub notes: Vec<String>,
}

/// What was done for a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RowState {
    /// The cache had it.
    Cached,
    /// The cache had it, and it was compared with the reference now.
    Verified,
    /// It was compiled.
    Built,
}

impl Built {
    /// What is known of a graph whose engine is this entry.
    pub(super) fn of(planned: PlannedGraph, state: RowState, entry: &Entry) -> Self {
        let manifest = entry.manifest();
        let timings = Timings::deserialize(&manifest.report["timings"]).ok();
        let mut notes = planned.notes;
        if let (RowState::Built, Some(timings)) = (state, &timings) {
            notes.extend(timings.remarks.iter().cloned());
        }
        Self {
            graph: planned.graph,
            backend: planned.backend,
            precision: planned.precision,
            state,
            key: manifest.key,
            entry: entry.id().to_owned(),
            engine: entry.engine_path(),
            build_ms: manifest.build_ms,
            bytes: manifest.bytes(),
            rewriting: Rewriting::deserialize(&manifest.report["rewriting"]).ok(),
            peak_bytes: manifest.report["peak_host_bytes"].as_u64(),
            max_abs_error: manifest.verification.max_abs_error(),
            verification: manifest.verification.clone(),
            timings,
            passed_over: planned.passed_over,
            notes,
        }
    }
}
