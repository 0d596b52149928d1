//! One graph as a stage drives it: tensors in the stage's own order, time counted.

use super::error::{OpenError, SpeechError};
use crate::backend::{
    Bindings, CompiledGraph, Lane, OutputSlot, Place, Recycled, Session, open_at,
};
use crate::ids::{BackendId, GraphId};
use crate::tensor::{DType, Dim, Placement, Port, Signature, TensorView, TensorViewMut};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::error_span;

/// A graph opened on a lane.
///
/// The stage names its tensors once, in the contract given to [`Self::open`]; afterwards it passes them in the
/// contract's order, and a step looks up no name and allocates nothing.
#[derive(Debug)]
pub(crate) struct StageGraph {
    graph: GraphId,
    session: Box<dyn Session>,
    input_swaps: Vec<(usize, usize)>,
    output_swaps: Vec<(usize, usize)>,
    recycled: Recycled,
    time: RunTime,
}

/// Time spent inside a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RunTime {
    /// Inside [`Session::run`].
    pub(crate) inside: Duration,
    /// Number of runs.
    pub(crate) runs: u32,
}

/// Why a graph cannot be driven by its stage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContractError {
    /// A tensor the stage needs is not there.
    #[error("there is no {side} `{expected}`; there are {}", found.join(", "))]
    Missing {
        /// `input` or `output`.
        side: &'static str,
        /// The tensor, with type and dimensions.
        expected: String,
        /// Names the graph has.
        found: Vec<String>,
    },
    /// A tensor the stage knows nothing of.
    #[error("the stage has nothing to give to the {side} `{found}`")]
    Unexpected {
        /// `input` or `output`.
        side: &'static str,
        /// The tensor, with type and dimensions.
        found: String,
    },
    /// A tensor of another type or other dimensions.
    #[error("the stage works with `{expected}`, the graph has `{found}`")]
    Port {
        /// The tensor as the stage has it.
        expected: String,
        /// The tensor as the graph has it.
        found: String,
    },
}

impl StageGraph {
    /// Opens a session for tensors at `place` and checks it against what the stage passes.
    ///
    /// # Errors
    /// [`OpenError`] when the graph does not fit, or opens no session.
    pub(crate) fn open(
        graph: GraphId,
        compiled: &Arc<dyn CompiledGraph>,
        lane: &Lane,
        place: &Place,
        contract: &Signature,
    ) -> Result<Self, OpenError> {
        let _graph = error_span!("graph", id = %graph).entered();
        let signature = compiled.signature();
        let misfit = |source| OpenError::Contract { graph, source };
        let input_swaps = arrange("input", &contract.inputs, &signature.inputs).map_err(misfit)?;
        let output_swaps =
            arrange("output", &contract.outputs, &signature.outputs).map_err(misfit)?;
        Ok(Self {
            graph,
            session: open_at(place.placement(), compiled, lane)
                .map_err(|source| OpenError::Load { graph, source })?,
            input_swaps,
            output_swaps,
            recycled: Recycled::default(),
            time: RunTime::default(),
        })
    }

    /// Runs once; inputs and outputs are in the contract's order.
    ///
    /// # Errors
    /// [`SpeechError::Run`].
    pub(crate) fn run<'a>(
        &mut self,
        inputs: impl IntoIterator<Item = TensorView<'a>>,
        outputs: impl IntoIterator<Item = TensorViewMut<'a>>,
    ) -> Result<(), SpeechError> {
        let mut io = Bindings::reuse(&mut self.recycled);
        io.inputs.extend(inputs);
        io.outputs.extend(outputs.into_iter().map(OutputSlot::Into));
        for &(a, b) in &self.input_swaps {
            io.inputs.swap(a, b);
        }
        for &(a, b) in &self.output_swaps {
            io.outputs.swap(a, b);
        }
        let graph = self.graph;
        io.check(self.session.signature())
            .map_err(|source| SpeechError::Run {
                graph,
                source: source.into(),
            })?;
        let start = Instant::now();
        let outcome = self.session.run(&mut io);
        self.time.inside += start.elapsed();
        self.time.runs += 1;
        io.recycle(&mut self.recycled);
        outcome.map_err(|source| SpeechError::Run { graph, source })
    }

    /// Counts a run that was launched as part of recorded work.
    pub(crate) fn count_launch(&mut self, start: Instant) {
        self.time.inside += start.elapsed();
        self.time.runs += 1;
    }

    /// The backend that runs the graph, where it is no longer the one that was loaded.
    pub(crate) fn runs_on(&self) -> Option<BackendId> {
        self.session.runs_on()
    }

    /// Has the next backend of its chain run the graph; false where there is none.
    pub(crate) fn give_up(&mut self, reason: &str) -> bool {
        self.session.give_up(reason)
    }

    /// The graph's name.
    pub(crate) fn id(&self) -> GraphId {
        self.graph
    }

    /// Takes the time counted since it was last taken.
    pub(crate) fn take_time(&mut self) -> RunTime {
        std::mem::take(&mut self.time)
    }
}

/// Opens a session that takes its tensors on the host.
///
/// # Errors
/// [`OpenError::Load`].
pub(crate) fn open_session(
    graph: GraphId,
    compiled: &Arc<dyn CompiledGraph>,
    lane: &Lane,
) -> Result<Box<dyn Session>, OpenError> {
    open_at(Placement::Host, compiled, lane).map_err(|source| OpenError::Load { graph, source })
}

/// A port of a contract; dimensions are written as in an ONNX file.
pub(crate) fn port(name: impl Into<String>, dtype: DType, dims: &[&str]) -> Port {
    Port {
        name: name.into(),
        dtype,
        dims: dims
            .iter()
            .map(|dim| {
                dim.parse()
                    .map_or_else(|_| Dim::from_param(dim), Dim::Fixed)
            })
            .collect(),
    }
}

/// The swaps that bring tensors from the contract's order into the graph's.
fn arrange(
    side: &'static str,
    contract: &[Port],
    graph: &[Port],
) -> Result<Vec<(usize, usize)>, ContractError> {
    for expected in contract {
        let Some(found) = graph.iter().find(|port| port.name == expected.name) else {
            return Err(ContractError::Missing {
                side,
                expected: expected.to_string(),
                found: graph.iter().map(|port| port.name.clone()).collect(),
            });
        };
        if !fits(expected, found) {
            return Err(ContractError::Port {
                expected: expected.to_string(),
                found: found.to_string(),
            });
        }
    }
    let mut order: Vec<&str> = contract.iter().map(|port| port.name.as_str()).collect();
    let mut swaps = Vec::new();
    for (index, port) in graph.iter().enumerate() {
        let place = order.iter().position(|name| *name == port.name);
        let Some(place) = place.filter(|&place| place >= index) else {
            let found = port.to_string();
            return Err(ContractError::Unexpected { side, found });
        };
        if place != index {
            order.swap(index, place);
            swaps.push((index, place));
        }
    }
    Ok(swaps)
}

fn fits(expected: &Port, found: &Port) -> bool {
    expected.dtype == found.dtype
        && expected.dims.len() == found.dims.len()
        && expected
            .dims
            .iter()
            .zip(&found.dims)
            .all(|(expected, found)| match (expected, found) {
                (_, Dim::Unknown(_)) | (Dim::Fixed(_), Dim::Axis { .. }) => true,
                (expected, found) => expected == found,
            })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Vec<Port> {
        names
            .iter()
            .map(|name| port(*name, DType::F32, &["1", "80", "frames"]))
            .collect()
    }

    #[test]
    fn swaps_bring_the_contract_into_the_graphs_order() {
        for order in [["x", "mu", "t"], ["t", "x", "mu"], ["mu", "t", "x"]] {
            let mut tensors = vec!["x", "mu", "t"];
            let swaps =
                arrange("input", &named(&["x", "mu", "t"]), &named(&order)).expect("same tensors");
            for (a, b) in swaps {
                tensors.swap(a, b);
            }
            assert_eq!(tensors, order);
        }
    }

    #[test]
    fn a_graph_that_does_not_fit_is_explained() {
        let contract = named(&["x", "mu"]);
        let error = arrange("input", &contract, &named(&["x"])).expect_err("mu is missing");
        assert_eq!(
            error.to_string(),
            "there is no input `mu f32 [1, 80, frames]`; there are x"
        );
        let error =
            arrange("input", &contract, &named(&["x", "mu", "extra"])).expect_err("one too many");
        assert!(matches!(error, ContractError::Unexpected { .. }), "{error}");

        let wide = vec![port("x", DType::F32, &["1", "100", "frames"])];
        let error = arrange("input", &named(&["x"]), &wide).expect_err("100 bins");
        assert!(matches!(error, ContractError::Port { .. }), "{error}");
        let foreign = vec![port("x", DType::F32, &["1", "80", "seq_len"])];
        assert_eq!(arrange("input", &named(&["x"]), &foreign), Ok(vec![]));
    }
}
