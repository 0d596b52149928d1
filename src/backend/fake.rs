//! A backend in process, for tests of what stands on backends.

use super::{
    Artifact, Backend, Bindings, Capabilities, CompileError, CompileRequest, CompiledGraph,
    EngineReport, Footprint, Lane, LoadError, LoadOptions, Model, Progress, RunError, Session,
    Step, Unavailable,
};
use crate::ids::{BackendId, Fingerprint, Precision};
use crate::tensor::Signature;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// What a fake graph computes.
pub type Compute = dyn Fn(&mut Bindings<'_>) + Send + Sync;

/// A backend under any id, whose one graph has a given signature and is computed by a function.
///
/// Its engine is a copy of the model.
#[derive(Debug, Clone)]
pub struct Fake {
    id: BackendId,
    graph: FakeGraph,
}

#[derive(Clone)]
struct FakeGraph {
    signature: Signature,
    compute: Arc<Compute>,
}

impl Fake {
    /// A backend whose graph has this signature and computes this.
    pub fn new(
        id: BackendId,
        signature: Signature,
        compute: impl Fn(&mut Bindings<'_>) + Send + Sync + 'static,
    ) -> Self {
        let compute = Arc::new(compute);
        let graph = FakeGraph { signature, compute };
        Self { id, graph }
    }
}

impl Backend for Fake {
    fn id(&self) -> BackendId {
        self.id
    }

    fn probe(&self) -> Result<Capabilities, Unavailable> {
        Ok(Capabilities {
            library: "fake".to_owned(),
            path: PathBuf::new(),
            precisions: Precision::ALL.to_vec(),
            device: None,
            run: Ok(()),
        })
    }

    fn fingerprint(&self) -> Result<Fingerprint, Unavailable> {
        Ok(Fingerprint::default()
            .with("backend", self.id)
            .with("fake", 1))
    }

    fn compile(
        &self,
        request: &CompileRequest<'_>,
        progress: &dyn Progress,
    ) -> Result<EngineReport, CompileError> {
        let step = Step {
            phase: "copying",
            done: 0,
            total: 1,
        };
        if progress.step(&step).is_break() {
            return Err(CompileError::Cancelled(request.graph));
        }
        let copied = match request.model {
            Model::File(path) => std::fs::copy(path, request.engine).map(drop),
            Model::Memory { bytes, .. } => std::fs::write(request.engine, bytes),
        };
        copied.map_err(|source| CompileError::File {
            path: request.engine.to_owned(),
            source,
        })?;
        Ok(EngineReport::default())
    }

    fn load(
        &self,
        _artifact: Artifact<'_>,
        _options: &LoadOptions,
    ) -> Result<Arc<dyn CompiledGraph>, LoadError> {
        Ok(Arc::new(self.graph.clone()))
    }
}

impl CompiledGraph for FakeGraph {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn footprint(&self) -> Footprint {
        Footprint::default()
    }

    fn open(self: Arc<Self>, _lane: &Lane) -> Result<Box<dyn Session>, LoadError> {
        Ok(Box::new(Self::clone(&self)))
    }
}

impl Session for FakeGraph {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn run(&mut self, io: &mut Bindings<'_>) -> Result<(), RunError> {
        io.check(&self.signature)?;
        (self.compute)(io);
        Ok(())
    }
}

impl fmt::Debug for FakeGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeGraph")
            .field("signature", &self.signature)
            .finish_non_exhaustive()
    }
}
