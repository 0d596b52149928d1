//! The run half against recording fakes: order of calls and deletions, and what becomes of every failure.

use crate::cuda::{CudaErrorKind, HostFault, HostGpu};
use crate::tensor::{DType, Shape};
use crate::trt::handle::{Behaviour, fake_library, take_record};
use crate::trt::{Direction, EngineError, KernelOptions, TrtEngine, TrtLibrary};
use std::sync::Arc;

const RTX: i32 = 10_701;
const V11: i32 = 110_400;
const V10: i32 = 101_601;
const V8: i32 = 8_601;
const ALL: [i32; 4] = [RTX, V11, V10, V8];

/// As much of a plan as is looked at before the library sees it.
fn plan(raw: i32) -> Vec<u8> {
    let mut plan = vec![0; 64];
    plan[..4].copy_from_slice(if raw == RTX { b"vtrt" } else { b"ftrt" });
    plan[16] = 64;
    plan
}

fn library(raw: i32, behaviour: Behaviour) -> &'static TrtLibrary {
    Box::leak(Box::new(fake_library(raw, behaviour)))
}

fn engine(raw: i32, behaviour: Behaviour, host: &HostGpu) -> Result<TrtEngine, EngineError> {
    library(raw, behaviour).load_engine(&host.gpu(), &plan(raw), false)
}

#[test]
fn an_engine_tells_its_ports_and_profiles() {
    for raw in ALL {
        let engine = engine(raw, Behaviour::Works, &HostGpu::default()).expect("the fake works");
        let ports: Vec<_> = engine
            .ports()
            .iter()
            .map(|port| (port.tensor.name.as_str(), port.direction, port.on_host))
            .collect();
        assert_eq!(
            ports,
            [
                ("x", Direction::Input, false),
                ("length", Direction::Input, true),
                ("y", Direction::Output, false)
            ]
        );
        assert_eq!(engine.ports()[2].tensor.dtype, Some(DType::F16));
        assert_eq!(engine.ports()[0].tensor.dims, [None, Some(80)]);
        assert_eq!(engine.profiles(), 2);
        let range = engine.range(1, 0).expect("an input");
        let sizes = [range.min, range.opt, range.max].map(|shape| shape.dims()[0]);
        assert_eq!(sizes, [2, 4, 6], "{raw}");
        assert_eq!(engine.range(0, 2), None, "an output has no range");
        assert_eq!(engine.range(2, 0), None, "there are two profiles");
        assert_eq!(engine.scratch_bytes(), 4096);
        let of_profiles = [0, 1].map(|profile| engine.profile_scratch_bytes(profile));
        // TensorRT 8.6 tells of the engine only.
        let short = if raw == V8 { 4096 } else { 1024 };
        assert_eq!(of_profiles, [Some(short), Some(4096)], "{raw}");
    }
    take_record();
}

#[test]
fn a_run_is_prepared_in_order_and_taken_down_in_reverse() {
    for raw in ALL {
        let host = HostGpu::default();
        let stream = host.gpu().stream().expect("a stream");
        let engine = engine(raw, Behaviour::Works, &host).expect("the fake works");
        let mut context = Arc::new(engine).context(&stream).expect("the fake works");
        take_record();
        assert_eq!(context.shape(2).expect("asked"), None, "no input shape yet");
        context.set_profile(1).expect("the fake works");
        context.set_profile(1).expect("the fake works");
        context
            .set_input_shape(0, Shape::new(&[4, 80]))
            .expect("the fake works");
        let shape = context.shape(2).expect("asked").expect("follows now");
        assert_eq!(shape.dims(), [4, 80]);
        #[expect(unsafe_code, reason = "the fake looks at no address")]
        // SAFETY: the fake looks at no address.
        unsafe { context.enqueue(&[16, 32, 48]) }.expect("the fake works");
        let mut record = take_record();
        let scratch = record.remove(1);
        assert!(
            scratch.starts_with("setDeviceMemory 0x"),
            "{raw}: {scratch}"
        );
        assert_eq!(
            record,
            [
                "setOptimizationProfileAsync 1 on 0x1",
                "setInputShape x [4,80]",
                "setTensorAddress x 0x10",
                "setTensorAddress length 0x20",
                "setTensorAddress y 0x30",
                "enqueueV3 on 0x1",
            ],
            "{raw}: a profile is set once"
        );
        drop(context);
        assert_eq!(
            take_record(),
            ["delete context", "delete engine", "delete runtime"],
            "{raw}"
        );
        drop(stream);
        assert_eq!(host.outstanding(), (0, 0), "{raw}");
    }
}

#[test]
fn every_failure_is_an_error_and_leaves_nothing() {
    let loading = [
        Behaviour::RuntimeNull,
        Behaviour::RuntimeLowAddress,
        Behaviour::EngineNull,
        Behaviour::NullNames,
    ];
    let using = [
        Behaviour::ContextNull,
        Behaviour::ProfileRefused,
        Behaviour::ShapeRefused,
        Behaviour::AddressRefused,
        Behaviour::EnqueueFails,
    ];
    for raw in ALL {
        for behaviour in loading.into_iter().chain(using) {
            let host = HostGpu::default();
            let outcome = load_and_run(raw, behaviour, &host);
            assert!(
                matches!(outcome, Err(EngineError::Failed { .. })),
                "{raw} {behaviour:?}: {outcome:?}"
            );
            assert_eq!(host.outstanding(), (0, 0), "{raw} {behaviour:?}");
            let record = take_record();
            let deleted = |what: &str| record.contains(&format!("delete {what}"));
            let made = |call: &str| record.iter().any(|line| line.starts_with(call));
            let runtime = !matches!(
                behaviour,
                Behaviour::RuntimeNull | Behaviour::RuntimeLowAddress
            );
            assert_eq!(
                deleted("runtime"),
                runtime,
                "{raw} {behaviour:?}: {record:?}"
            );
            let engine = runtime && behaviour != Behaviour::EngineNull;
            assert_eq!(deleted("engine"), engine, "{raw} {behaviour:?}: {record:?}");
            let context = made("createExecutionContext") && behaviour != Behaviour::ContextNull;
            assert_eq!(
                deleted("context"),
                context,
                "{raw} {behaviour:?}: {record:?}"
            );
        }
    }
}

#[test]
fn cuda_failures_leave_nothing_either() {
    for kind in [CudaErrorKind::OutOfMemory, CudaErrorKind::DeviceLost] {
        for after in 0..2 {
            let host = HostGpu::default();
            host.fail(HostFault { after, kind });
            let outcome = load_and_run(V11, Behaviour::Works, &host);
            assert!(
                matches!(&outcome, Err(EngineError::Cuda(error)) if error.kind == kind),
                "{outcome:?}"
            );
            assert_eq!(host.outstanding(), (0, 0));
        }
    }
    take_record();
}

#[test]
fn what_is_no_plan_of_the_library_never_reaches_it() {
    let gpu = HostGpu::default().gpu();
    let mut cut = plan(RTX);
    cut.pop();
    let cases = [
        (V11, Vec::new()),
        (V11, b"garbage".repeat(20)),
        (V11, plan(RTX)),
        (RTX, plan(V11)),
        (RTX, cut),
    ];
    for (raw, bytes) in cases {
        let error = library(raw, Behaviour::Works)
            .load_engine(&gpu, &bytes, false)
            .expect_err("no plan of its own");
        assert!(matches!(error, EngineError::Plan(_)), "{error}");
        assert!(take_record().is_empty(), "{error}");
    }
}

#[test]
fn only_trusted_plans_may_bring_host_code() {
    for (trusted, calls) in [(false, 0), (true, 1)] {
        let gpu = HostGpu::default().gpu();
        let loaded = library(V10, Behaviour::Works).load_engine(&gpu, &plan(V10), trusted);
        drop(loaded.expect("the fake works"));
        let allowed = take_record()
            .iter()
            .filter(|call| *call == "setEngineHostCodeAllowed 1")
            .count();
        assert_eq!(allowed, calls);
    }
}

#[test]
fn rtx_is_told_how_to_compile_kernels_and_keeps_them() {
    let host = HostGpu::default();
    let stream = host.gpu().stream().expect("a stream");
    let mut engine = engine(RTX, Behaviour::Works, &host).expect("the fake works");
    let options = KernelOptions { cache: b"earlier" };
    take_record();
    assert!(engine.configure(&options).expect("the fake works"));
    let engine = Arc::new(engine);
    let context = engine.context(&stream).expect("the fake works");
    assert_eq!(
        take_record(),
        [
            "deserialize 7",
            "setRuntimeCache",
            "setExecutionContextAllocationStrategy 2",
            "setDynamicShapesKernelSpecializationStrategy 0",
            "setCudaGraphStrategy 0",
            "with runtime config",
            "createExecutionContext -1",
        ]
    );
    assert_eq!(&*engine.kernels().expect("the fake works"), b"compiled");
    drop((context, engine));
    assert_eq!(
        take_record(),
        [
            "delete kernels",
            "delete context",
            "delete runtime config",
            "delete runtime cache",
            "delete engine",
            "delete runtime",
        ]
    );
}

#[test]
fn a_foreign_cache_begins_empty_and_a_refused_one_is_an_error() {
    let host = HostGpu::default();
    let options = KernelOptions {
        cache: b"of another driver",
    };
    let mut foreign = engine(RTX, Behaviour::KernelsForeign, &host).expect("the fake works");
    assert!(!foreign.configure(&options).expect("goes on without"));
    let mut refused = engine(RTX, Behaviour::KernelsRefused, &host).expect("the fake works");
    let error = refused.configure(&options).expect_err("refused");
    assert_eq!(error.to_string(), "the cache of kernels was refused");
    let error = refused.kernels().expect_err("none is kept");
    assert!(matches!(error, EngineError::Unsupported(_)), "{error}");
    for raw in [V11, V10, V8] {
        let mut engine = engine(raw, Behaviour::Works, &host).expect("the fake works");
        let error = engine.configure(&options).expect_err("only RTX compiles");
        assert!(
            matches!(error, EngineError::Unsupported(_)),
            "{raw}: {error}"
        );
    }
    take_record();
}

fn load_and_run(raw: i32, behaviour: Behaviour, host: &HostGpu) -> Result<(), EngineError> {
    let stream = host.gpu().stream()?;
    let engine = Arc::new(engine(raw, behaviour, host)?);
    let mut context = engine.context(&stream)?;
    context.set_profile(0)?;
    context.set_input_shape(0, Shape::new(&[1, 80]))?;
    #[expect(unsafe_code, reason = "the fake looks at no address")]
    // SAFETY: the fake looks at no address.
    unsafe {
        context.enqueue(&[16, 32, 48])
    }
}
