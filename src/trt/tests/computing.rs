//! Build, load and run through the real shim on fake libraries that compute, of every version.

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

#[test]
fn a_model_is_built_loaded_and_run() {
    for raw in ALL {
        let fake = fake(raw);
        let plan = plan(&fake, |_| ());
        for frames in [1, 64, 65, 1024] {
            let y = speak(&fake, &plan, frames).expect("within a profile");
            assert_eq!(y.len(), 2 * ROWS * frames, "{raw}");
            assert!(is_right(&y), "{raw} {frames}: {y:?}");
        }
        assert_eq!(fake.runs(), 4);
        drop(plan);
        assert_clean(&fake, "after a run");
    }
}

#[test]
fn an_engine_tells_its_ranges_and_scratch_by_profile() {
    for raw in ALL {
        let fake = fake(raw);
        let engine = load(&fake, &plan(&fake, |_| ())).expect("its own plan");
        let range = engine.range(1, 0).expect("an input");
        let frames = [range.min, range.opt, range.max].map(|shape| shape.dims()[1]);
        assert_eq!(frames, [64, 256, 1024], "{raw}");
        assert_eq!(engine.ports()[0].tensor.dims, [Some(ROWS), None], "{raw}");
        let [short, long] = [0, 1].map(|profile| engine.profile_scratch_bytes(profile));
        assert_eq!(long, Some(engine.scratch_bytes()), "{raw}");
        // TensorRT 8.6 tells of the engine only.
        assert_eq!(short < long, raw != V8, "{raw}");
        assert_eq!(engine.profile_scratch_bytes(2), None, "{raw}");
    }
}

#[test]
fn contexts_of_a_stream_share_scratch_memory() {
    for raw in ALL {
        let fake = fake(raw);
        let engine = load(&fake, &plan(&fake, |_| ())).expect("its own plan");
        let stream = fake.host().gpu().stream().expect("a stream");
        let scratch = Scratch::new(&stream, engine.scratch_bytes()).expect("memory");
        let mut lanes = [0, 1].map(|_| engine.context_with(&scratch).expect("a context"));
        for (frames, profile) in [(10, 0), (1000, 1), (64, 0), (64, 1)] {
            // Both of the same profile, which 8.6 takes only from engines built for it.
            for context in &mut lanes {
                context.set_profile(profile).expect("shared");
                let y = run(context, &scratch, frames).expect("in range");
                assert!(is_right(&y), "{raw} {frames}");
            }
        }
        let [mut one, _] = lanes;
        one.set_profile(0).expect("there is one");
        let bytes = [8, 64].map(|frames| {
            one.set_input_shape(0, Shape::new(&[ROWS, frames]))
                .expect("in range");
            one.shapes_scratch_bytes().expect("asked")
        });
        let [few, all] = bytes;
        assert_eq!(few.is_none(), raw == V8, "{raw}");
        assert!(few < all || raw == V8, "{raw}: {bytes:?}");
        assert!(all <= engine.profile_scratch_bytes(0), "{raw}: {bytes:?}");
        let y = run(&mut one, &scratch, 8).expect("the memory was given again");
        assert!(is_right(&y), "{raw}");
    }
}

#[test]
fn scratch_memory_need_only_suffice_for_the_profiles_in_use() {
    for raw in [RTX, V11, V10] {
        let fake = fake(raw);
        let engine = load(&fake, &plan(&fake, |_| ())).expect("its own plan");
        let stream = fake.host().gpu().stream().expect("a stream");
        let small = engine.profile_scratch_bytes(0).expect("there is one");
        let scratch = Scratch::new(&stream, small).expect("memory");
        let mut context = engine.context_with(&scratch).expect("a context");
        let unset = run(&mut context, &scratch, 8).expect_err("no profile yet");
        assert!(matches!(unset, EngineError::Failed { .. }), "{unset}");
        let error = context.set_profile(1).expect_err("more than there is");
        assert!(
            matches!(error, EngineError::Scratch { profile: 1, given, .. } if given == small),
            "{raw}: {error}"
        );
        context.set_profile(0).expect("as much as there is");
        let y = run(&mut context, &scratch, 64).expect("in range");
        assert!(is_right(&y), "{raw}");
    }
}

#[test]
fn shapes_outside_the_profile_are_refused() {
    for raw in ALL {
        let fake = fake(raw);
        let engine = load(&fake, &plan(&fake, |_| ())).expect("its own plan");
        let stream = fake.host().gpu().stream().expect("a stream");
        let mut context = engine.context(&stream).expect("a context");
        context.set_profile(0).expect("there is one");
        for shape in [&[ROWS, 65][..], &[ROWS, 0], &[ROWS + 1, 8], &[ROWS]] {
            let refused = context.set_input_shape(0, Shape::new(shape));
            let error = refused.expect_err("outside").to_string();
            assert!(error.contains("the shape was refused"), "{raw}: {error}");
        }
        let error = context.set_profile(2).expect_err("there are two");
        assert!(
            matches!(error, EngineError::Failed { .. }),
            "{raw}: {error}"
        );
    }
}

#[test]
fn plans_load_only_where_they_may() {
    let old = fake(V11);
    let newer = ComputingLibrary::new(V11 + 1, Arc::new(Arithmetic), old.host());
    let bound = plan(&old, |_| ());
    let error = load(&newer, &bound).expect_err("bound to its version");
    assert!(error.to_string().contains("another version"), "{error}");
    let portable = plan(&old, |request| request.version_compatible = true);
    let error = load(&newer, &portable).expect_err("not trusted");
    assert!(error.to_string().contains("host code"), "{error}");
    let gpu = newer.host().gpu();
    let trusted = newer.library().load_engine(&gpu, &portable, true);
    assert_eq!(trusted.expect("as asked").profiles(), 2);
    let rtx = fake(RTX);
    let foreign = load(&rtx, &bound).expect_err("another product's");
    assert!(matches!(foreign, EngineError::Plan(_)), "{foreign}");
}

#[test]
fn broken_plans_are_errors() {
    for raw in ALL {
        let fake = fake(raw);
        let whole = plan(&fake, |_| ()).to_vec();
        for length in 0..whole.len() {
            load(&fake, &whole[..length]).expect_err("cut short");
        }
        let mut longer = whole.clone();
        longer.push(0);
        load(&fake, &longer).expect_err("something was appended");
        let mut other = whole;
        *other.last_mut().expect("not empty") ^= 1;
        load(&fake, &other).expect_err("another model");
        assert_clean(&fake, "after broken plans");
    }
}

#[test]
fn a_model_that_is_none_is_a_parse_error() {
    for raw in ALL {
        let fake = fake(raw);
        let error = build(&fake, |request| request.onnx = b"garbage").expect_err("no model");
        let BuildError::Parse(errors) = &error else {
            panic!("{raw}: {error}");
        };
        assert_eq!(errors[0].message, "no model", "{raw}");
        let error = build(&fake, |request| request.profiles = &[]).expect_err("dynamic");
        assert!(
            error.to_string().contains("no optimization profile"),
            "{raw}: {error}"
        );
        assert_clean(&fake, "after failed builds");
    }
}

#[test]
fn every_fault_ends_in_an_error_of_its_own_and_leaves_nothing() {
    let building = [FakeCall::CreateBuilder, FakeCall::Parse, FakeCall::Build];
    let running = [
        FakeCall::CreateRuntime,
        FakeCall::Load,
        FakeCall::CreateContext,
        FakeCall::SetProfile,
        FakeCall::SetInputShape,
        FakeCall::SetAddress,
        FakeCall::Enqueue,
    ];
    for raw in ALL {
        let fake = fake(raw);
        let good = plan(&fake, |_| ());
        for how in [FakeFailure::Refused, FakeFailure::OutOfMemory] {
            for call in building {
                fake.fail(FakeFault {
                    call,
                    after: 0,
                    how,
                });
                let error = build(&fake, |_| ()).expect_err("a call fails");
                let memory = matches!(error, BuildError::OutOfMemory { .. });
                assert_eq!(
                    memory,
                    how == FakeFailure::OutOfMemory,
                    "{raw} {call:?}: {error}"
                );
                assert!(
                    memory || matches!(error, BuildError::Failed { .. }),
                    "{raw} {call:?}: {error}"
                );
            }
            for call in running {
                fake.fail(FakeFault {
                    call,
                    after: 0,
                    how,
                });
                let error = speak(&fake, &good, 8).expect_err("a call fails");
                let memory = matches!(error, EngineError::OutOfMemory);
                assert_eq!(
                    memory,
                    how == FakeFailure::OutOfMemory,
                    "{raw} {call:?}: {error}"
                );
                assert!(
                    memory || matches!(error, EngineError::Failed { .. }),
                    "{raw} {call:?}: {error}"
                );
            }
        }
        let y = speak(&fake, &good, 8).expect("no fault is left");
        assert!(is_right(&y), "{raw}");
        fake.fail(FakeFault {
            call: FakeCall::Enqueue,
            after: 1,
            how: FakeFailure::Nan,
        });
        let results = [0, 1, 2].map(|_| speak(&fake, &good, 8).expect("the run passes"));
        let nan = results.map(|y| y.iter().all(|y| y.is_nan()));
        assert_eq!(nan, [false, true, false], "{raw}: the second run alone");
        drop(good);
        assert_clean(&fake, "after all faults");
    }
}

#[test]
fn kernels_that_are_kept_are_not_compiled_again() {
    let fake = fake(RTX);
    let plan = plan(&fake, |_| ());
    let speak = |cache: &[u8], lengths: &[usize]| {
        let gpu = fake.host().gpu();
        let mut engine = fake
            .library()
            .load_engine(&gpu, &plan, false)
            .expect("its own plan");
        let options = KernelOptions {
            cache,
            ..KernelOptions::default()
        };
        let taken = engine.configure(&options).expect("RTX");
        let (engine, stream) = (Arc::new(engine), gpu.stream().expect("a stream"));
        let scratch = Scratch::new(&stream, engine.scratch_bytes()).expect("memory");
        let before = fake.compiled();
        for _ in 0..2 {
            let mut context = engine.context_with(&scratch).expect("a context");
            context.set_profile(0).expect("there is one");
            for &frames in lengths {
                run(&mut context, &scratch, frames).expect("in range");
            }
        }
        let kernels = engine.kernels().expect("kept").to_vec();
        (taken, fake.compiled() - before, kernels)
    };
    let (taken, compiled, kernels) = speak(b"", &[8, 16]);
    assert_eq!((taken, compiled), (false, 2), "two contexts share them");
    let (taken, compiled, more) = speak(&kernels, &[8, 16, 24]);
    assert_eq!((taken, compiled), (true, 1), "the third is new");
    assert!(more.len() > kernels.len());
    let (taken, compiled, _) = speak(b"of another library", &[8]);
    assert_eq!((taken, compiled), (false, 1));
    fake.fail(FakeFault {
        call: FakeCall::CreateConfig,
        after: 0,
        how: FakeFailure::Refused,
    });
    let gpu = fake.host().gpu();
    let mut engine = fake
        .library()
        .load_engine(&gpu, &plan, false)
        .expect("its own plan");
    let error = engine
        .configure(&KernelOptions::default())
        .expect_err("a call fails");
    assert!(matches!(error, EngineError::Failed { .. }), "{error}");
    drop((engine, plan));
    assert_clean(&fake, "after runs with a cache");
}

#[test]
fn ten_thousand_lives_leak_nothing() {
    const LIVES: usize = 2_500;
    for raw in ALL {
        let fake = fake(raw);
        let plan = plan(&fake, |_| ());
        for _ in 0..LIVES {
            let y = speak(&fake, &plan, 1).expect("in range");
            assert!(is_right(&y), "{raw}");
        }
        assert_eq!(fake.runs(), LIVES as u64);
        drop(plan);
        assert_clean(&fake, "after many lives");
    }
}
