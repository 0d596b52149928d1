//! One lane's session.

use super::graph::OrtGraph;
use super::view::Runner;
use crate::backend::{
    Bindings, BindingsError, CompiledGraph, CopyCounter, OutputSlot, RunError, Session,
};
use crate::tensor::{Placement, Shape, Signature};
use std::sync::Arc;

/// A session and the graph it came from.
#[derive(Debug)]
pub(super) struct OrtSession {
    runner: Runner,
    graph: Arc<OrtGraph>,
    /// Where the provider computes on a device, the library copies every input and output; counted here.
    copies: Option<Arc<CopyCounter>>,
}

impl OrtSession {
    pub(super) fn new(
        runner: Runner,
        graph: Arc<OrtGraph>,
        copies: Option<Arc<CopyCounter>>,
    ) -> Self {
        Self {
            runner,
            graph,
            copies,
        }
    }
}

impl Session for OrtSession {
    fn signature(&self) -> &Signature {
        self.graph.signature()
    }

    fn run(&mut self, io: &mut Bindings<'_>) -> Result<(), RunError> {
        let signature = self.graph.signature();
        io.check(signature)?;
        io.check_placement(signature, Placement::Host)?;
        if let Err(fault) = self.runner.run(io) {
            contradiction(signature, io)?;
            return Err(fault.into_run_error(self.graph.backend()));
        }
        if let Some(copies) = &self.copies {
            count(copies, io);
        }
        Ok(())
    }
}

/// Whether a failure is the caller's: shapes that contradict each other, which only shows across ports.
fn contradiction(signature: &Signature, io: &Bindings<'_>) -> Result<(), BindingsError> {
    let shapes: Vec<Shape> = io
        .inputs
        .iter()
        .map(crate::tensor::TensorView::shape)
        .collect();
    let sizes = signature.sizes_from_inputs(&shapes)?;
    for (port, slot) in signature.outputs.iter().zip(&io.outputs) {
        let OutputSlot::Into(view) = slot else {
            continue;
        };
        // A port with a dimension of another exporter's has no shape to compare with.
        let Ok(expected) = port.shape(&sizes) else {
            continue;
        };
        if expected != view.shape() {
            return Err(BindingsError::Shape {
                port: port.name.clone(),
                expected: format!("{port}, here {expected}"),
                found: view.shape(),
            });
        }
    }
    Ok(())
}

fn count(copies: &CopyCounter, io: &Bindings<'_>) {
    for view in &io.inputs {
        copies.add(view.shape().elements() * view.dtype().size());
    }
    for slot in &io.outputs {
        match slot {
            OutputSlot::Into(view) => copies.add(view.shape().elements() * view.dtype().size()),
            OutputSlot::Alloc(Some(tensor)) => copies.add(tensor.bytes().len()),
            OutputSlot::Alloc(None) => {}
        }
    }
}
