//! The tensors of one run.

use crate::tensor::{
    DType, Dim, Placement, Port, Shape, Signature, SignatureError, Tensor, TensorView,
    TensorViewMut,
};

/// The tensors of one run, positional, in the signature's order.
///
/// Inputs borrow shared and outputs exclusive, so an output cannot alias an input.
#[derive(Debug, Default)]
pub struct Bindings<'a> {
    /// Tensors to read.
    pub inputs: Vec<TensorView<'a>>,
    /// Tensors to fill.
    pub outputs: Vec<OutputSlot<'a>>,
}

/// Where one output goes.
#[derive(Debug)]
pub enum OutputSlot<'a> {
    /// Into memory of the caller, whose shape the caller knows.
    Into(TensorViewMut<'a>),
    /// Into a host tensor the session makes, where the shape depends on the data; `None` before the run.
    Alloc(Option<Tensor>),
}

/// The allocations of [`Bindings`] between two runs, so that a step allocates nothing.
#[derive(Debug, Default)]
pub struct Recycled {
    inputs: Vec<TensorView<'static>>,
    outputs: Vec<OutputSlot<'static>>,
}

/// Why bindings do not fit a signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BindingsError {
    /// Too many or too few tensors.
    #[error("{found} {side} were bound, the graph has {expected}")]
    Count {
        /// `inputs` or `outputs`.
        side: &'static str,
        /// The graph's.
        expected: usize,
        /// Bound.
        found: usize,
    },
    /// Wrong element type.
    #[error("`{port}` is {expected}, a tensor of {found} was bound")]
    Type {
        /// The port.
        port: String,
        /// The graph's.
        expected: DType,
        /// Bound.
        found: DType,
    },
    /// Wrong shape.
    #[error("`{port}` takes {expected}, a tensor of {found} was bound")]
    Shape {
        /// The port.
        port: String,
        /// The graph's dimensions.
        expected: String,
        /// Bound.
        found: Shape,
    },
    /// The tensors of one call contradict each other.
    #[error(transparent)]
    Axes(#[from] SignatureError),
    /// The tensor is in the wrong memory.
    #[error("`{port}` is expected in memory of {expected:?}, a tensor in {found:?} was bound")]
    Placement {
        /// The port.
        port: String,
        /// Where the graph expects it.
        expected: Placement,
        /// Where it is.
        found: Placement,
    },
}

impl Bindings<'_> {
    /// Empty bindings on the allocations of earlier ones.
    pub fn reuse(recycled: &mut Recycled) -> Self {
        Self {
            inputs: std::mem::take(&mut recycled.inputs)
                .into_iter()
                .map(|_| unreachable!("kept empty"))
                .collect(),
            outputs: std::mem::take(&mut recycled.outputs)
                .into_iter()
                .map(|_| unreachable!("kept empty"))
                .collect(),
        }
    }

    /// Gives the allocations back for the next run.
    pub fn recycle(mut self, recycled: &mut Recycled) {
        self.inputs.clear();
        self.outputs.clear();
        // Collecting an empty vector into one of equal layout keeps its allocation; a test counts.
        recycled.inputs = self
            .inputs
            .into_iter()
            .map(|_| unreachable!("just cleared"))
            .collect();
        recycled.outputs = self
            .outputs
            .into_iter()
            .map(|_| unreachable!("just cleared"))
            .collect();
    }

    /// Checks number, element type and shape of every tensor.
    ///
    /// # Errors
    /// [`BindingsError`] naming the first port that does not fit.
    pub fn check(&self, signature: &Signature) -> Result<(), BindingsError> {
        check_count("inputs", signature.inputs.len(), self.inputs.len())?;
        check_count("outputs", signature.outputs.len(), self.outputs.len())?;
        for (port, tensor) in signature.inputs.iter().zip(&self.inputs) {
            check_port(port, tensor.dtype(), tensor.shape())?;
        }
        for (port, slot) in signature.outputs.iter().zip(&self.outputs) {
            if let OutputSlot::Into(tensor) = slot {
                check_port(port, tensor.dtype(), tensor.shape())?;
            }
        }
        Ok(())
    }

    /// Checks that every tensor is where the graph expects it.
    ///
    /// # Errors
    /// [`BindingsError::Placement`] naming the first port that is elsewhere.
    pub fn check_placement(
        &self,
        signature: &Signature,
        expected: Placement,
    ) -> Result<(), BindingsError> {
        let inputs = self.inputs.iter().map(TensorView::placement);
        let outputs = self.outputs.iter().map(|slot| match slot {
            OutputSlot::Into(tensor) => tensor.placement(),
            OutputSlot::Alloc(_) => expected,
        });
        let ports = signature.inputs.iter().chain(&signature.outputs);
        match ports
            .zip(inputs.chain(outputs))
            .find(|(_, found)| *found != expected)
        {
            None => Ok(()),
            Some((port, found)) => Err(BindingsError::Placement {
                port: port.name.clone(),
                expected,
                found,
            }),
        }
    }
}

fn check_count(side: &'static str, expected: usize, found: usize) -> Result<(), BindingsError> {
    if expected == found {
        Ok(())
    } else {
        Err(BindingsError::Count {
            side,
            expected,
            found,
        })
    }
}

fn check_port(port: &Port, dtype: DType, shape: Shape) -> Result<(), BindingsError> {
    if port.dtype != dtype {
        return Err(BindingsError::Type {
            port: port.name.clone(),
            expected: port.dtype,
            found: dtype,
        });
    }
    let fits = shape.rank() == port.dims.len()
        && port
            .dims
            .iter()
            .zip(shape.dims())
            .all(|(dim, &size)| admits(dim, size));
    if fits {
        Ok(())
    } else {
        Err(BindingsError::Shape {
            port: port.name.clone(),
            expected: port.to_string(),
            found: shape,
        })
    }
}

fn admits(dim: &Dim, size: usize) -> bool {
    match dim {
        Dim::Fixed(fixed) => *fixed == size,
        Dim::Axis { factor, offset, .. } => {
            size >= *offset && (size - offset).is_multiple_of(*factor)
        }
        Dim::Unknown(_) => true,
    }
}
