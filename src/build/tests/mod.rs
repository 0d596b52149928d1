//! Builds through real worker processes, with backends that do what a test asks of them.

mod plans;
mod scripted;

use super::failure::FailureKind;
use super::*;
use crate::backend::Backends;
use crate::bundle::{Bundle, StatCache};
use crate::cache::{EngineStore, KeyInputs, Lookup, Verification};
use crate::hint::{Class, Hint};
use crate::ids::{BackendId, GraphId, Precision};
use crate::profile::{Chain, CompileOptions, Fallback, Profile, Shelf};
use scripted::{Behaviour, MEETING, backends, worker_command};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

const GRAPH: GraphId = GraphId::HiftF0;

fn bundle_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("onnx/cosyvoice2-tiny")
}

/// One store and one request, and what was heard of builds.
struct Bench {
    bundle: Bundle,
    profile: Profile,
    root: tempfile::TempDir,
    behaviour: Behaviour,
    backends: Backends,
    store: EngineStore,
    deadline: Duration,
    jobs: Jobs,
    meeting: Option<PathBuf>,
    cancel: Cancel,
    heard: Heard,
}

#[derive(Default)]
struct Heard {
    steps: usize,
    log: Vec<String>,
    passed_over: Vec<String>,
    compiled: Vec<(BackendId, Precision)>,
    stays: Vec<String>,
    cancel_when_compiling: Option<Cancel>,
    append_when_verifying: Option<PathBuf>,
}

impl Watch for Heard {
    fn on(&mut self, event: Event<'_>) {
        match event {
            Event::Step { .. } => self.steps += 1,
            Event::Log { line, .. } => {
                self.log.push(line.to_owned());
                if line.contains("last words")
                    && let Some(cancel) = &self.cancel_when_compiling
                {
                    cancel.cancel();
                }
            }
            Event::Verifying { .. } => {
                if let Some(path) = &self.append_when_verifying {
                    let file = OpenOptions::new().append(true).open(path);
                    file.and_then(|mut file| file.write_all(b"x"))
                        .expect("own file");
                }
            }
            Event::Compiling {
                backend, precision, ..
            } => self.compiled.push((backend, precision)),
            Event::PassedOver { reason, .. } => self.passed_over.push(reason.to_owned()),
            Event::Stays { entry, .. } => self.stays.push(entry.to_owned()),
            _ => {}
        }
    }
}

impl Bench {
    fn new(behaviour: Behaviour, fallback: Fallback) -> Self {
        let root = tempfile::tempdir().expect("temporary folder");
        let mut profile = Shelf::ready_made().find("rtx").expect("ready-made").profile;
        let own = profile.graphs.get_mut(&GRAPH).expect("every graph");
        own.precision = None;
        own.chain = Some(Chain {
            links: vec![BackendId::TensorRtRtx, BackendId::OrtCpu],
            fallback,
        });
        Self {
            bundle: Bundle::open(&bundle_dir()).expect("shipped with the source"),
            profile,
            store: EngineStore::new(root.path().join("engines")),
            root,
            behaviour,
            backends: backends(behaviour),
            deadline: Duration::from_mins(1),
            jobs: Jobs::WhatFits,
            meeting: None,
            cancel: Cancel::default(),
            heard: Heard::default(),
        }
    }

    fn request(&self) -> BuildRequest<'_> {
        BuildRequest {
            bundle: &self.bundle,
            profile: &self.profile,
            backends: &self.backends,
            store: &self.store,
            scope: Scope::Named(vec![GRAPH]),
            precision: Some(Precision::Fp16),
            backend: None,
            options: CompileOptions::default(),
            device: 0,
            rebuild: false,
            verify: true,
            timings: TimingsAt::Store,
        }
    }

    fn build(&mut self) -> Result<Built, BuildError> {
        self.build_with(|_| {}).map(|mut built| built.remove(0))
    }

    fn build_with(
        &mut self,
        change: impl FnOnce(&mut BuildRequest<'_>),
    ) -> Result<Vec<Built>, BuildError> {
        let mut heard = std::mem::take(&mut self.heard);
        let mut request = self.request();
        change(&mut request);
        let workers = Workers {
            command: match &self.meeting {
                Some(place) => worker_command(self.behaviour).with_variable(MEETING, place),
                None => worker_command(self.behaviour),
            },
            deadlines: Deadlines {
                compile: self.deadline,
                verify: self.deadline,
            },
            jobs: self.jobs,
        };
        let mut digests = StatCache::in_memory();
        let built = plan(&request, &mut digests).and_then(|plan| {
            execute(
                plan,
                &request,
                &mut digests,
                &workers,
                &self.cancel,
                &mut heard,
            )
        });
        self.heard = heard;
        built
    }

    /// Nothing is left of a failed build.
    fn assert_no_entry(&self) {
        assert!(self.store.entries().expect("readable").is_empty());
        let folder = self.store.root().join(GRAPH.as_str());
        let left = std::fs::read_dir(folder).map_or(0, Iterator::count);
        assert_eq!(left, 0, "no temporary folder stays");
    }
}

#[test]
fn an_engine_is_built_once_and_then_found() {
    let mut bench = Bench::new(Behaviour::Works, Fallback::Never);
    let built = bench.build().expect("builds");
    assert_eq!(built.state, RowState::Built);
    assert_eq!(
        (built.backend, built.precision),
        (BackendId::TensorRtRtx, Precision::Fp16)
    );
    assert_eq!(built.max_abs_error, Some(0.0));
    let Verification::Passed { runs } = &built.verification else {
        panic!("{:?}", built.verification);
    };
    let shapes: Vec<&str> = runs.iter().map(|run| run.shapes.as_str()).collect();
    assert_eq!(
        shapes,
        [
            "stream min",
            "stream opt",
            "stream max",
            "offline opt",
            "offline max"
        ],
        "offline min is stream opt"
    );
    assert!(built.engine.is_file() && built.bytes > 0);
    assert!(bench.heard.steps > 0);
    let noise = |words: &str| bench.heard.log.iter().any(|line| line.contains(words));
    assert!(
        noise("a library prints this") && noise("last words"),
        "{:?}",
        bench.heard.log
    );

    let found = bench.build().expect("is there");
    assert_eq!(found.state, RowState::Cached);
    assert_eq!(
        (found.key, found.verification),
        (built.key, built.verification)
    );
}

#[test]
fn a_worker_that_dies_is_a_typed_error_with_its_last_words() {
    type Expected = fn(&WorkerError) -> bool;
    let cases: [(Behaviour, &str, Expected); 6] = [
        (Behaviour::AbortsInCompile, "build", |error| {
            matches!(error, WorkerError::Crashed { signal: 6, .. })
        }),
        (Behaviour::IsKilledInCompile, "build", |error| {
            matches!(error, WorkerError::Killed { .. })
        }),
        (Behaviour::HangsInCompile, "build", |error| {
            matches!(error, WorkerError::Hung { .. })
        }),
        (Behaviour::FloodsInCompile, "build", |error| {
            matches!(error, WorkerError::Hung { .. })
        }),
        (Behaviour::PanicsInCompile, "build", |error| {
            matches!(error, WorkerError::Exited { code: 101, .. })
        }),
        (Behaviour::AbortsInLoad, "verify", |error| {
            matches!(error, WorkerError::Crashed { signal: 6, .. })
        }),
    ];
    for (behaviour, doing, expected) in cases {
        let mut bench = Bench::new(behaviour, Fallback::Never);
        if matches!(
            behaviour,
            Behaviour::HangsInCompile | Behaviour::FloodsInCompile
        ) {
            bench.deadline = Duration::from_secs(2);
        }
        let error = bench.build().expect_err("it dies");
        let BuildError::Worker {
            graph: GRAPH,
            task,
            source,
        } = &error
        else {
            panic!("{behaviour:?}: {error:?}");
        };
        assert_eq!(*task, doing, "{behaviour:?}");
        assert!(expected(source), "{behaviour:?}: {source:?}");
        assert!(error.to_string().contains("hift_f0"), "{error}");
        if doing == "build" {
            assert!(
                error.to_string().contains("last words"),
                "{behaviour:?}: {error}"
            );
        }
        bench.assert_no_entry();
    }
}

#[test]
fn a_backend_that_fails_is_passed_over_where_the_chain_allows_it() {
    let mut bench = Bench::new(Behaviour::FailsInCompile, Fallback::AtLoad);
    let built = bench.build().expect("the processor is left");
    assert_eq!(
        (built.backend, built.state),
        (BackendId::OrtCpu, RowState::Built)
    );
    assert!(
        built.passed_over[0].reason.contains("no tactic"),
        "{:?}",
        built.passed_over
    );
    assert_eq!(bench.heard.passed_over.len(), 1);

    let mut bench = Bench::new(Behaviour::FailsInCompile, Fallback::Never);
    let error = bench.build().expect_err("the chain is strict");
    assert!(error.to_string().contains("no tactic"), "{error}");
    bench.assert_no_entry();
}

#[test]
fn a_full_disk_ends_the_build_and_is_no_reason_to_take_the_next_link() {
    let mut bench = Bench::new(Behaviour::FindsADiskFull, Fallback::AtRun);
    let error = bench
        .build()
        .expect_err("the disk is as full for the next link");
    assert!(
        matches!(
            &error,
            BuildError::Worker { source: WorkerError::Failed(failure), .. }
                if failure.kind == FailureKind::Storage
        ),
        "{error:?}"
    );
    assert!(error.hint().is_some_and(|hint| hint.contains("engines gc")));
    assert_eq!(bench.heard.passed_over, Vec::<String>::new());
    bench.assert_no_entry();
}

#[test]
fn an_engine_that_found_too_little_memory_is_verified_again_alone() {
    let mut bench = Bench::new(Behaviour::RunsOutOfMemoryOnce, Fallback::AtRun);
    let meeting = tempfile::tempdir().expect("temporary folder");
    bench.meeting = Some(meeting.path().to_owned());
    let built = bench.build().expect("there is enough the second time");
    assert_eq!(built.backend, BackendId::TensorRtRtx);
    assert_eq!(bench.heard.compiled.len(), 1, "it is not compiled again");
    assert!(matches!(built.verification, Verification::Passed { .. }));
}

#[test]
fn wrong_values_fail_the_verification() {
    for behaviour in [Behaviour::ComputesOtherValues, Behaviour::GivesNan] {
        let mut bench = Bench::new(behaviour, Fallback::Never);
        let error = bench.build().expect_err("the values differ");
        assert_eq!(error.class(), Class::Unverified, "{error}");
        let text = error.to_string();
        assert!(
            text.contains("`f0`") && text.contains("stream min"),
            "{text}"
        );
        assert!(
            error.hint().expect("a fix").contains("--fp32"),
            "{behaviour:?}"
        );
        bench.assert_no_entry();
    }
}

#[test]
fn an_unfit_engine_goes_into_quarantine_and_the_next_link_serves() {
    const RTX_FP16: (BackendId, Precision) = (BackendId::TensorRtRtx, Precision::Fp16);
    let cases = [
        (Behaviour::ComputesOtherValues, "differs"),
        (Behaviour::GivesNan, "differs"),
        (Behaviour::AbortsInLoad, "crashed"),
    ];
    for (behaviour, said) in cases {
        let mut bench = Bench::new(behaviour, Fallback::AtLoad);
        let built = bench.build().expect("the processor is left");
        assert_eq!(
            (built.backend, built.state),
            (BackendId::OrtCpu, RowState::Built),
            "{behaviour:?}"
        );
        let reason = &built.passed_over[0].reason;
        assert!(reason.contains(said), "{behaviour:?}: {reason}");
        assert_eq!(bench.heard.passed_over, std::slice::from_ref(reason));

        let quarantined = bench.store.quarantined().expect("readable");
        let entry = quarantined[0].entry.as_ref().expect("a manifest");
        assert_eq!(entry.manifest().inputs.backend, BackendId::TensorRtRtx);
        assert!(entry.damage().is_none() && quarantined[0].reason.contains(said));

        // It is not built again, unless that is asked for.
        bench.heard.compiled.clear();
        let again = bench.build().expect("the processor's is there");
        assert_eq!(
            (again.backend, again.state),
            (BackendId::OrtCpu, RowState::Cached)
        );
        let reason = &again.passed_over[0].reason;
        assert!(
            reason.contains("its fp16 engine is in quarantine"),
            "{reason}"
        );
        assert_eq!(bench.heard.compiled, []);
        bench
            .build_with(|request| request.rebuild = true)
            .expect("the processor is left");
        assert_eq!(bench.heard.compiled[0], RTX_FP16);
        assert_eq!(bench.store.quarantined().expect("readable").len(), 1);
    }
}

#[test]
fn a_strict_chain_ends_at_an_engine_in_quarantine_until_it_is_built_well() {
    let mut bench = Bench::new(Behaviour::GivesNan, Fallback::Never);
    bench.build().expect_err("it gives NaN");
    bench.heard.compiled.clear();
    let error = bench.build().expect_err("it is known");
    assert!(matches!(error, BuildError::Quarantined { .. }), "{error:?}");
    assert_eq!(error.class(), Class::Unverified);
    assert!(error.hint().expect("a fix").contains("--force"));
    assert_eq!(bench.heard.compiled, []);

    bench.behaviour = Behaviour::Works;
    bench.backends = backends(Behaviour::Works);
    let built = bench
        .build_with(|request| request.rebuild = true)
        .expect("it is sound now");
    assert_eq!(built[0].state, RowState::Built);
    assert!(bench.store.quarantined().expect("readable").is_empty());
    assert_eq!(bench.build().expect("is there").state, RowState::Cached);
}

#[test]
fn an_engine_that_is_wrong_in_half_is_served_in_fp32_by_the_same_backend() {
    let mut bench = Bench::new(Behaviour::ComputesOtherValuesInHalf, Fallback::AtLoad);
    bench.profile.graphs.get_mut(&GRAPH).expect("there").chain = Some(Chain {
        links: vec![BackendId::TensorRtRtx],
        fallback: Fallback::AtLoad,
    });
    let built = bench.build().expect("fp32 is left");
    assert_eq!(
        (built.backend, built.precision),
        (BackendId::TensorRtRtx, Precision::Fp32)
    );
    assert_eq!(built.passed_over.len(), 1, "{:?}", built.passed_over);
    assert!(
        built
            .notes
            .iter()
            .any(|note| note.contains("fp16 was asked for")),
        "{:?}",
        built.notes
    );
}

#[test]
fn a_verification_without_an_end_is_no_verdict() {
    let mut bench = Bench::new(Behaviour::HangsInLoad, Fallback::AtLoad);
    bench.deadline = Duration::from_secs(2);
    let built = bench.build().expect("the processor is left");
    assert_eq!(built.backend, BackendId::OrtCpu);
    assert!(built.passed_over[0].reason.contains("stopped after"));
    assert!(bench.store.quarantined().expect("readable").is_empty());
}

#[test]
fn a_precision_nothing_builds_is_lowered_only_where_the_chain_allows_it() {
    let mut strict = Bench::new(Behaviour::OnlyFp32, Fallback::Never);
    let error = strict.build().expect_err("nothing builds fp16");
    assert_eq!(error.class(), Class::Unavailable);
    assert!(error.to_string().contains("does not build fp16"), "{error}");

    let mut bench = Bench::new(Behaviour::OnlyFp32, Fallback::AtLoad);
    bench.profile.graphs.get_mut(&GRAPH).expect("there").chain = Some(Chain {
        links: vec![BackendId::TensorRtRtx],
        fallback: Fallback::AtLoad,
    });
    let built = bench.build().expect("fp32 is left");
    assert_eq!(built.precision, Precision::Fp32);
    assert!(
        built.notes[0].contains("fp16 was asked for"),
        "{:?}",
        built.notes
    );
}

#[test]
fn an_engine_for_another_machine_is_built_for_named_targets_only() {
    let mut bench = Bench::new(Behaviour::CannotRunHere, Fallback::Never);
    let error = bench.build().expect_err("no target is named");
    assert_eq!(error.class(), Class::Unavailable);
    assert!(error.to_string().contains("--target"), "{error}");

    let targets = vec!["sm_86".parse().expect("a capability")];
    let built = bench
        .build_with(|request| request.options.targets = targets)
        .expect("builds")
        .remove(0);
    let Verification::NotRunHere { reason } = &built.verification else {
        panic!("{:?}", built.verification);
    };
    assert_eq!(reason, "there is no GPU");
    assert_eq!(built.max_abs_error, None);
}

#[test]
fn an_engine_built_unverified_is_verified_when_asked() {
    let mut bench = Bench::new(Behaviour::Works, Fallback::Never);
    let built = bench
        .build_with(|request| request.verify = false)
        .expect("builds");
    assert_eq!(built[0].verification, Verification::Skipped);
    let verified = bench.build().expect("verifies");
    assert_eq!(verified.state, RowState::Verified);
    assert_eq!(bench.build().expect("is there").state, RowState::Cached);
}

#[test]
fn an_engine_in_the_cache_that_gives_wrong_values_is_found_no_more() {
    let mut bench = Bench::new(Behaviour::ComputesOtherValues, Fallback::Never);
    let inputs = plan_inputs(&bench);
    bench
        .build_with(|request| request.verify = false)
        .expect("builds");
    let error = bench.build().expect_err("the values differ");
    assert_eq!(error.class(), Class::Unverified, "{error}");
    bench.assert_no_entry();
    let lookup = bench.store.lookup(&inputs);
    assert!(matches!(lookup, Lookup::Missing), "{lookup:?}");
    assert!(bench.store.rejection(&inputs).is_some());
}

#[test]
fn a_model_replaced_during_its_build_gives_no_engine() {
    let mut bench = Bench::new(Behaviour::Works, Fallback::AtRun);
    bench.bundle = copy_of_the_bundle(bench.root.path());
    let model = bench.bundle.graph_file(GRAPH).expect("there").path.clone();
    bench.heard.append_when_verifying = Some(model.clone());
    let error = bench.build().expect_err("the key is that of another model");
    assert!(
        matches!(&error, BuildError::ModelChanged { graph: GRAPH, path } if *path == model),
        "{error:?}"
    );
    assert!(error.hint().is_some());
    bench.assert_no_entry();
}

fn copy_of_the_bundle(root: &Path) -> Bundle {
    let to = root.join("bundle");
    copy_files(&bundle_dir(), &to);
    Bundle::open(&to).expect("as shipped")
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir(to).expect("own folder");
    for entry in fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy_files(&from, &to);
        } else {
            fs::copy(&from, &to).expect("own folder");
        }
    }
}

#[test]
fn a_backend_that_is_not_installed_is_unavailable() {
    let mut bench = Bench::new(Behaviour::IsNotInstalled, Fallback::AtLoad);
    let built = bench.build().expect("the processor is left");
    assert_eq!(built.backend, BackendId::OrtCpu);
    assert_eq!(built.passed_over[0].reason, "no library");
    let named = bench.build_with(|request| request.backend = Some(BackendId::TensorRtRtx));
    let error = named.expect_err("a named backend is strict");
    assert_eq!(error.class(), Class::Unavailable);
    assert!(error.hint().is_some());
}

#[test]
fn cancelling_ends_the_worker_and_leaves_nothing() {
    let mut bench = Bench::new(Behaviour::HangsInCompile, Fallback::AtRun);
    bench.heard.cancel_when_compiling = Some(bench.cancel.clone());
    let error = bench.build().expect_err("cancelled");
    assert!(matches!(error, BuildError::Cancelled), "{error:?}");
    bench.assert_no_entry();
    assert!(
        matches!(bench.build(), Err(BuildError::Cancelled)),
        "it stays cancelled"
    );
}

#[test]
fn a_worker_ends_when_its_parent_is_gone() {
    let job = job::Job::Compile(job::CompileJob {
        graph: GRAPH,
        model: bundle_dir().join("hift_f0.onnx"),
        data: Vec::new(),
        backend: BackendId::TensorRtRtx,
        precision: Precision::Fp32,
        steps: 10,
        plain_instance_norm: false,
        islands: crate::onnx::Islands::default(),
        shapes: Vec::new(),
        options: CompileOptions::default(),
        timing_cache: None,
        engine: PathBuf::from("never-written"),
    });
    let mut child = worker_command(Behaviour::HangsInCompile)
        .start(&job)
        .expect("starts");
    drop(child.stdin.take());
    // A worker that missed it would hang here, and with it the test.
    let status = child.wait().expect("ended");
    assert_eq!(status.code(), None, "no exit handler ran");
}

#[test]
fn forcing_builds_again() {
    let mut bench = Bench::new(Behaviour::Works, Fallback::Never);
    let first = bench.build().expect("builds");
    let again = bench
        .build_with(|request| request.rebuild = true)
        .expect("builds");
    assert_eq!((again[0].state, again[0].key), (RowState::Built, first.key));
    let lookup = bench.store.lookup(&plan_inputs(&bench));
    assert!(matches!(lookup, Lookup::Found(_)), "{lookup:?}");
}

#[test]
fn a_rebuild_that_fails_leaves_the_engine_that_serves_and_says_so() {
    let cases = [
        Behaviour::FailsInCompile,
        Behaviour::AbortsInCompile,
        Behaviour::AbortsInLoad,
        Behaviour::GivesNan,
    ];
    for behaviour in cases {
        let mut bench = Bench::new(Behaviour::Works, Fallback::Never);
        let before = bench.build().expect("builds");
        bench.behaviour = behaviour;
        bench.backends = backends(behaviour);
        bench
            .build_with(|request| request.rebuild = true)
            .expect_err("it fails");
        assert_eq!(
            bench.heard.stays,
            std::slice::from_ref(&before.entry),
            "{behaviour:?}"
        );

        bench.behaviour = Behaviour::Works;
        bench.backends = backends(Behaviour::Works);
        let after = bench.build().expect("it is there");
        assert_eq!(
            (after.state, after.key, after.build_ms),
            (RowState::Cached, before.key, before.build_ms),
            "{behaviour:?}"
        );
    }
}

#[test]
fn a_failed_build_of_another_engine_leaves_those_before() {
    let mut bench = Bench::new(Behaviour::Works, Fallback::Never);
    let before = bench.build().expect("builds");
    bench.behaviour = Behaviour::FailsInCompile;
    bench.backends = backends(Behaviour::FailsInCompile);
    bench
        .build_with(|request| request.options.optimization_level = Some(5))
        .expect_err("it fails");
    assert_eq!(
        bench.heard.stays,
        Vec::<String>::new(),
        "nothing was to be replaced"
    );
    assert_eq!(bench.build().expect("it is there").entry, before.entry);
}

#[test]
fn graphs_are_built_at_once_and_listed_in_order() {
    let mut bench = Bench::new(Behaviour::MeetsInCompile, Fallback::Never);
    bench.jobs = Jobs::AtMost(2.try_into().expect("some"));
    bench.deadline = Duration::from_secs(20);
    let meeting = tempfile::tempdir().expect("temporary folder");
    bench.meeting = Some(meeting.path().to_owned());
    let both = vec![GraphId::HiftF0, GraphId::FlowEncoder];
    let built = bench
        .build_with(|request| {
            request.scope = Scope::Named(both);
            request.backend = Some(BackendId::TensorRtRtx);
            request.verify = false;
        })
        .expect("each waits until the other is compiled too");
    let graphs: Vec<GraphId> = built.iter().map(|row| row.graph).collect();
    assert_eq!(graphs, [GraphId::FlowEncoder, GraphId::HiftF0]);
}

fn plan_inputs(bench: &Bench) -> KeyInputs {
    let plan = plan(&bench.request(), &mut StatCache::in_memory()).expect("planned");
    plan.graphs[0].inputs.clone()
}
