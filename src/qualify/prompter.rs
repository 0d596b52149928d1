//! A graph that gives what it gave before, whatever it computes now.

use crate::backend::{
    Bindings, CompiledGraph, Footprint, Lane, LoadError, OutputSlot, RunError, Session,
};
use crate::tensor::{BytesMut, Signature, Tensor};
use std::sync::Arc;

/// A graph whose only output is replaced by recorded ones, run by run.
///
/// The source's phase is the sum of F0 over time: the smallest error of F0 drifts, and two recordings of the same speech
/// come to disagree in every sample though no one hears a difference. With one F0 their samples can be compared.
#[derive(Debug)]
pub(super) struct Prompter {
    inner: Arc<dyn CompiledGraph>,
    lines: Arc<[Tensor]>,
}

#[derive(Debug)]
struct PromptedSession {
    inner: Box<dyn Session>,
    lines: Arc<[Tensor]>,
    next: usize,
}

impl Prompter {
    /// Gives the `lines` in order; after the last one, and where a shape is another, what the graph computes.
    pub(super) fn new(inner: Arc<dyn CompiledGraph>, lines: Arc<[Tensor]>) -> Self {
        Self { inner, lines }
    }
}

impl CompiledGraph for Prompter {
    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn footprint(&self) -> Footprint {
        self.inner.footprint()
    }

    fn open(self: Arc<Self>, lane: &Lane) -> Result<Box<dyn Session>, LoadError> {
        Ok(Box::new(PromptedSession {
            inner: Arc::clone(&self.inner).open(lane)?,
            lines: Arc::clone(&self.lines),
            next: 0,
        }))
    }
}

impl Session for PromptedSession {
    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn run(&mut self, io: &mut Bindings<'_>) -> Result<(), RunError> {
        self.inner.run(io)?;
        let line = self.lines.get(self.next);
        self.next += 1;
        if let (Some(line), [OutputSlot::Into(view)]) = (line, io.outputs.as_mut_slice())
            && (view.dtype(), view.shape()) == (line.dtype(), line.shape())
            && let BytesMut::Host(bytes) = view.bytes_mut()
        {
            bytes.copy_from_slice(line.bytes());
        }
        Ok(())
    }
}
