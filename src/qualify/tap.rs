//! Hearing what a graph is given and gives, while the pipeline drives it as always.

use crate::backend::{
    Bindings, CompiledGraph, Footprint, Lane, LoadError, OutputSlot, RunError, Session,
};
use crate::tensor::{Signature, Tensor, TensorView};
use std::fmt;
use std::sync::Arc;

/// Hears one run: inputs, outputs, and the outputs that the pipeline does not see.
pub(super) type Ear = dyn Fn(&[TensorView<'_>], &[TensorView<'_>], &[Tensor]) + Send + Sync;

/// A graph that someone listens to; the pipeline sees the outputs of `signature` only.
#[derive(Clone)]
pub(super) struct Tapped {
    inner: Arc<dyn CompiledGraph>,
    signature: Signature,
    ear: Arc<Ear>,
}

struct TappedSession {
    inner: Box<dyn Session>,
    graph: Arc<Tapped>,
}

impl Tapped {
    /// Hides the outputs behind the first `outputs` from the pipeline and shows them to `ear`.
    pub(super) fn new(inner: Arc<dyn CompiledGraph>, outputs: usize, ear: Arc<Ear>) -> Self {
        let mut signature = inner.signature().clone();
        signature.outputs.truncate(outputs);
        Self {
            inner,
            signature,
            ear,
        }
    }
}

impl CompiledGraph for Tapped {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn footprint(&self) -> Footprint {
        self.inner.footprint()
    }

    fn open(self: Arc<Self>, lane: &Lane) -> Result<Box<dyn Session>, LoadError> {
        let inner = Arc::clone(&self.inner).open(lane)?;
        Ok(Box::new(TappedSession { inner, graph: self }))
    }
}

impl Session for TappedSession {
    fn signature(&self) -> &Signature {
        &self.graph.signature
    }

    fn run(&mut self, io: &mut Bindings<'_>) -> Result<(), RunError> {
        let shown = self.graph.signature.outputs.len();
        let all = self.inner.signature().outputs.len();
        io.outputs
            .extend((shown..all).map(|_| OutputSlot::Alloc(None)));
        let outcome = self.inner.run(io);
        let hidden: Vec<Tensor> = io
            .outputs
            .drain(shown..)
            .filter_map(|slot| match slot {
                OutputSlot::Alloc(made) => made,
                OutputSlot::Into(_) => None,
            })
            .collect();
        outcome?;
        let outputs: Vec<TensorView<'_>> = io
            .outputs
            .iter()
            .filter_map(|slot| match slot {
                OutputSlot::Into(view) => Some(view.as_view()),
                OutputSlot::Alloc(made) => made.as_ref().map(Tensor::view),
            })
            .collect();
        (self.graph.ear)(&io.inputs, &outputs, &hidden);
        Ok(())
    }
}

impl fmt::Debug for Tapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tapped")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for TappedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TappedSession")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
