//! The shipped bundle, built and verified on ONNX Runtime through worker processes.

use cvtrt::backend::Backends;
use cvtrt::build::{
    BuildError, BuildRequest, Built, Cancel, Deadlines, Event, Jobs, RowState, Scope, TimingsAt,
    Watch, WorkerCommand, Workers, execute, plan, worker,
};
use cvtrt::bundle::{Bundle, StatCache};
use cvtrt::cache::{EngineStore, Verification};
use cvtrt::ids::BackendId;
use cvtrt::profile::{CompileOptions, Profile, Shelf};
use cvtrt::testkit::{backend_or_skip, test_backends};
use std::path::Path;
use std::process::ExitCode;

const WORKER: &str = "CVTRT_TEST_WORKER";

/// The worker: this test, started by itself. Passes at once where it is not wanted.
#[test]
fn worker_process() {
    if std::env::var_os(WORKER).is_some() {
        let code = worker::run(&test_backends());
        std::process::exit(i32::from(code != ExitCode::SUCCESS));
    }
}

/// Counts the workers that were started.
#[derive(Default)]
struct Started(usize);

impl Watch for Started {
    fn on(&mut self, event: Event<'_>) {
        if matches!(event, Event::Compiling { .. } | Event::Verifying { .. }) {
            self.0 += 1;
        }
    }
}

fn build(
    bundle: &Bundle,
    profile: &Profile,
    backends: &Backends,
    store: &EngineStore,
    started: &mut Started,
) -> Result<Vec<Built>, BuildError> {
    let request = BuildRequest {
        bundle,
        profile,
        backends,
        store,
        scope: Scope::All,
        precision: None,
        backend: None,
        options: CompileOptions::default(),
        device: 0,
        rebuild: false,
        verify: true,
        timings: TimingsAt::Nowhere,
    };
    let mut digests = StatCache::in_memory();
    let plan = plan(&request, &mut digests)?;
    let command = WorkerCommand::this_program(["worker_process", "--exact", "--nocapture"])
        .expect("this test")
        .with_variable(WORKER, "1");
    let workers = Workers {
        command,
        deadlines: Deadlines::default(),
        jobs: Jobs::WhatFits,
    };
    execute(
        plan,
        &request,
        &mut digests,
        &workers,
        &Cancel::default(),
        started,
    )
}

#[test]
fn every_graph_of_the_shipped_bundle_is_built_verified_and_then_found() {
    let name = "every graph of the shipped bundle is built";
    if backend_or_skip(BackendId::OrtCpu, name).is_none() {
        return;
    }
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("onnx/cosyvoice2-tiny");
    let bundle = Bundle::open(&dir).expect("shipped with the source");
    let profile = Shelf::ready_made().find("cpu").expect("ready-made").profile;
    let root = tempfile::tempdir().expect("temporary folder");
    let store = EngineStore::new(root.path());
    let backends = test_backends();

    let mut started = Started::default();
    let built = build(&bundle, &profile, &backends, &store, &mut started).expect("builds");
    assert_eq!(built.len(), bundle.graphs().count());
    assert_eq!(started.0, 2 * built.len());
    for row in &built {
        assert_eq!(row.state, RowState::Built, "{}", row.graph);
        assert!(
            matches!(&row.verification, Verification::Passed { runs } if !runs.is_empty()),
            "{}: {:?}",
            row.graph,
            row.verification
        );
    }
    let again = build(&bundle, &profile, &backends, &store, &mut started).expect("is there");
    assert!(again.iter().all(|row| row.state == RowState::Cached));
    assert_eq!(
        started.0,
        2 * built.len(),
        "no worker is started for what is there"
    );
}
