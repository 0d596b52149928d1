//! Build, load and run through the real shim on fake libraries that compute, of every version.

mod lives;
mod rules;

use super::{opt_profile, plain, unheard};
use crate::cuda::HostGpu;
use crate::ids::Axis;
use crate::profile::OptProfile;
use crate::tensor::{BytesMut, DType, Dim, Port, Shape, Signature, TensorView, TensorViewMut};
use crate::trt::{
    BuildError, BuildRequest, Computation, Compute, ComputingLibrary, EngineError, FakeCall,
    FakeFailure, FakeFault, KernelOptions, PlanBytes, Scratch, TrtContext, TrtEngine,
};
use std::sync::Arc;

const RTX: i32 = 10_701;
const V11: i32 = 110_400;
const V10: i32 = 101_601;
const V8: i32 = 8_601;
const ALL: [i32; 4] = [RTX, V11, V10, V8];

/// Knows one model, `doubled`: `y = 2x + 1`, said twice per frame.
#[derive(Debug)]
struct Arithmetic;

#[derive(Debug)]
struct Doubled(Signature);

const MODEL: &[u8] = b"doubled";
const ROWS: usize = 8;

impl Compute for Arithmetic {
    fn open(&self, onnx: &[u8]) -> Result<Arc<dyn Computation>, String> {
        if onnx != MODEL {
            return Err("no model".to_owned());
        }
        let port = |name: &str, factor| Port {
            name: name.to_owned(),
            dtype: DType::F32,
            dims: vec![
                Dim::Fixed(ROWS),
                Dim::Axis {
                    axis: Axis::Frames,
                    factor,
                    offset: 0,
                },
            ],
        };
        Ok(Arc::new(Doubled(Signature {
            inputs: vec![port("x", 1)],
            outputs: vec![port("y", 2)],
        })))
    }
}

impl Computation for Doubled {
    fn signature(&self) -> &Signature {
        &self.0
    }

    fn run(
        &self,
        inputs: &[TensorView<'_>],
        outputs: &mut [TensorViewMut<'_>],
    ) -> Result<(), String> {
        let x = inputs[0]
            .elements::<f32>()
            .map_err(|error| error.to_string())?;
        let BytesMut::Host(y) = outputs[0].bytes_mut() else {
            return Err("not on the host".to_owned());
        };
        let doubled = x.iter().flat_map(|x| [2.0 * x + 1.0; 2]);
        for (to, from) in y.chunks_exact_mut(4).zip(doubled) {
            to.copy_from_slice(&from.to_ne_bytes());
        }
        Ok(())
    }
}

fn fake(raw: i32) -> ComputingLibrary {
    ComputingLibrary::new(raw, Arc::new(Arithmetic), &HostGpu::default())
}

fn profiles() -> [OptProfile; 2] {
    [
        opt_profile("short", "x", [&[ROWS, 1], &[ROWS, 16], &[ROWS, 64]]),
        opt_profile("long", "x", [&[ROWS, 64], &[ROWS, 256], &[ROWS, 1024]]),
    ]
}

fn plan(fake: &ComputingLibrary, change: impl Fn(&mut BuildRequest<'_>)) -> PlanBytes {
    build(fake, change).expect("the fake builds")
}

fn build(
    fake: &ComputingLibrary,
    change: impl Fn(&mut BuildRequest<'_>),
) -> Result<PlanBytes, BuildError> {
    let profiles = profiles();
    let mut request = BuildRequest {
        profiles: &profiles,
        ..plain(MODEL)
    };
    change(&mut request);
    let built = fake.library().build(&request, &unheard)?;
    Ok(built.plan)
}

fn load(fake: &ComputingLibrary, plan: &[u8]) -> Result<Arc<TrtEngine>, EngineError> {
    let loaded = fake.library().load_engine(&fake.host().gpu(), plan, false);
    loaded.map(Arc::new)
}

/// Runs `x = 0, 1, 2, …` of so many frames.
fn run(
    context: &mut TrtContext,
    scratch: &Scratch,
    frames: usize,
) -> Result<Vec<f32>, EngineError> {
    let stream = scratch.stream();
    context.set_input_shape(0, Shape::new(&[ROWS, frames]))?;
    let shape = context.shape(1)?.expect("follows from the input's");
    assert_eq!(shape.dims(), [ROWS, 2 * frames]);
    let (given, wanted) = (4 * ROWS * frames, 4 * shape.elements());
    let (mut x, mut y) = (stream.allocate(given)?, stream.allocate(wanted)?);
    let (mut from, mut to) = (
        stream.allocate_pinned(given)?,
        stream.allocate_pinned(wanted)?,
    );
    for (index, bytes) in from.bytes_mut()?.chunks_exact_mut(4).enumerate() {
        let index = f32::from(u16::try_from(index).expect("few"));
        bytes.copy_from_slice(&index.to_ne_bytes());
    }
    stream.upload(&mut x, &from, given)?;
    let addresses = [x.bytes(given).address(), y.bytes_mut(wanted).address()];
    #[expect(unsafe_code, reason = "enqueues on device buffers")]
    // SAFETY: buffers of the context's stream with the ports' sizes, which wait for it before they go.
    unsafe { context.enqueue(&addresses) }?;
    stream.download(&mut to, &y, wanted)?;
    let floats = to.bytes()?.chunks_exact(4);
    Ok(floats
        .map(|bytes| f32::from_ne_bytes(bytes.try_into().expect("four")))
        .collect())
}

fn is_right(y: &[f32]) -> bool {
    let mut expected = (0..u16::MAX).flat_map(|index| [2.0 * f32::from(index) + 1.0; 2]);
    y.iter().all(|&y| Some(y) == expected.next())
}

/// Everything from a plan to a result, and down again.
fn speak(fake: &ComputingLibrary, plan: &[u8], frames: usize) -> Result<Vec<f32>, EngineError> {
    let engine = load(fake, plan)?;
    let stream = fake.host().gpu().stream()?;
    let scratch = Scratch::new(&stream, engine.scratch_bytes())?;
    let mut context = engine.context_with(&scratch)?;
    context.set_profile(usize::from(frames > 64))?;
    run(&mut context, &scratch, frames)
}

fn assert_clean(fake: &ComputingLibrary, case: &str) {
    assert!(fake.outstanding().is_empty(), "{case}: {fake:?}");
    assert!(fake.misuses().is_empty(), "{case}: {fake:?}");
    assert_eq!(fake.host().outstanding(), (0, 0), "{case}");
}
