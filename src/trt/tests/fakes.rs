//! The shim against recording fakes: what it asks for, in which order, and what it makes of every failure.

use super::{opt_profile, plain, unheard};
use crate::ids::Precision;
use crate::profile::ComputeCapability;
use crate::tensor::DType;
use crate::trt::handle::{Behaviour, fake_library, take_record};
use crate::trt::{
    BuildError, BuildRequest, BuiltPlan, HardwareCompatibility, ProgressEvent, TimingCache,
    TrtLibrary,
};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Mutex;

const RTX: i32 = 10_701;
const V11: i32 = 110_400;
const V10: i32 = 101_601;
const V8: i32 = 8_600;

fn build(library: &TrtLibrary, request: &BuildRequest<'_>) -> Result<BuiltPlan, BuildError> {
    library.build_where_safe(request, &unheard)
}

fn failure(raw_version: i32, behaviour: Behaviour, request: &BuildRequest<'_>) -> BuildError {
    let library = fake_library(raw_version, behaviour);
    build(&library, request).expect_err("the fake fails")
}

#[test]
fn options_become_calls_with_each_versions_own_numbers() {
    let profiles = [
        opt_profile("short", "x", [&[1, 80, 1], &[2, 80, 8], &[4, 80, 16]]),
        opt_profile("long", "x", [&[1, 80, 16], &[1, 80, 64], &[1, 80, 128]]),
    ];
    let request = BuildRequest {
        onnx_path: Some(Path::new("models/flow.onnx")),
        profiles: &profiles,
        workspace_bytes: Some(1 << 32),
        optimization_level: Some(4),
        tf32: false,
        version_compatible: true,
        hardware: HardwareCompatibility::AmperePlus,
        timing_cache: TimingCache::From(b"earlier"),
        ..plain(b"model")
    };
    for (raw, tf32, creation_flags, version_compatible) in
        [(V11, 6, 1, 12), (V10, 6, 2, 13), (V8, 7, 1, 15)]
    {
        let library = fake_library(raw, Behaviour::Works);
        let built = build(&library, &request).expect("the fake works");
        assert_eq!(
            built.timing_cache.as_deref(),
            Some(&b"earlier+timings"[..]),
            "{raw}"
        );
        // Progress is told since 10; before, types are hints, and what is not carried must not be looked for.
        let own: &[&str] = match raw {
            V8 => &["setPreviewFeature 2 1", "setTacticSources 24"],
            _ => &["setProgressMonitor IProgressMonitor"],
        };
        let mut expected = vec![
            format!("create builder {raw}"),
            "setProfilingVerbosity 2".to_owned(),
            format!("clearFlag {tf32}"),
            "setMemoryPoolLimit 0 4294967296".to_owned(),
            "setBuilderOptimizationLevel 4".to_owned(),
        ];
        expected.extend(own.iter().map(|call| (*call).to_owned()));
        expected.extend([
            format!("setFlag {version_compatible}"),
            "setHardwareCompatibilityLevel 1".to_owned(),
            "createTimingCache 7".to_owned(),
            "setTimingCache 0".to_owned(),
            format!("createNetworkV2 {creation_flags}"),
            "create parser 200".to_owned(),
            "parse 5 models/flow.onnx".to_owned(),
            "setDimensions x 0 [1,80,1]".to_owned(),
            "setDimensions x 1 [2,80,8]".to_owned(),
            "setDimensions x 2 [4,80,16]".to_owned(),
            "addOptimizationProfile".to_owned(),
            "setDimensions x 0 [1,80,16]".to_owned(),
            "setDimensions x 1 [1,80,64]".to_owned(),
            "setDimensions x 2 [1,80,128]".to_owned(),
            "addOptimizationProfile".to_owned(),
            "buildSerializedNetwork 1".to_owned(),
        ]);
        let record = take_record();
        assert_eq!(record[..expected.len()], expected, "{raw}");
        drop(built);
        take_record();
    }
}

#[test]
fn the_last_weakly_typed_library_is_told_every_type() {
    let islands = ["project".to_owned(), "elsewhere".to_owned()];
    let request = BuildRequest {
        precision: Precision::Fp16,
        fp32_nodes: &islands,
        tf32: false,
        version_compatible: true,
        ..plain(b"model")
    };
    let library = fake_library(V8, Behaviour::Works);
    let built = build(&library, &request).expect("the fake works");
    assert_eq!(built.network.layers[0].kind, "matrix_multiply");
    assert_eq!(
        take_record()[..13],
        [
            "create builder 8600",
            "setProfilingVerbosity 2",
            "clearFlag 7",
            "setPreviewFeature 2 1",
            "setTacticSources 24",
            "setFlag 0",
            "setFlag 10",
            "setFlag 15",
            "createNetworkV2 1",
            "create parser 200",
            "parse 5 -",
            "setOutputType 0 0",
            "setPrecision 0",
        ]
    );
    let full = plain(b"model");
    build(&library, &full).expect("the fake works");
    let record = take_record();
    assert!(
        !record.iter().any(|call| call.starts_with("setFlag")),
        "{record:?}"
    );
    let unsupported = [
        (Precision::Bf16, Behaviour::Works),
        (Precision::Fp16, Behaviour::SlowFp16),
    ];
    for (precision, behaviour) in unsupported {
        let error = failure(V8, behaviour, &BuildRequest { precision, ..full });
        assert!(matches!(error, BuildError::Unsupported(_)), "{error}");
    }
}

#[test]
fn rtx_takes_targets_and_nothing_that_ties_to_a_device() {
    let targets = [(8, 6), (12, 0)].map(|(major, minor)| ComputeCapability { major, minor });
    let request = BuildRequest {
        targets: &targets,
        ..plain(b"model")
    };
    let library = fake_library(RTX, Behaviour::Works);
    build(&library, &request).expect("the fake works");
    let record = take_record();
    assert_eq!(
        record[1..6],
        [
            "setProfilingVerbosity 2",
            "setProgressMonitor IProgressMonitor",
            "setNbComputeCapabilities 2",
            "setComputeCapability 86 at 0",
            "setComputeCapability 120 at 1",
        ]
    );
    let compatible = BuildRequest {
        version_compatible: true,
        ..plain(b"model")
    };
    let cached = BuildRequest {
        timing_cache: TimingCache::Fresh,
        ..plain(b"model")
    };
    for (raw, request) in [
        (RTX, &compatible),
        (RTX, &cached),
        (V11, &request),
        (V10, &request),
    ] {
        let error = failure(raw, Behaviour::Works, request);
        assert!(
            matches!(error, BuildError::Unsupported(_)),
            "{raw}: {error}"
        );
    }
}

#[test]
fn timings_the_library_refuses_are_begun_anew() {
    let request = BuildRequest {
        timing_cache: TimingCache::From(b"strange"),
        ..plain(b"model")
    };
    let cases = [
        (Behaviour::TimingsUnreadable, "reads no timings"),
        (Behaviour::TimingsForeign, "another library or device"),
    ];
    for raw in [V11, V10, V8] {
        for (behaviour, reason) in cases {
            let library = fake_library(raw, behaviour);
            let built = build(&library, &request).expect("a cache only saves time");
            let refused = built.timings_refused.as_deref().expect("told");
            assert!(refused.contains(reason), "{raw}, {behaviour:?}: {refused}");
            assert_eq!(built.timing_cache.as_deref(), Some(&b"+timings"[..]));
            drop(built);
            let record = take_record();
            let count = |call: &str| record.iter().filter(|line| *line == call).count();
            assert_eq!(count(&format!("create builder {raw}")), 2, "{record:?}");
            assert_eq!(count("delete builder"), 2, "{record:?}");
        }
    }
}

#[test]
fn timings_of_two_builders_become_one() {
    for raw in [V11, V10, V8] {
        let library = fake_library(raw, Behaviour::Works);
        let merged = library.merge_timings_where_safe(b"ours", b"theirs");
        assert_eq!(merged.expect("the fake works"), b"ours+theirs+timings");
        let record = take_record();
        assert!(record.contains(&"combine 0".to_owned()), "{record:?}");
        let made = record
            .iter()
            .filter(|line| line.starts_with("createTimingCache"));
        let deleted = record.iter().filter(|line| *line == "delete timing cache");
        assert_eq!((made.count(), deleted.count()), (2, 2), "{record:?}");
        for behaviour in [
            Behaviour::TimingsUnreadable,
            Behaviour::TimingsForeign,
            Behaviour::CombineRefused,
        ] {
            let library = fake_library(raw, behaviour);
            let error = library.merge_timings_where_safe(b"ours", b"theirs");
            let error = error.expect_err("the fake refuses").to_string();
            assert!(error.contains("timings"), "{raw}, {behaviour:?}: {error}");
            take_record();
        }
    }
    let rtx = fake_library(RTX, Behaviour::Works).merge_timings_where_safe(b"a", b"b");
    assert!(matches!(rtx, Err(BuildError::Unsupported(_))), "{rtx:?}");
}

#[test]
fn objects_are_deleted_in_the_order_their_owners_need() {
    let profiles = [opt_profile(
        "one",
        "x",
        [&[1, 80, 1], &[1, 80, 1], &[1, 80, 1]],
    )];
    let request = BuildRequest {
        profiles: &profiles,
        timing_cache: TimingCache::Fresh,
        ..plain(b"model")
    };
    for raw in [V11, V10, V8] {
        let library = fake_library(raw, Behaviour::Works);
        let built = build(&library, &request).expect("the fake works");
        drop(built);
        let deleted: Vec<String> = take_record()
            .iter()
            .filter_map(|line| line.strip_prefix("delete ").map(str::to_owned))
            .collect();
        // The network takes its layers and tensors along, the builder its profiles; the plan outlives them all.
        assert_eq!(
            deleted,
            [
                "cache blob",
                "parser",
                "network",
                "layer",
                "layer output",
                "output",
                "input",
                "config",
                "timing cache",
                "builder",
                "profile",
                "plan"
            ],
            "{raw}"
        );
    }
}

#[test]
fn what_was_made_before_a_failure_is_deleted_once() {
    for (behaviour, deleted) in [
        (Behaviour::BuilderNull, &[][..]),
        (Behaviour::BuilderLowAddress, &[]),
        (Behaviour::BuilderBadAlloc, &[]),
        (Behaviour::BuilderThrowsInt, &[]),
        (Behaviour::NetworkNull, &["config", "builder"]),
        (Behaviour::ParserNull, &["network", "config", "builder"]),
        (Behaviour::ParserThrows, &["network", "config", "builder"]),
        (
            Behaviour::ParseError,
            &["parser", "network", "config", "builder"],
        ),
        (
            Behaviour::BuildNull,
            &["parser", "network", "config", "builder"],
        ),
    ] {
        for raw in [RTX, V11, V10] {
            failure(raw, behaviour, &plain(b"model"));
            let record = take_record();
            let owned = ["parser", "network", "config", "builder"];
            let found: Vec<&str> = record
                .iter()
                .filter_map(|line| line.strip_prefix("delete "))
                .filter(|name| owned.contains(name))
                .collect();
            assert_eq!(found, deleted, "{behaviour:?} {raw}");
        }
    }
}

#[test]
fn every_failure_is_told_apart() {
    for raw in [RTX, V11, V10] {
        for (behaviour, words) in [
            (
                Behaviour::BuilderNull,
                "the builder factory returned no object",
            ),
            (
                Behaviour::BuilderLowAddress,
                "the builder factory returned no object",
            ),
            (Behaviour::BuilderBadAlloc, "out of memory"),
            (Behaviour::BuilderThrowsInt, "an exception of unknown type"),
            (Behaviour::NetworkNull, "createNetworkV2 returned no object"),
            (
                Behaviour::ParserNull,
                "the parser factory returned no object",
            ),
            (Behaviour::ParserThrows, "importer registry is broken"),
            (
                Behaviour::ParseSilent,
                "the parser refused the model without a reason",
            ),
            (Behaviour::BuildNull, "no implementation for node `project`"),
            (
                Behaviour::BuildOutOfMemory,
                "out of memory: Error Code 2: OutOfMemory",
            ),
        ] {
            let error = failure(raw, behaviour, &plain(b"model"));
            assert!(
                error.to_string().contains(words),
                "{behaviour:?} {raw}: {error}"
            );
        }
    }
    let out_of_memory = failure(RTX, Behaviour::BuildOutOfMemory, &plain(b"model"));
    assert!(matches!(out_of_memory, BuildError::OutOfMemory { .. }));
    let targets = [ComputeCapability { major: 9, minor: 0 }];
    let request = BuildRequest {
        targets: &targets,
        ..plain(b"model")
    };
    let refused = failure(RTX, Behaviour::TargetRefused, &request);
    assert_eq!(refused.to_string(), "compute capability 90 was refused");
    take_record();
}

#[test]
fn a_parse_error_names_its_node_even_where_the_parser_gives_no_names() {
    let BuildError::Parse(errors) = failure(V11, Behaviour::ParseError, &plain(b"model")) else {
        panic!("not a parse error");
    };
    assert_eq!(errors.len(), 1);
    assert_eq!(
        errors[0].to_string(),
        "node 3 `mystery` (NoSuchOp): no importer registered"
    );
    let BuildError::Parse(errors) = failure(V11, Behaviour::NullNames, &plain(b"model")) else {
        panic!("not a parse error");
    };
    assert_eq!(
        (errors[0].name.as_str(), errors[0].message.as_str()),
        ("", "")
    );
    take_record();
}

#[test]
fn a_network_is_listed_with_types_and_dynamic_sizes() {
    for raw in [RTX, V11, V10] {
        let library = fake_library(raw, Behaviour::Works);
        let network = build(&library, &plain(b"model"));
        // The fake's input is dynamic, and a request without profiles leaves that to the library.
        let network = network.expect("the fake works").network;
        assert_eq!(network.inputs[0].to_string(), "`x` [?, 80, ?]", "{raw}");
        assert_eq!(network.inputs[0].dtype, Some(DType::F32), "{raw}");
        assert_eq!(network.outputs[0].dtype, Some(DType::I32), "{raw}");
        let histogram = network.histogram();
        assert_eq!(histogram.len(), 1, "{raw}");
        assert_eq!(histogram[0].kind, "matrix_multiply", "{raw}");
        assert_eq!(
            (histogram[0].dtype, histogram[0].count),
            (Some(DType::F16), 1),
            "{raw}"
        );
    }
    take_record();
}

#[test]
fn ranges_are_checked_before_the_library_sees_them() {
    let cases = [
        ("no such input", opt_profile("p", "y", [&[1, 80, 1]; 3])),
        ("no range", opt_profile("p", "y", [&[1]; 3])),
        ("fixed size", opt_profile("p", "x", [&[1, 79, 1]; 3])),
        ("rank", opt_profile("p", "x", [&[1, 80]; 3])),
        (
            "order",
            opt_profile("p", "x", [&[1, 80, 4], &[1, 80, 2], &[1, 80, 8]]),
        ),
        (
            "above",
            opt_profile("p", "x", [&[1, 80, 4], &[1, 80, 9], &[1, 80, 8]]),
        ),
    ];
    for (name, profile) in cases {
        let profiles = [profile];
        let request = BuildRequest {
            profiles: &profiles,
            ..plain(b"model")
        };
        let error = failure(V11, Behaviour::Works, &request);
        let typed = matches!(
            error,
            BuildError::NoSuchInput { .. } | BuildError::NoRange { .. } | BuildError::Range { .. }
        );
        assert!(typed, "{name}: {error}");
        let record = take_record();
        assert!(
            !record.iter().any(|line| line.starts_with("setDimensions")),
            "{name}"
        );
    }
    let profiles = [opt_profile("p", "x", [&[1, 80, 1]; 3])];
    let request = BuildRequest {
        profiles: &profiles,
        ..plain(b"model")
    };
    let error = failure(V11, Behaviour::ProfileInvalid, &request);
    assert_eq!(error.to_string(), "the optimisation profile is not valid");
    take_record();
}

#[test]
fn progress_arrives_in_order_and_stops_every_phase() {
    for raw in [RTX, V11, V10] {
        let heard = Mutex::new(Vec::new());
        let listener = |event: ProgressEvent<'_>| {
            heard.lock().expect("no panic").push(format!("{event:?}"));
            ControlFlow::Continue(())
        };
        fake_library(raw, Behaviour::Works)
            .build_where_safe(&plain(b"model"), &listener)
            .expect("the fake works");
        let heard = heard.into_inner().expect("no panic");
        assert_eq!(heard.len(), 6, "{heard:?}");
        assert_eq!(
            heard[1],
            r#"Started { phase: "Timing", parent: Some("Building"), steps: 1 }"#
        );
        assert_eq!(heard[2], r#"Step { phase: "Timing", step: 0 }"#);

        for behaviour in [Behaviour::Works, Behaviour::IgnoresStop] {
            let stopper = |event: ProgressEvent<'_>| match event {
                ProgressEvent::Started {
                    phase: "Timing", ..
                } => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            };
            let error = fake_library(raw, behaviour)
                .build_where_safe(&plain(b"model"), &stopper)
                .expect_err("stopped");
            assert!(matches!(error, BuildError::Cancelled), "{error}");
            let record = take_record();
            assert!(
                record.contains(&"told to go on 0 0".to_owned()),
                "{record:?}"
            );
        }
    }
}

#[test]
fn a_panicking_listener_cancels_instead_of_unwinding() {
    let listener = |_: ProgressEvent<'_>| -> ControlFlow<()> { panic!("listener is broken") };
    let library = fake_library(V11, Behaviour::Works);
    let error = library
        .build_where_safe(&plain(b"model"), &listener)
        .expect_err("stopped");
    assert!(matches!(error, BuildError::Cancelled), "{error}");
    build(&library, &plain(b"model")).expect("the library goes on working");
    take_record();
}

#[test]
fn odd_log_lines_and_many_threads_do_no_harm() {
    for raw in [RTX, V11, V10] {
        let library = fake_library(raw, Behaviour::OddLogs);
        let built = build(&library, &plain(b"model")).expect("the fake works");
        assert_eq!(built.warnings, ["", "\u{fffd}\u{fffd} not UTF-8"], "{raw}");
        let library = fake_library(raw, Behaviour::LogsFromThreads);
        let built = build(&library, &plain(b"model")).expect("the fake works");
        assert_eq!(built.warnings, ["from a thread"], "{raw}");
    }
    take_record();
}

#[test]
fn requests_that_cannot_be_passed_on_are_errors() {
    let error = failure(RTX, Behaviour::Works, &plain(b""));
    assert!(matches!(error, BuildError::EmptyModel), "{error}");
    let request = BuildRequest {
        onnx_path: Some(Path::new("a\0b")),
        ..plain(b"model")
    };
    let error = failure(RTX, Behaviour::Works, &request);
    assert!(matches!(error, BuildError::NulByte(_)), "{error}");
    assert!(take_record().is_empty());
}

#[test]
fn tensorrt_proper_is_not_entered_without_a_device() {
    if crate::cuda::probe().is_ok() {
        return;
    }
    for raw in [V11, V10] {
        let library = fake_library(raw, Behaviour::Works);
        let error = library
            .build(&plain(b"model"), &unheard)
            .expect_err("there is no device");
        assert!(matches!(error, BuildError::NoDevice(_)), "{error}");
        assert!(take_record().is_empty(), "{raw}: a factory was called");
    }
}
