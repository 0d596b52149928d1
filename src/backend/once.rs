//! One run on tensors of its own.

use super::{Bindings, BindingsError, OutputSlot, RunError, Session};
use crate::tensor::{Shape, Tensor};

/// Runs a graph once on host tensors in the signature's order, and gives its outputs in theirs.
///
/// Allocates every output; a stage that runs again and again binds its own.
///
/// # Errors
/// [`RunError`]; [`RunError::Bindings`] where the inputs do not fit the graph.
pub fn run_once(session: &mut dyn Session, inputs: &[Tensor]) -> Result<Vec<Tensor>, RunError> {
    let signature = session.signature().clone();
    let shapes: Vec<Shape> = inputs.iter().map(Tensor::shape).collect();
    let sizes = signature
        .sizes_from_inputs(&shapes)
        .map_err(BindingsError::from)?;
    // Where the sizes do not tell an output's shape, the session makes it.
    let mut outputs: Vec<Option<Tensor>> = signature
        .outputs
        .iter()
        .map(|port| Some(Tensor::zeros(port.dtype, port.shape(&sizes).ok()?)))
        .collect();
    let mut bindings = Bindings {
        inputs: inputs.iter().map(Tensor::view).collect(),
        outputs: outputs
            .iter_mut()
            .map(|known| match known {
                Some(tensor) => OutputSlot::Into(tensor.view_mut()),
                None => OutputSlot::Alloc(None),
            })
            .collect(),
    };
    bindings.check(&signature)?;
    session.run(&mut bindings)?;
    let made: Vec<Option<Tensor>> = bindings
        .outputs
        .into_iter()
        .map(|slot| match slot {
            OutputSlot::Into(_) => None,
            OutputSlot::Alloc(made) => made,
        })
        .collect();
    let given = outputs.into_iter().zip(made).zip(&signature.outputs);
    given
        .map(|((known, made), port)| {
            known.or(made).ok_or_else(|| RunError::NoOutput {
                output: port.name.clone(),
            })
        })
        .collect()
}
