//! Killed builders, full disks, folders that cannot be written, damaged files: the store stays usable.

use super::steps::Step;
use super::{
    Begun, CacheError, Corruption, EngineStore, Entry, GcRequest, Here, KeyInputs, Lookup,
    Verification,
};
use super::{BuildRecord, fixture};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::SystemTime;

const OLD: &[u8] = b"the engine before";
const NEW: &[u8] = b"the engine after";
const ORDERS: &str = "CVTRT_TEST_BUILDER";
const UNFIT: &str = "it gives NaN";
const STOPPED: &str = "builder stopped";

/// What a builder in another process is to do.
#[derive(serde::Serialize, serde::Deserialize)]
struct Orders {
    root: PathBuf,
    stop_before: Step,
}

/// The other process: builds or rejects, stops before one step and waits to be killed. Passes at once where there are
/// no orders.
#[test]
fn builder_process() {
    let Ok(orders) = std::env::var(ORDERS) else {
        return;
    };
    let Orders { root, stop_before } = serde_json::from_str(&orders).expect("own orders");
    let store = with_hook(&root, move |step| {
        if step == stop_before {
            println!("{STOPPED}");
            io::stdout().flush()?;
            loop {
                std::thread::park();
            }
        }
        Ok(())
    });
    if stop_before == Step::Quarantine {
        let entry = found(&store, &fixture::inputs()).expect("built before");
        store.reject(&entry, UNFIT).expect("writable");
    } else {
        fixture::build(&store, &fixture::inputs(), NEW);
    }
}

fn with_hook(
    root: &Path,
    hook: impl Fn(Step) -> io::Result<()> + Send + Sync + 'static,
) -> EngineStore {
    let mut store = EngineStore::new(root);
    store.hook.before = Some(Arc::new(hook));
    store
}

fn stopped_builder(root: &Path, stop_before: Step) -> Child {
    let orders = Orders {
        root: root.to_owned(),
        stop_before,
    };
    let test = concat!(module_path!(), "::builder_process");
    let test = test.split_once("::").expect("crate::…").1;
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args([test, "--exact", "--nocapture"])
        .env(
            ORDERS,
            serde_json::to_string(&orders).expect("plain values"),
        )
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("this test starts");
    let output = BufReader::new(child.stdout.take().expect("piped"));
    let stopped = output
        .lines()
        .map_while(Result::ok)
        .any(|line| line.contains(STOPPED));
    assert!(stopped, "the builder reaches {stop_before:?}");
    child
}

fn kill(mut child: Child) {
    child.kill().expect("still waiting");
    child.wait().expect("gone");
}

fn found(store: &EngineStore, inputs: &KeyInputs) -> Option<Entry> {
    match store.lookup(inputs) {
        Lookup::Found(entry) => Some(*entry),
        Lookup::Missing => None,
        Lookup::Corrupt { corruption, .. } => panic!("corrupt: {corruption}"),
    }
}

fn content(entry: &Entry) -> Vec<u8> {
    fs::read(entry.engine_path()).expect("readable")
}

#[test]
fn a_builder_killed_at_any_step_leaves_a_usable_store() {
    for with_old in [false, true] {
        for step in Step::ALL {
            let case = format!("killed before {step:?}, entry there before: {with_old}");
            let root = tempfile::tempdir().expect("temporary folder");
            let store = EngineStore::new(root.path());
            let inputs = fixture::inputs();
            if with_old {
                fixture::build(&store, &inputs, OLD);
            }
            kill(stopped_builder(root.path(), step));

            let serving = found(&store, &inputs);
            assert!(serving.is_some() || !with_old, "{case}: one of them serves");
            if let Some(entry) = serving {
                entry.verify().expect(&case);
                let whole = content(&entry);
                assert!(whole == OLD || whole == NEW, "{case}");
            }
            let rebuilt = fixture::build(&store, &inputs, NEW);
            assert_eq!(content(&rebuilt), NEW, "{case}");
            assert_eq!(found(&store, &inputs), Some(rebuilt), "{case}");
            let left = fs::read_dir(root.path().join("hift_f0"))
                .expect(&case)
                .count();
            assert_eq!(left, 1, "{case}: nothing but the entry stays");
        }
    }
}

/// What a store must be like where an entry was found unfit and its move into quarantine broke off.
fn assert_unfit_in_place_is_rejected(root: &Path, case: &str) {
    let (store, inputs) = (EngineStore::new(root), fixture::inputs());
    let [listed] = &store.entries().expect("readable")[..] else {
        panic!("{case}: it stays where it was");
    };
    let unfit = listed.entry.as_ref().expect("whole").unfit();
    assert_eq!(unfit, Some(UNFIT), "{case}");

    let immovable = with_hook(root, |step| match step {
        Step::Quarantine => no_space(),
        _ => Ok(()),
    });
    for store in [&immovable, &store] {
        assert!(matches!(store.peek(&inputs), Lookup::Missing), "{case}");
        assert_eq!(found(store, &inputs), None, "{case}");
        assert_eq!(store.rejection(&inputs).as_deref(), Some(UNFIT), "{case}");
    }
    assert!(store.entries().expect("readable").is_empty(), "{case}");
    assert_eq!(store.quarantined().expect("readable").len(), 1, "{case}");
}

#[test]
fn an_unfit_engine_whose_move_was_killed_is_rejected() {
    let root = tempfile::tempdir().expect("temporary folder");
    fixture::build(&EngineStore::new(root.path()), &fixture::inputs(), OLD);
    kill(stopped_builder(root.path(), Step::Quarantine));
    assert_unfit_in_place_is_rejected(root.path(), "killed");
}

#[test]
fn an_unfit_engine_that_cannot_be_moved_is_rejected() {
    let root = tempfile::tempdir().expect("temporary folder");
    let full = with_hook(root.path(), |step| match step {
        Step::Quarantine => no_space(),
        _ => Ok(()),
    });
    let entry = fixture::build(&full, &fixture::inputs(), OLD);
    let error = full.reject(&entry, UNFIT).expect_err("it cannot be moved");
    assert!(matches!(error, CacheError::DiskFull { .. }), "{error:?}");

    // A builder of the same key neither takes it nor removes its verdict.
    let begun = full.begin(&fixture::inputs(), "engine.plan", false);
    assert!(matches!(begun, Ok(Begun::Build(_))), "{begun:?}");
    drop(begun);
    assert_unfit_in_place_is_rejected(root.path(), "full");
    let sound = fixture::build(&EngineStore::new(root.path()), &fixture::inputs(), NEW);
    assert_eq!(found(&full, &fixture::inputs()), Some(sound));
    assert_eq!(full.rejection(&fixture::inputs()), None);
}

#[test]
fn what_a_killed_builder_left_can_be_collected() {
    let root = tempfile::tempdir().expect("temporary folder");
    let store = EngineStore::new(root.path());
    let builder = stopped_builder(root.path(), Step::Publish);
    let inputs = fixture::inputs();
    let here = Here {
        host: inputs.host,
        backends: [(inputs.backend, vec![inputs.fingerprint])].into(),
    };
    let request = GcRequest {
        here: &here,
        max_bytes: None,
        all_stale: false,
        dry_run: false,
    };
    let while_building = store.gc(&request).expect("writable");
    assert_eq!(
        while_building.removed,
        [],
        "a living builder's folder stays"
    );
    kill(builder);
    assert_eq!(store.gc(&request).expect("writable").removed.len(), 1);
}

#[test]
fn an_engine_whose_replacement_broke_off_is_not_collected() {
    let root = tempfile::tempdir().expect("temporary folder");
    let store = EngineStore::new(root.path());
    let inputs = fixture::inputs();
    fixture::build(&store, &inputs, OLD);
    kill(stopped_builder(root.path(), Step::Publish));
    let here = Here {
        host: inputs.host.clone(),
        backends: [(inputs.backend, vec![inputs.fingerprint.clone()])].into(),
    };
    let request = GcRequest {
        here: &here,
        max_bytes: None,
        all_stale: false,
        dry_run: false,
    };
    let report = store.gc(&request).expect("writable");
    assert_eq!(report.removed.len(), 1, "what was built and not published");
    let entry = found(&store, &inputs).expect("it serves on");
    assert_eq!(content(&entry), OLD);
}

#[test]
fn the_second_builder_waits_and_finds_the_engine_of_the_first() {
    let root = tempfile::tempdir().expect("temporary folder");
    let store = EngineStore::new(root.path());
    let inputs = fixture::inputs();
    let Begun::Build(first) = store.begin(&inputs, "engine.plan", false).expect("begun") else {
        panic!("an empty store has no engine");
    };
    let Begun::Busy(second) = store.begin(&inputs, "engine.plan", false).expect("begun") else {
        panic!("the first builder holds the lock");
    };
    let second = std::thread::spawn(move || second.wait());
    fs::write(first.engine_path(), NEW).expect("writable");
    let built = first.commit(fixture::record()).expect("committed");
    match second.join().expect("no panic").expect("no error") {
        Begun::Found(entry) => assert_eq!(*entry, built),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_second_builder_takes_over_from_one_that_was_killed() {
    let root = tempfile::tempdir().expect("temporary folder");
    let store = EngineStore::new(root.path());
    let builder = stopped_builder(root.path(), Step::WriteManifest);
    let Begun::Busy(second) = store
        .begin(&fixture::inputs(), "engine.plan", false)
        .expect("begun")
    else {
        panic!("the other process holds the lock");
    };
    let second = std::thread::spawn(move || second.wait());
    kill(builder);
    let begun = second.join().expect("no panic").expect("no error");
    assert!(matches!(begun, Begun::Build(_)), "{begun:?}");
}

#[test]
fn an_abandoned_build_leaves_nothing() {
    let root = tempfile::tempdir().expect("temporary folder");
    let store = EngineStore::new(root.path());
    let begun = store
        .begin(&fixture::inputs(), "engine.plan", false)
        .expect("begun");
    drop(begun);
    assert!(store.entries().expect("readable").is_empty());
    assert_eq!(
        fs::read_dir(root.path().join("hift_f0"))
            .expect("made")
            .count(),
        0
    );
}

#[test]
fn a_build_that_wrote_no_engine_is_no_entry() {
    let root = tempfile::tempdir().expect("temporary folder");
    let store = EngineStore::new(root.path());
    let Begun::Build(pending) = store
        .begin(&fixture::inputs(), "engine.plan", false)
        .expect("begun")
    else {
        panic!("an empty store has no engine");
    };
    let error = pending.commit(fixture::record()).expect_err("no engine");
    assert!(matches!(error, CacheError::NoEngine { .. }), "{error:?}");
    assert_eq!(found(&store, &fixture::inputs()), None);
}

/// The system's own error for a full disk.
#[cfg(target_os = "linux")]
fn no_space() -> io::Result<()> {
    File::options()
        .write(true)
        .open("/dev/full")?
        .write_all(b"x")
}

#[cfg(not(target_os = "linux"))]
fn no_space() -> io::Result<()> {
    Err(io::ErrorKind::StorageFull.into())
}

#[test]
fn a_full_disk_before_the_entry_is_there_is_a_typed_error_and_leaves_a_usable_store() {
    for with_old in [false, true] {
        for full_at in Step::ALL {
            let case = format!("full before {full_at:?}, entry there before: {with_old}");
            let root = tempfile::tempdir().expect("temporary folder");
            let store = EngineStore::new(root.path());
            let inputs = fixture::inputs();
            if with_old {
                fixture::build(&store, &inputs, OLD);
            }
            let full = with_hook(root.path(), move |step| {
                if step == full_at { no_space() } else { Ok(()) }
            });
            let tried = try_build(&full, &inputs, fixture::record());
            if matches!(full_at, Step::SyncFolder | Step::RemoveDisplaced) {
                let entry = tried.expect("the entry has its name by then");
                assert_eq!(found(&store, &inputs), Some(entry), "{case}");
            } else {
                let error = tried.expect_err(&case);
                assert!(
                    matches!(error, CacheError::DiskFull { .. }),
                    "{case}: {error:?}"
                );
            }

            let serving = found(&store, &inputs);
            assert!(serving.is_some() || !with_old, "{case}: one of them serves");
            if let Some(entry) = serving {
                entry.verify().expect(&case);
            }
            let rebuilt = fixture::build(&store, &inputs, NEW);
            assert_eq!(found(&store, &inputs), Some(rebuilt), "{case}");
        }
    }
}

fn try_build(
    store: &EngineStore,
    inputs: &KeyInputs,
    record: BuildRecord,
) -> Result<Entry, CacheError> {
    let pending = fixture::begin(store, inputs)?;
    fs::write(pending.engine_path(), NEW).expect("room for the engine itself");
    pending.commit(record)
}

/// sysfs refuses new folders also to root.
#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_written_is_a_typed_error() {
    let store = EngineStore::new("/sys/cvtrt-engines");
    assert_eq!(found(&store, &fixture::inputs()), None);
    let error = store
        .begin(&fixture::inputs(), "engine.plan", false)
        .expect_err("not writable");
    assert!(matches!(error, CacheError::ReadOnly { .. }), "{error:?}");
}

#[test]
fn an_entry_is_found_where_nothing_can_be_noted_about_it() {
    let root = tempfile::tempdir().expect("temporary folder");
    let store = EngineStore::new(root.path());
    let entry = fixture::build(&store, &fixture::inputs(), NEW);
    for noted in ["used", "stat.json"] {
        let path = entry.dir().join(noted);
        fs::remove_file(&path).expect("there");
        fs::create_dir(&path).expect("in its place, so that writing fails");
    }
    assert_eq!(found(&store, &fixture::inputs()), Some(entry));
}

fn flip_byte(entry: &Entry) {
    let path = entry.engine_path();
    let mut bytes = fs::read(&path).expect("readable");
    bytes[3] ^= 1;
    fs::write(&path, bytes).expect("writable");
}

#[test]
fn a_flipped_byte_sends_the_entry_into_quarantine() {
    let root = tempfile::tempdir().expect("temporary folder");
    let store = EngineStore::new(root.path());
    let inputs = fixture::inputs();
    let entry = fixture::build(&store, &inputs, NEW);
    flip_byte(&entry);
    let Lookup::Corrupt {
        corruption,
        quarantined: Some(moved),
    } = store.lookup(&inputs)
    else {
        panic!("a flipped byte goes unseen");
    };
    assert!(
        matches!(corruption, Corruption::Content { .. }),
        "{corruption:?}"
    );
    assert!(moved.starts_with(root.path()) && moved.is_dir());
    assert_eq!(found(&store, &inputs), None);
    fixture::build(&store, &inputs, NEW);
    assert!(found(&store, &inputs).is_some());
}

fn modified(path: &Path) -> SystemTime {
    let metadata = fs::metadata(path).expect("there");
    metadata.modified().expect("a time")
}

#[test]
fn an_engine_that_was_just_written_is_hashed_until_it_has_settled() {
    let root = tempfile::tempdir().expect("temporary folder");
    let store = EngineStore::new(root.path());
    let inputs = fixture::inputs();
    let entry = fixture::build_at(&store, &inputs, NEW, SystemTime::now());
    let modified = modified(&entry.engine_path());
    flip_byte(&entry);
    fixture::set_modified(&entry.engine_path(), modified);
    assert!(
        matches!(store.lookup(&inputs), Lookup::Corrupt { .. }),
        "a change within the time stamp's grain goes unseen"
    );
}

#[test]
fn verify_finds_what_changed_behind_the_stat() {
    let root = tempfile::tempdir().expect("temporary folder");
    let store = EngineStore::new(root.path());
    let inputs = fixture::inputs();
    let entry = fixture::build(&store, &inputs, NEW);
    let path = entry.engine_path();
    let modified = modified(&path);
    flip_byte(&entry);
    fixture::set_modified(&path, modified);
    assert!(
        found(&store, &inputs).is_some(),
        "an ordinary look-up trusts the stat"
    );
    let corruption = entry.verify().expect_err("the content is another");
    assert!(
        matches!(corruption, Corruption::Content { .. }),
        "{corruption:?}"
    );
}

#[test]
fn a_copied_store_is_hashed_once_and_then_trusted() {
    let root = tempfile::tempdir().expect("temporary folder");
    let store = EngineStore::new(root.path());
    let inputs = fixture::inputs();
    let entry = fixture::build(&store, &inputs, NEW);
    let stat = entry.dir().join("stat.json");
    let (engine, copy) = (entry.engine_path(), entry.dir().join("copy"));
    let modified = modified(&engine);
    fs::copy(&engine, &copy)
        .and_then(|_| fs::rename(&copy, &engine))
        .expect("writable");
    fixture::set_modified(&engine, modified);
    let before = fs::read(&stat).expect("remembered");
    assert!(found(&store, &inputs).is_some());
    assert_ne!(
        fs::read(&stat).expect("remembered"),
        before,
        "the new stat is remembered"
    );
}

#[test]
fn a_short_or_missing_file_and_a_damaged_manifest_are_corrupt() {
    type Damage = fn(&Entry) -> io::Result<()>;
    let cases: [(&str, Damage); 4] = [
        ("short engine", |entry| {
            fs::write(entry.engine_path(), &NEW[..5])
        }),
        ("no engine", |entry| fs::remove_file(entry.engine_path())),
        ("no manifest", |entry| {
            fs::remove_file(entry.dir().join("manifest.json"))
        }),
        ("half a manifest", |entry| {
            fs::write(entry.dir().join("manifest.json"), b"{")
        }),
    ];
    for (case, damage) in cases {
        let root = tempfile::tempdir().expect("temporary folder");
        let store = EngineStore::new(root.path());
        let entry = fixture::build(&store, &fixture::inputs(), NEW);
        damage(&entry).expect(case);
        let lookup = store.lookup(&fixture::inputs());
        assert!(
            matches!(lookup, Lookup::Corrupt { .. }),
            "{case}: {lookup:?}"
        );
        assert_eq!(found(&store, &fixture::inputs()), None, "{case}");
    }
}

#[test]
fn a_verification_is_recorded_in_the_entry_it_is_about_and_in_no_other() {
    let root = tempfile::tempdir().expect("temporary folder");
    let store = EngineStore::new(root.path());
    let inputs = fixture::inputs();
    let passed = Verification::Passed { runs: Vec::new() };
    let recorded = || found(&store, &inputs).map(|entry| entry.manifest().verification.clone());

    let replaced = fixture::build(&store, &inputs, OLD);
    let entry = fixture::build(&store, &inputs, NEW);
    store.record_verification(&replaced, passed.clone());
    assert_eq!(recorded(), Some(Verification::Skipped));

    let builder = store.begin(&inputs, "engine.plan", true);
    store.record_verification(&entry, passed.clone());
    assert_eq!(recorded(), Some(Verification::Skipped));
    drop(builder);

    let verified = store.record_verification(&entry, passed.clone());
    assert_eq!(found(&store, &inputs), Some(verified));
    assert_eq!(recorded(), Some(passed));
}

#[test]
fn a_verification_that_cannot_be_recorded_is_still_one() {
    let root = tempfile::tempdir().expect("temporary folder");
    let store = EngineStore::new(root.path());
    let entry = fixture::build(&store, &fixture::inputs(), NEW);
    let locks = root.path().join(".locks");
    fs::remove_dir_all(&locks).expect("there");
    fs::write(&locks, b"in its place, so that locking fails").expect("writable");
    let passed = Verification::Passed { runs: Vec::new() };
    let verified = store.record_verification(&entry, passed.clone());
    assert_eq!(verified.manifest().verification, passed);
}
