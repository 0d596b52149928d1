//! ONNX Runtime on the processor, for passes that want to know values.

use crate::backend::{
    Artifact, Backend, Backends, Bindings, Lane, LoadOptions, OutputSlot, Session,
};
use crate::ids::BackendId;
use crate::onnx::{EvaluateError, Evaluator};
use crate::tensor::Tensor;
use std::path::Path;
use std::thread;

/// Evaluates on `ort-cpu`, the reference for all other backends; only then is it looked for.
#[derive(Debug, Clone, Copy)]
pub struct OnProcessor<'a>(pub &'a Backends);

/// Evaluates on one backend.
#[derive(Debug, Clone, Copy)]
pub struct OnBackend<'a>(pub &'a dyn Backend);

impl Evaluator for OnProcessor<'_> {
    fn evaluate(
        &self,
        model: &[u8],
        folder: Option<&Path>,
        inputs: &[Tensor],
    ) -> Result<Vec<Vec<Tensor>>, EvaluateError> {
        OnBackend(&**self.0.get(BackendId::OrtCpu)?).evaluate(model, folder, inputs)
    }
}

impl Evaluator for OnBackend<'_> {
    fn evaluate(
        &self,
        model: &[u8],
        folder: Option<&Path>,
        inputs: &[Tensor],
    ) -> Result<Vec<Vec<Tensor>>, EvaluateError> {
        let options = LoadOptions {
            threads: thread::available_parallelism().map_or(1, usize::from),
            device: 0,
        };
        let artifact = Artifact::Memory {
            bytes: model,
            folder: folder.unwrap_or(Path::new(".")),
        };
        let loaded = self.0.load(artifact, &options)?;
        let mut session = loaded.open(&Lane::on_host(0))?;
        inputs
            .iter()
            .map(|input| outputs_of(&mut *session, input))
            .collect()
    }
}

fn outputs_of(session: &mut dyn Session, input: &Tensor) -> Result<Vec<Tensor>, EvaluateError> {
    let outputs = session.signature().outputs.len();
    let mut bindings = Bindings {
        inputs: vec![input.view()],
        outputs: (0..outputs).map(|_| OutputSlot::Alloc(None)).collect(),
    };
    session.run(&mut bindings)?;
    let made = bindings.outputs.into_iter().map(|slot| match slot {
        OutputSlot::Alloc(Some(made)) => Ok(made),
        OutputSlot::Alloc(None) | OutputSlot::Into(_) => Err("an output was not made".into()),
    });
    made.collect()
}
