//! Every stage on TensorRT: the real shim, contexts, profiles and copies, over libraries that compute on the host.

use crate::fixture::{Fixture, tiny_bundle};
use crate::parity::{assert_all_stages_pass, goldens, show};
use crate::speaking::{request, speak};
use cvtrt::backend::{
    Artifact, Backend, Backends, CompileRequest, CompiledGraph, EngineArtifact, Falls, LoadOptions,
    Model, Step, StoredArtifact, select,
};
use cvtrt::build::axis_limits;
use cvtrt::bundle::Bundle;
use cvtrt::ids::{BackendId, GraphId, Mode, Precision};
use cvtrt::onnx::ModelFile;
use cvtrt::parity::replay;
use cvtrt::pipeline::{LoadedGraph, NEEDED};
use cvtrt::profile::{Chain, CompileOptions, ComputeCapability, Fallback, OptProfile, Shelf};
use cvtrt::tensor::Signature;
use cvtrt::testkit::{backend_or_skip, tensorrt_on_ort_or_skip};
use cvtrt::trt::{ComputingLibrary, FakeCall, FakeFailure, FakeFault};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// TensorRT 8.6, 10, 11 and RTX 1.7, as they tell their versions.
const VERSIONS: [i32; 4] = [8_601, 101_601, 110_400, 10_701];

const OPTIONS: LoadOptions = LoadOptions {
    threads: 1,
    device: 0,
};

/// The bundle's graphs as engines of a library that computes on the host.
fn on_tensorrt(raw_version: i32, test: &str) -> Option<(Fixture, ComputingLibrary)> {
    let bundle = tiny_bundle();
    let mut fixture = Fixture::cosyvoice2(test)?;
    let (backend, library) = tensorrt_on_ort_or_skip(raw_version, bundle.dir().into(), test)?;
    let folder = tempfile::tempdir().expect("a folder");
    for graph in NEEDED {
        let compiled = engine(&bundle, graph, &*backend, &folder);
        // Its arithmetic is that of the processor, so it is held to the processor's gates.
        let backend = BackendId::OrtCpu;
        fixture
            .graphs
            .insert(graph, LoadedGraph { backend, compiled });
    }
    fixture.follow_graphs();
    Some((fixture, library))
}

/// The bundle's graphs on chains that begin with such engines and end with the processor, and what falls.
fn on_chains(raw_version: i32, test: &str) -> Option<(Fixture, ComputingLibrary, Vec<Falls>)> {
    let bundle = tiny_bundle();
    let mut fixture = Fixture::cosyvoice2(test)?;
    let (backend, library) = tensorrt_on_ort_or_skip(raw_version, bundle.dir().into(), test)?;
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Chain {
        links: vec![backend.id(), BackendId::OrtCpu],
        fallback: Fallback::AtRun,
    };
    let mut backends = Backends::default();
    backends.insert(Arc::clone(&backend));
    backends.insert(backend_or_skip(BackendId::OrtCpu, test)?);
    let mut falls = Vec::new();
    for graph in NEEDED {
        let file = bundle.graph_file(graph).expect("a listed graph");
        let (path, signature) = build(&bundle, graph, &*backend, &folder);
        let engine = StoredArtifact::Engine {
            path,
            signature,
            host_code: false,
        };
        let model = StoredArtifact::Onnx(file.path.clone());
        let artifacts = [(backend.id(), engine), (BackendId::OrtCpu, model)];
        let selected = select(&chain, &backends, &artifacts.into(), &OPTIONS);
        let selected = selected.expect("the first link loads");
        assert_eq!(selected.backend, backend.id());
        falls.push(selected.falls);
        let loaded = LoadedGraph {
            backend: selected.backend,
            compiled: selected.compiled,
        };
        fixture.graphs.insert(graph, loaded);
    }
    fixture.follow_graphs();
    Some((fixture, library, falls))
}

fn engine(
    bundle: &Bundle,
    graph: GraphId,
    backend: &dyn Backend,
    folder: &TempDir,
) -> Arc<dyn CompiledGraph> {
    let (path, signature) = build(bundle, graph, backend, folder);
    let artifact = EngineArtifact {
        path: &path,
        signature: &signature,
        host_code: false,
    };
    let loaded = backend.load(Artifact::Engine(artifact), &OPTIONS);
    loaded.unwrap_or_else(|error| panic!("{graph}: {error}"))
}

/// Builds a graph's engine; its file, and what it takes and gives.
fn build(
    bundle: &Bundle,
    graph: GraphId,
    backend: &dyn Backend,
    folder: &TempDir,
) -> (PathBuf, Signature) {
    let file = &bundle.graph_file(graph).expect("a listed graph").path;
    let signature = ModelFile::open(file)
        .and_then(|model| model.signature())
        .expect("a shipped graph");
    let path = folder.path().join(graph.as_str());
    let targets = match backend.id() {
        BackendId::TensorRtRtx => vec![ComputeCapability { major: 8, minor: 6 }],
        _ => Vec::new(),
    };
    let request = CompileRequest {
        graph,
        model: Model::File(file),
        precision: Precision::Fp32,
        fp32_nodes: &[],
        shapes: &shapes(bundle, graph, file),
        options: &CompileOptions {
            targets,
            ..CompileOptions::default()
        },
        timing_cache: None,
        engine: &path,
    };
    let quiet = |_: &Step<'_>| ControlFlow::Continue(());
    backend.compile(&request, &quiet).expect("the fake builds");
    (path, signature)
}

/// The ranges that the profile for GPUs gives the graph.
fn shapes(bundle: &Bundle, graph: GraphId, file: &Path) -> Vec<OptProfile> {
    let profile = Shelf::ready_made().find("default").expect("ready-made");
    let (profile, _) = profile.profile.within(&axis_limits(bundle));
    let signature = ModelFile::open(file).and_then(|model| model.signature());
    let signature = signature.expect("a shipped graph");
    let sets = &profile.graphs[&graph].shapes;
    let resolved = sets.iter().map(|set| set.resolve(&signature));
    resolved.collect::<Result<_, _>>().expect("axes are named")
}

#[test]
fn every_stage_is_as_recorded() {
    for version in VERSIONS {
        let Some((fixture, library)) = on_tensorrt(version, "every stage on TensorRT") else {
            return;
        };
        let report = replay(&goldens("cosyvoice2-tiny"), &fixture.subject(), &mut show);
        assert_all_stages_pass(&report.expect("recordings of this bundle"));
        assert!(library.runs() > 0, "{version}: TensorRT ran the graphs");
        assert!(library.misuses().is_empty(), "{:?}", library.misuses());
        drop(fixture);
        assert!(
            library.outstanding().is_empty(),
            "{version}: {:?}",
            library.outstanding()
        );
        assert_eq!(library.host().outstanding(), (0, 0), "{version}");
    }
}

#[test]
fn an_utterance_is_what_the_processor_makes_of_it() {
    let Some(on_host) = Fixture::cosyvoice2("an utterance on TensorRT") else {
        return;
    };
    let request = request(&on_host, Mode::ZeroShot, "demo");
    let want = speak(&mut on_host.synthesizer(), &request);
    for version in VERSIONS {
        let on_device = on_tensorrt(version, "an utterance on TensorRT");
        let (fixture, _) = on_device.expect("ONNX Runtime was here before");
        let got = speak(&mut fixture.synthesizer(), &request);
        assert_eq!(got.tokens, want.tokens, "{version}");
        let furthest = got.pcm.iter().zip(&want.pcm);
        let furthest = furthest.map(|(got, want)| (got - want).abs());
        let furthest = furthest.fold(0f32, f32::max);
        assert!(
            got.pcm.len() == want.pcm.len() && furthest < 1e-5,
            "{version}: {furthest}"
        );
    }
}

#[test]
fn each_failing_call_of_the_library_is_an_error_and_leaks_nothing() {
    let calls = [
        FakeCall::SetProfile,
        FakeCall::SetInputShape,
        FakeCall::SetAddress,
        FakeCall::Enqueue,
    ];
    let Some((fixture, library)) = on_tensorrt(VERSIONS[2], "each failing call of TensorRT") else {
        return;
    };
    let request = request(&fixture, Mode::ZeroShot, "demo");
    let clean = speak(&mut fixture.synthesizer(), &request);
    for call in calls {
        for how in [FakeFailure::Refused, FakeFailure::OutOfMemory] {
            let mut synthesizer = fixture.synthesizer();
            library.fail(FakeFault {
                call,
                after: 3,
                how,
            });
            let error = synthesizer.speak(&request).expect_err("a call fails");
            assert!(error.recovery().is_some(), "{call:?} {how:?}: {error}");
            let next = speak(&mut synthesizer, &request);
            assert!(next.pcm == clean.pcm, "{call:?} {how:?}");
        }
    }
    drop(fixture);
    assert!(
        library.outstanding().is_empty(),
        "{:?}",
        library.outstanding()
    );
    assert_eq!(library.host().outstanding(), (0, 0));
}

#[test]
fn a_failing_library_hands_the_text_to_the_processor() {
    let calls = [
        (FakeCall::CreateContext, FakeFailure::Refused),
        (FakeCall::SetProfile, FakeFailure::Refused),
        (FakeCall::SetInputShape, FakeFailure::Refused),
        (FakeCall::SetAddress, FakeFailure::Refused),
        (FakeCall::Enqueue, FakeFailure::Refused),
        (FakeCall::Enqueue, FakeFailure::OutOfMemory),
        (FakeCall::Enqueue, FakeFailure::Nan),
    ];
    let Some(clean) = Fixture::cosyvoice2("a failing library hands over") else {
        return;
    };
    let request = request(&clean, Mode::ZeroShot, "demo");
    let want = speak(&mut clean.synthesizer(), &request);
    let chains = on_chains(VERSIONS[2], "a failing library hands over");
    let (fixture, library, falls) = chains.expect("ONNX Runtime was here before");
    let fallen = || -> u64 {
        let falls = falls.iter().flat_map(Falls::list);
        falls.map(|fall| fall.times).sum()
    };
    for (call, how) in calls {
        let before = fallen();
        library.fail(FakeFault {
            call,
            after: 3,
            how,
        });
        let mut synthesizer = fixture.synthesizer();
        let got = speak(&mut synthesizer, &request);
        assert_eq!(fallen(), before + 1, "{call:?} {how:?}");
        assert_eq!(got.tokens, want.tokens, "{call:?} {how:?}");
        let on_the_processor = got
            .backends
            .values()
            .filter(|one| **one == BackendId::OrtCpu);
        assert_eq!(
            on_the_processor.count(),
            1,
            "{call:?} {how:?}: {:?}",
            got.backends
        );
        let furthest = got.pcm.iter().zip(&want.pcm);
        let furthest = furthest.map(|(got, want)| (got - want).abs());
        let furthest = furthest.fold(0f32, f32::max);
        assert_eq!(got.pcm.len(), want.pcm.len(), "{call:?} {how:?}");
        assert!(furthest < 2e-5, "{call:?} {how:?}: {furthest}");
    }
    drop(fixture);
    assert!(
        library.outstanding().is_empty(),
        "{:?}",
        library.outstanding()
    );
    assert_eq!(library.host().outstanding(), (0, 0));
}
