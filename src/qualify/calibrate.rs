//! Recording how far the values of a bundle's graphs reach.

use super::ranges::{GraphRanges, Ranges};
use super::rehearsal::heard_by;
use super::tap::Ear;
use super::{QualifyError, Rehearsal};
use crate::backend::CompiledGraph;
use crate::bundle::{Bundle, BundleError};
use crate::ids::GraphId;
use crate::onnx::{ModelFile, RewrittenOnnx};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Speaks every request with graphs that give the range of each value they compute, in FP32.
///
/// Takes no more memory than speaking does, and about twice the time.
///
/// # Errors
/// [`QualifyError`], [`QualifyError::NotFinite`] among them.
pub fn calibrate(rehearsal: &Rehearsal<'_>) -> Result<Ranges, QualifyError> {
    let mut recorded: BTreeMap<GraphId, Arc<Mutex<GraphRanges>>> = BTreeMap::new();
    rehearsal.speak(
        |graph| {
            let ranges = GraphRanges::new(rehearsal.bundle.graph_file(graph)?.sha256);
            let ranges = Arc::new(Mutex::new(ranges));
            recorded.insert(graph, Arc::clone(&ranges));
            observed(rehearsal, graph, ranges)
        },
        || (rehearsal.say)("recording ranges"),
        &Arc::default(),
    )?;
    let mut graphs = BTreeMap::new();
    for (graph, ranges) in recorded {
        let ranges = ranges
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(value) = ranges.not_finite() {
            let value = value.to_owned();
            return Err(QualifyError::NotFinite { graph, value });
        }
        graphs.insert(graph, ranges);
    }
    Ok(Ranges {
        utterances: rehearsal.requests.len() as u64,
        graphs,
        ..Ranges::default()
    })
}

/// The ranges a bundle holds; none where it holds none.
///
/// # Errors
/// [`QualifyError::Ranges`] for a file of another form, [`QualifyError::Bundle`] for one that cannot be read.
pub fn ranges_of(bundle: &Bundle) -> Result<Ranges, QualifyError> {
    let Some(file) = &bundle.manifest().ranges else {
        return Ok(Ranges::default());
    };
    let path = file.within(bundle.dir());
    let text = std::fs::read(&path).map_err(|source| BundleError::Read {
        path: path.clone(),
        source,
    })?;
    Ranges::from_json(&text).map_err(|source| QualifyError::Ranges { path, source })
}

/// Keeps ranges in a bundle, in the place of those it had.
///
/// # Errors
/// [`QualifyError::Bundle`] where the bundle cannot be written.
pub fn keep_ranges(bundle: &Bundle, ranges: &Ranges) -> Result<(), QualifyError> {
    Ok(bundle.clone().keep_ranges(&ranges.to_json())?)
}

fn observed(
    rehearsal: &Rehearsal<'_>,
    graph: GraphId,
    ranges: Arc<Mutex<GraphRanges>>,
) -> Result<Arc<dyn CompiledGraph>, QualifyError> {
    let file = ModelFile::open(&rehearsal.model(graph)?)?;
    let shown = file.signature()?.outputs.len();
    let model = RewrittenOnnx::observed(&file)?;
    let names = model.report.observed.clone();
    let loaded = rehearsal.rewritten(graph, &model)?;
    let ear: Arc<Ear> = Arc::new(move |_, _, hidden| {
        let observed = hidden.first().and_then(|hidden| hidden.elements().ok());
        let mut ranges = ranges.lock().unwrap_or_else(PoisonError::into_inner);
        ranges.add(&names, observed.unwrap_or_default());
    });
    Ok(heard_by(loaded, Some(shown), ear))
}
