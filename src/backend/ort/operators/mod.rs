//! Operators of our own, for every session on the processor: each takes a tensor f32 to one of its shape, element by
//! element and on all threads.
//!
//! The library is told no rule for the shape of what they give, so it plans no memory for it ahead of a run and never has
//! an operator work in place.

mod rounding;
mod snake;

use crate::ids::operator::DOMAIN;
use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput,
};
use ort::value::TensorElementType;
use std::marker::PhantomData;
use std::sync::{Mutex, PoisonError};

/// The domain with the operators, for one session.
pub(super) fn domain() -> ort::Result<OperatorDomain> {
    OperatorDomain::new(DOMAIN)?
        .add(Elementwise::<snake::Snake>::new())?
        .add(Elementwise::<rounding::ToF16>::new())?
        .add(Elementwise::<rounding::ToBf16>::new())
}

/// A function of one number.
trait Function: 'static {
    /// What the operator is called.
    const NAME: &'static str;

    /// Sets every output to the function of the input at its place; both are of one length.
    fn fill(input: &[f32], output: &mut [f32]);
}

/// Elements per task: more tasks than threads, each long enough to be worth waking one.
const TASK: usize = 1 << 14;

struct Elementwise<F>(PhantomData<fn(F)>);

impl<F> Elementwise<F> {
    const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<F: Function> Operator for Elementwise<F> {
    type Kernel<'attr> = Self;

    fn name(&self) -> &str {
        F::NAME
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [OperatorInput::required(TensorElementType::Float32)]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn create_kernel(&self, _: &KernelContext<'_>) -> ort::Result<Self> {
        Ok(Self::new())
    }
}

impl<F: Function> Kernel for Elementwise<F> {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let missing = || ort::Error::new(format!("{} has one input and one output", F::NAME));
        let input = context.input(0)?.ok_or_else(missing)?;
        let (shape, input) = input.try_extract_tensor::<f32>()?;
        let mut output = context.output(0, shape.to_vec())?.ok_or_else(missing)?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        let tasks: Vec<_> = input
            .chunks(TASK)
            .zip(output.chunks_mut(TASK))
            .map(Mutex::new)
            .collect();
        context.par_for(tasks.len(), 0, |task| {
            let mut task = tasks[task].lock().unwrap_or_else(PoisonError::into_inner);
            let (input, output) = &mut *task;
            F::fill(input, output);
        })
    }
}
