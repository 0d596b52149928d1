//! What the cache has to serve graphs with, link by link.

use super::choose::{PassedOver, Tried};
use super::planner::Planner;
use super::{BuildError, BuildRequest, PlannedGraph};
use crate::bundle::StatCache;
use crate::cache::{EngineStore, Entry, KeyInputs, Lookup, changes};
use crate::ids::GraphId;

/// What the links of a graph's chain have to serve it with.
#[derive(Debug, Clone)]
pub struct Servable {
    /// The graph.
    pub graph: GraphId,
    /// The links that could serve it, best first; never empty.
    pub links: Vec<PlannedGraph>,
}

/// As [`plan`](super::plan()), for loading what is there, on every link of each chain.
///
/// A graph whose engine for ONNX Runtime is in quarantine is left on that link, since the model runs there as exported. An
/// engine compiled with other options than a plain build's serves as well.
///
/// # Errors
/// As [`plan`](super::plan()).
pub fn plan_to_serve(
    request: &BuildRequest<'_>,
    digests: &mut StatCache,
) -> Result<Vec<Servable>, BuildError> {
    request.bundle.verify(digests)?;
    let mut planner = Planner::to_serve(request);
    let graphs = request.scope.graphs(request.bundle).into_iter();
    graphs.map(|graph| servable(&mut planner, graph)).collect()
}

fn servable(planner: &mut Planner<'_>, graph: GraphId) -> Result<Servable, BuildError> {
    let mut links = vec![planner.plan_graph(graph, &[])?];
    let mut seen = Vec::new();
    loop {
        let before = links[links.len() - 1].backend;
        seen.push(Tried {
            link: PassedOver {
                backend: before,
                reason: "it comes first".to_owned(),
            },
            precision: None,
        });
        match planner.plan_graph(graph, &seen) {
            Ok(next) => links.push(next),
            Err(error) if ends_the_chain(&error) => return Ok(Servable { graph, links }),
            Err(error) => return Err(error),
        }
    }
}

/// Whether no link behind can serve, so that those found so far are what there is.
fn ends_the_chain(error: &BuildError) -> bool {
    matches!(
        error,
        BuildError::NothingBuilds { .. }
            | BuildError::Unqualified { .. }
            | BuildError::Quarantined { .. }
            | BuildError::NeverRan { .. }
    )
}

/// The newest engine of those that differ from the one wanted in how they were compiled at most, and in nothing of what
/// they compute or where they run; where none can be trusted, what is wrong with the newest.
pub(super) fn newest_that_serves(
    store: &EngineStore,
    wanted: &KeyInputs,
) -> Result<Lookup, BuildError> {
    let listed = store.entries_of(wanted.graph)?;
    let entries = listed.into_iter().filter_map(|listed| listed.entry.ok());
    let mut fitting: Vec<Entry> = entries
        .filter(|entry| serves_as_well(&entry.manifest().inputs, wanted))
        .collect();
    fitting.sort_by_key(|entry| std::cmp::Reverse(entry.manifest().built_at_unix));
    let mut newest = Lookup::Missing;
    for entry in fitting {
        match store.lookup(&entry.manifest().inputs) {
            Lookup::Found(found) => return Ok(Lookup::Found(found)),
            damaged if matches!(newest, Lookup::Missing) => newest = damaged,
            Lookup::Missing | Lookup::Corrupt { .. } => {}
        }
    }
    Ok(newest)
}

fn serves_as_well(built: &KeyInputs, wanted: &KeyInputs) -> bool {
    let targets = &built.options.targets;
    let runs_there = wanted.options.targets.iter();
    changes(built, wanted)
        .iter()
        .all(|change| change.input.starts_with("options."))
        && runs_there.clone().all(|target| targets.contains(target))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::CacheError;
    use crate::ids::{BackendId, Precision};

    #[test]
    fn a_chain_ends_where_nothing_serves_and_not_where_something_breaks() {
        let (graph, precision) = (GraphId::HiftF0, Precision::Fp16);
        let (backend, reason) = (BackendId::TensorRt, "NaN".to_owned());
        let ends = [
            BuildError::NothingBuilds {
                graph,
                precision,
                passed_over: Vec::new(),
                fix: None,
            },
            BuildError::Unqualified {
                graph,
                precision,
                reason: reason.clone(),
            },
            BuildError::Quarantined {
                graph,
                backend,
                precision,
                reason,
            },
            BuildError::NeverRan {
                graph,
                backend,
                precision,
            },
        ];
        for error in ends {
            assert!(ends_the_chain(&error), "{error}");
        }
        let unreadable = CacheError::File {
            action: "read",
            path: "engines".into(),
            source: std::io::ErrorKind::NotADirectory.into(),
        };
        assert!(!ends_the_chain(&unreadable.into()));
        assert!(!ends_the_chain(&BuildError::Cancelled));
    }
}
