//! Running every graph before the first request does.

use crate::backend::{Bindings, Lane, LoadError, RunError, Session, open_at};
use crate::build::{Vocabulary, output_slots, output_tensors, random_inputs};
use crate::hint::Hint;
use crate::ids::{BackendId, GraphId};
use crate::pipeline::LoadedGraph;
use crate::profile::ShapeSet;
use crate::tensor::{AxisSizes, Placement, SignatureError, Tensor};
use std::borrow::Cow;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};
use tracing::error_span;

/// Runs every graph at the opt shapes of its profile, on random inputs.
#[derive(Debug, Clone)]
pub struct Warmup {
    vocabulary: Vocabulary,
    graphs: Vec<(GraphId, LoadedGraph, Vec<ShapeSet>)>,
    steady_runs: NonZeroU32,
}

/// One graph at one set of shapes.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct WarmRun {
    /// The graph.
    pub graph: GraphId,
    /// What ran it.
    pub backend: BackendId,
    /// The profile's name for the shapes.
    pub shapes: String,
    /// Time of the first run, what the backend does only once included.
    pub first_ms: f64,
    /// Shortest time of the runs after it.
    pub steady_ms: f64,
    /// Their median.
    pub median_ms: f64,
    /// What nineteen of twenty of them do not exceed.
    pub p95_ms: f64,
}

/// Why a graph did not become warm.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WarmupError {
    /// A session could not be opened.
    #[error("cannot open `{graph}`")]
    Open {
        /// The graph.
        graph: GraphId,
        /// Why.
        #[source]
        source: LoadError,
    },
    /// The profile does not say how large an input is.
    #[error("the profile's shapes `{shapes}` do not fit `{graph}`")]
    Shapes {
        /// The graph.
        graph: GraphId,
        /// The profile's name for the shapes.
        shapes: String,
        /// What is missing.
        #[source]
        source: Box<SignatureError>,
    },
    /// A run failed.
    #[error("`{graph}` failed at the shapes `{shapes}`")]
    Run {
        /// The graph.
        graph: GraphId,
        /// The profile's name for the shapes.
        shapes: String,
        /// Why.
        #[source]
        source: Box<RunError>,
    },
    /// It was told to stop.
    #[error("the warm-up was stopped before its end")]
    Stopped,
}

/// Runs after the first one.
const STEADY_RUNS: NonZeroU32 = NonZeroU32::new(3).expect("some");

impl Warmup {
    pub(super) fn new(vocabulary: Vocabulary) -> Self {
        Self {
            vocabulary,
            graphs: Vec::new(),
            steady_runs: STEADY_RUNS,
        }
    }

    /// The same with so many runs after the first one, for measuring.
    #[must_use]
    pub fn with_steady_runs(self, steady_runs: NonZeroU32) -> Self {
        Self {
            steady_runs,
            ..self
        }
    }

    pub(super) fn add(&mut self, graph: GraphId, loaded: LoadedGraph, shapes: Vec<ShapeSet>) {
        self.graphs.push((graph, loaded, shapes));
    }

    /// Runs every graph; `after` hears of the runs of each set of shapes as they end.
    ///
    /// # Errors
    /// [`WarmupError`] of the first graph that does not run.
    pub fn run(
        &self,
        lane: &Lane,
        after: impl FnMut(&WarmRun),
    ) -> Result<Vec<WarmRun>, WarmupError> {
        self.run_until(lane, &|| false, after)
    }

    /// The same unless `stop` comes first, which is asked before every graph is opened and before every run.
    ///
    /// # Errors
    /// [`WarmupError::Stopped`] where it came, else as [`Self::run`].
    pub fn run_until(
        &self,
        lane: &Lane,
        stop: &dyn Fn() -> bool,
        mut after: impl FnMut(&WarmRun),
    ) -> Result<Vec<WarmRun>, WarmupError> {
        let mut runs = Vec::new();
        for (graph, loaded, sets) in &self.graphs {
            go_on(stop)?;
            let graph = *graph;
            let _graph = error_span!("graph", id = %graph).entered();
            let mut session = open_at(Placement::Host, &loaded.compiled, lane)
                .map_err(|source| WarmupError::Open { graph, source })?;
            for set in sets {
                let (first, steady) = self.timed(graph, session.as_mut(), set, stop)?;
                let run = WarmRun {
                    graph,
                    backend: session.runs_on().unwrap_or(loaded.backend),
                    shapes: set.name.clone(),
                    first_ms: milliseconds(first),
                    steady_ms: milliseconds(steady[0]),
                    median_ms: milliseconds(steady[steady.len() / 2]),
                    p95_ms: milliseconds(steady[(steady.len() * 19).div_ceil(20) - 1]),
                };
                after(&run);
                runs.push(run);
            }
            loaded.compiled.keep_kernels();
        }
        Ok(runs)
    }

    /// Time of the first run, and those of the others, the shortest first.
    fn timed(
        &self,
        graph: GraphId,
        session: &mut dyn Session,
        set: &ShapeSet,
        stop: &dyn Fn() -> bool,
    ) -> Result<(Duration, Vec<Duration>), WarmupError> {
        let sizes = set.sizes(|extent| extent.opt);
        let inputs = random_inputs(graph, session.signature(), &sizes, self.vocabulary, 0)
            .map_err(|source| WarmupError::Shapes {
                graph,
                shapes: set.name.clone(),
                source: Box::new(source),
            })?;
        let mut time = || {
            go_on(stop)?;
            run_once(graph, session, &inputs, &sizes).map_err(|source| WarmupError::Run {
                graph,
                shapes: set.name.clone(),
                source: Box::new(source),
            })
        };
        let first = time()?;
        let steady = (0..self.steady_runs.get()).map(|_| time());
        let mut steady: Vec<Duration> = steady.collect::<Result<_, _>>()?;
        steady.sort_unstable();
        Ok((first, steady))
    }
}

fn go_on(stop: &dyn Fn() -> bool) -> Result<(), WarmupError> {
    if stop() {
        return Err(WarmupError::Stopped);
    }
    Ok(())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn run_once(
    graph: GraphId,
    session: &mut dyn Session,
    inputs: &[Tensor],
    sizes: &AxisSizes,
) -> Result<Duration, RunError> {
    let mut outputs = output_tensors(graph, session.signature(), sizes);
    let mut bindings = Bindings {
        inputs: inputs.iter().map(Tensor::view).collect(),
        outputs: output_slots(&mut outputs),
    };
    let start = Instant::now();
    session.run(&mut bindings)?;
    Ok(start.elapsed())
}

impl Hint for WarmupError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Open { source, .. } => source.hint(),
            Self::Shapes { .. } => Some("choose another profile with --profile".into()),
            Self::Run { graph, .. } => {
                Some(format!("build it again: cvtrt build --graphs {graph} --force").into())
            }
            Self::Stopped => None,
        }
    }
}
