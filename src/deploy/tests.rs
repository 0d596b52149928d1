//! What is served in place of an engine that must not be.

use super::*;
use crate::backend::{Fake, Fault, Faulty, When};
use crate::build::{BuildError, Machine};
use crate::cache::{Begun, BuildRecord, GcRequest, Pending, SignatureText, Verification};
use crate::hint::{Class, Hint};
use crate::profile::{ComputeCapability, Shelf};
use crate::tensor::Signature;
use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const GRAPH: GraphId = GraphId::HiftF0;
const RTX: BackendId = BackendId::TensorRtRtx;

struct Bench {
    bundle: Bundle,
    profile: Profile,
    backends: Backends,
    root: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("onnx/cosyvoice2-tiny");
        let mut profile = Shelf::ready_made().find("rtx").expect("ready-made").profile;
        let own = profile.graphs.get_mut(&GRAPH).expect("every graph");
        own.precision = Some(Precision::Fp32);
        own.chain = Some(Chain {
            links: vec![RTX, BackendId::OrtCpu],
            fallback: Fallback::AtLoad,
        });
        let mut backends = Backends::default();
        for id in [RTX, BackendId::OrtCpu] {
            let signature = Signature {
                inputs: Vec::new(),
                outputs: Vec::new(),
            };
            backends.insert(Arc::new(Fake::new(id, signature, |_| {})));
        }
        Self {
            bundle: Bundle::open(&dir).expect("shipped with the source"),
            profile,
            backends,
            root: tempfile::tempdir().expect("temporary folder"),
        }
    }

    fn fall_back(&mut self, fallback: Fallback) {
        let own = self.profile.graphs.get_mut(&GRAPH).expect("every graph");
        own.chain.as_mut().expect("its own").fallback = fallback;
    }

    fn deploy(&self, tier: Option<Tier>) -> Result<Served, DeployError> {
        self.deployment(tier).map(|mut done| done.served.remove(0))
    }

    fn deployment(&self, tier: Option<Tier>) -> Result<Deployment, DeployError> {
        let request = DeployRequest {
            bundle: &self.bundle,
            profile: &self.profile,
            backends: &self.backends,
            store: &EngineStore::new(self.root.path()),
            graphs: &[GRAPH],
            tier,
            options: &LoadOptions {
                threads: 1,
                device: 0,
            },
        };
        deploy(&request, &mut StatCache::in_memory())
    }

    /// Removes every engine that nobody holds; gives how many went and how many stay.
    fn collect(&self) -> (usize, usize) {
        let machine = Machine::of(std::slice::from_ref(&self.backends));
        let request = GcRequest {
            here: machine.here(),
            max_bytes: Some(0),
            all_stale: false,
            dry_run: false,
        };
        let store = EngineStore::new(self.root.path());
        let report = store.gc(&request).expect("writable");
        (report.removed.len(), report.held.len())
    }

    /// Puts the engine that a backend would be asked for into quarantine.
    fn reject(&self, backend: BackendId) {
        let failed = Verification::Failed {
            reason: "it gives NaN".to_owned(),
        };
        let (pending, record) = self.built(backend, CompileOptions::default(), failed);
        pending.reject(record).expect("writable");
    }

    /// Puts an engine into the cache.
    fn keep(&self, backend: BackendId, options: CompileOptions) {
        let (pending, record) = self.built(backend, options, Verification::Skipped);
        pending.commit(record).expect("writable");
    }

    fn built(
        &self,
        backend: BackendId,
        options: CompileOptions,
        verification: Verification,
    ) -> (Pending, BuildRecord) {
        let store = EngineStore::new(self.root.path());
        let request = BuildRequest {
            bundle: &self.bundle,
            profile: &self.profile,
            backends: &self.backends,
            store: &store,
            scope: Scope::Named(vec![GRAPH]),
            precision: None,
            backend: Some(backend),
            options,
            device: 0,
            rebuild: false,
            verify: false,
            timings: build::TimingsAt::Nowhere,
        };
        let plan = build::plan(&request, &mut StatCache::in_memory()).expect("planned");
        let begun = store.begin(&plan.graphs[0].inputs, "engine", false);
        let Ok(Begun::Build(pending)) = begun else {
            panic!("{begun:?}");
        };
        std::fs::write(pending.engine_path(), b"engine").expect("writable");
        let record = BuildRecord {
            build_time: Duration::ZERO,
            signature: SignatureText::default(),
            report: serde_json::Value::Null,
            verification,
        };
        (pending, record)
    }
}

#[test]
fn an_engine_compiled_with_other_options_serves_as_well() {
    let bench = Bench::new();
    let targets = vec![ComputeCapability { major: 8, minor: 6 }];
    bench.keep(
        RTX,
        CompileOptions {
            optimization_level: Some(5),
            targets,
            ..CompileOptions::default()
        },
    );
    let served = bench.deploy(None).expect("there is an engine");
    assert_eq!((served.backend, served.from_cache), (RTX, true));
    assert!(!served.is_fallback(), "{served:?}");
}

#[test]
fn the_newest_engine_serves_whatever_its_options() {
    let bench = Bench::new();
    bench.keep(RTX, CompileOptions::default());
    let plain = bench.deploy(None).expect("there is an engine").file;
    // The store tells times in seconds, and both were built in this one.
    let manifest = plain.with_file_name("manifest.json");
    let mut aged: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&manifest).expect("written")).expect("JSON");
    aged["built_at_unix"] = 1.into();
    std::fs::write(&manifest, aged.to_string()).expect("writable");
    bench.keep(
        RTX,
        CompileOptions {
            optimization_level: Some(5),
            ..CompileOptions::default()
        },
    );
    let served = bench.deploy(None).expect("there are two");
    assert!(served.from_cache);
    assert_ne!(served.file, plain);
}

#[test]
fn every_link_has_its_engine_at_hand() {
    let bench = Bench::new();
    bench.keep(RTX, CompileOptions::default());
    bench.keep(BackendId::OrtCpu, CompileOptions::default());
    let served = bench.deploy(None).expect("the first link's engine");
    assert_eq!((served.backend, served.from_cache), (RTX, true));
    let at_hand = [RTX, BackendId::OrtCpu].map(|link| (link, Precision::Fp32));
    assert_eq!(served.at_hand, at_hand.into());
    // The second link's engine, not its model, is what takes over.
    let lone = bench.deploy(Some(Tier {
        backend: BackendId::OrtCpu,
        precision: Precision::Fp32,
    }));
    assert!(lone.expect("its engine").from_cache);
}

#[test]
fn an_engine_that_never_ran_waits_for_its_verification() {
    let bench = Bench::new();
    let elsewhere = Verification::NotRunHere {
        reason: "no GPU".to_owned(),
    };
    let (pending, record) = bench.built(RTX, CompileOptions::default(), elsewhere);
    pending.commit(record).expect("writable");
    let served = bench.deploy(None).expect("the processor is left");
    assert_eq!(served.backend, BackendId::OrtCpu);
    assert!(
        served.passed_over[0].contains("never compared"),
        "{served:?}"
    );
    let tier = Tier {
        backend: RTX,
        precision: Precision::Fp32,
    };
    let error = bench
        .deploy(Some(tier))
        .expect_err("nothing else is allowed");
    assert_eq!(error.class(), Class::Unverified);
    let hint = error.hint().expect("a way out");
    assert_eq!(
        hint,
        "cvtrt build --graphs hift_f0 --backend tensorrt-rtx --fp32"
    );
}

#[test]
fn the_next_link_serves_and_says_what_is_in_quarantine() {
    let bench = Bench::new();
    bench.reject(RTX);
    let served = bench.deploy(None).expect("the processor is left");
    assert_eq!(
        (served.backend, served.from_cache),
        (BackendId::OrtCpu, false)
    );
    assert!(served.is_fallback());
    assert_eq!(
        served.passed_over,
        ["tensorrt-rtx: its fp32 engine is in quarantine: it gives NaN"]
    );
}

#[test]
fn the_model_itself_still_runs_where_its_optimised_form_is_unfit() {
    let bench = Bench::new();
    bench.reject(RTX);
    bench.reject(BackendId::OrtCpu);
    let served = bench.deploy(None).expect("the model runs as exported");
    assert_eq!(
        (served.backend, served.from_cache),
        (BackendId::OrtCpu, false)
    );
    assert_eq!(served.passed_over.len(), 2, "{:?}", served.passed_over);
    assert_eq!(
        served.no_engine.as_deref(),
        Some("its fp32 engine is in quarantine: it gives NaN")
    );
}

#[test]
fn a_warm_up_stops_before_the_next_run() {
    let bench = Bench::new();
    let warmup = bench.deployment(None).expect("the model runs").warmup;
    let lane = Lane::on_host(0);
    let asked = Cell::new(0);
    // Once for the graph, then once for each of four runs of the first set of shapes.
    for allowed in [0, 1, 4] {
        asked.set(0);
        let stop = || asked.replace(asked.get() + 1) == allowed;
        let error = warmup
            .run_until(&lane, &stop, |run| panic!("{run:?} is not complete"))
            .expect_err("it is told to stop");
        assert!(matches!(error, WarmupError::Stopped), "{error}");
        assert_eq!(asked.get(), allowed + 1, "nothing was run after that");
    }
    assert!(!warmup.run(&lane, |_| {}).expect("runs").is_empty());
}

#[test]
fn a_damaged_engine_is_told_with_the_model_that_speaks_in_its_place() {
    let bench = Bench::new();
    for backend in [RTX, BackendId::OrtCpu] {
        bench.keep(backend, CompileOptions::default());
        let precision = Precision::Fp32;
        let engine = bench.deploy(Some(Tier { backend, precision }));
        std::fs::write(engine.expect("kept").file, b"another length").expect("writable");
    }
    let served = bench.deploy(None).expect("the model runs as exported");
    assert!(!served.from_cache);
    let why = served.no_engine.clone().expect("it is no engine");
    assert!(why.contains("is in quarantine"), "{why}");
    let passed_over = &served.passed_over;
    assert!(
        passed_over[0].starts_with("tensorrt-rtx: there is no engine for it: ")
            && passed_over[0].contains("is in quarantine"),
        "{passed_over:?}"
    );
    let again = bench.deploy(None).expect("the model still runs");
    let why = again.no_engine.expect("it is no engine");
    assert!(
        why.starts_with("the engine was damaged and is in quarantine: "),
        "{why}"
    );
}

#[test]
fn an_engine_that_may_be_read_again_is_not_collected() {
    let mut bench = Bench::new();
    bench.fall_back(Fallback::AtRun);
    for backend in [RTX, BackendId::OrtCpu] {
        bench.keep(backend, CompileOptions::default());
    }
    let deployment = bench.deployment(None).expect("the first link's engine");
    assert_eq!(
        bench.collect(),
        (0, 2),
        "one is read again, one may be needed"
    );
    drop(deployment);
    bench.fall_back(Fallback::AtLoad);
    let deployment = bench.deployment(None).expect("as before");
    assert_eq!(
        bench.collect(),
        (1, 1),
        "the chain ends with the first link"
    );
    drop(deployment);
    assert_eq!(bench.collect(), (1, 0));
}

#[test]
fn an_engine_that_did_not_load_is_collected_while_the_next_link_serves() {
    let mut bench = Bench::new();
    bench.fall_back(Fallback::AtRun);
    for backend in [RTX, BackendId::OrtCpu] {
        bench.keep(backend, CompileOptions::default());
    }
    let rtx = Arc::clone(bench.backends.get(RTX).expect("a fake"));
    let broken = Faulty::new(rtx).with(Fault::RefusedLoad, When::Always);
    bench.backends.insert(Arc::new(broken));
    let deployment = bench.deployment(None).expect("the second link's engine");
    assert_eq!(deployment.served[0].backend, BackendId::OrtCpu);
    assert_eq!(bench.collect(), (1, 1));
    assert!(deployment.served[0].file.is_file());
}

#[test]
fn a_forced_tier_ends_at_its_engine_in_quarantine() {
    let bench = Bench::new();
    bench.reject(RTX);
    let tier = Tier {
        backend: RTX,
        precision: Precision::Fp32,
    };
    let error = bench.deploy(Some(tier)).expect_err("it is unfit");
    assert!(
        matches!(error, DeployError::Plan(BuildError::Quarantined { .. })),
        "{error:?}"
    );
    assert_eq!(error.class(), Class::Unverified);
    assert!(error.hint().expect("a fix").contains("--force"));
}
