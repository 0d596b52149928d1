//! What a collection removes, spares and leaves alone.

use super::lock::{Attempt, KeyLock};
use super::steps::Step;
use super::{Begun, EngineStore, GcReport, GcRequest, Here, KeyInputs, files, fixture};
use crate::ids::{Digest, Fingerprint};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, SystemTime};

fn of_model(model: &[u8]) -> KeyInputs {
    KeyInputs {
        model: Digest::of(model),
        ..fixture::inputs()
    }
}

fn here() -> Here {
    let KeyInputs {
        host,
        backend,
        fingerprint,
        ..
    } = fixture::inputs();
    Here {
        host,
        backends: BTreeMap::from([(backend, vec![fingerprint])]),
    }
}

fn removed(report: &GcReport) -> Vec<String> {
    report
        .removed
        .iter()
        .map(|one| one.because.to_string())
        .collect()
}

#[test]
fn what_a_program_may_still_load_stays_until_it_lets_go() {
    let root = tempfile::tempdir().expect("temporary folder");
    let store = EngineStore::new(root.path());
    let entry = fixture::build(&store, &fixture::inputs(), b"engine");
    let [held, again] = [(); 2].map(|()| entry.hold().expect("the file is there"));
    let here = here();
    let collect = |dry_run| {
        let request = GcRequest {
            here: &here,
            max_bytes: Some(0),
            all_stale: false,
            dry_run,
        };
        store.gc(&request).expect("writable")
    };
    for dry_run in [true, false] {
        let report = collect(dry_run);
        assert_eq!(report.held, [entry.id()]);
        assert_eq!((report.removed.len(), report.kept_entries), (0, 1));
    }
    drop(held);
    assert_eq!(collect(false).held, [entry.id()], "another one holds it");
    drop(again);
    drop(fixture::claim(&entry));
    let report = collect(false);
    assert!(report.held.is_empty());
    assert_eq!(removed(&report), ["least recently used"]);
    assert!(entry.hold().is_none(), "it is gone");
}

#[test]
fn a_stale_engine_that_a_program_may_still_load_counts_as_kept() {
    let root = tempfile::tempdir().expect("temporary folder");
    let store = EngineStore::new(root.path());
    let entry = fixture::build(&store, &fixture::inputs(), b"engine");
    let _held = entry.hold().expect("the file is there");
    let here = Here {
        backends: BTreeMap::new(),
        ..here()
    };
    let request = GcRequest {
        here: &here,
        max_bytes: Some(0),
        all_stale: true,
        dry_run: false,
    };
    let report = store.gc(&request).expect("writable");
    assert_eq!(
        (&*report.held, report.kept_entries),
        (&[entry.id().to_owned()][..], 1)
    );
    assert_eq!(report.kept_bytes, files::folder_bytes(entry.dir()));
    assert!(entry.engine_path().is_file());
}

#[test]
fn what_a_program_holds_stays_in_quarantine() {
    let root = tempfile::tempdir().expect("temporary folder");
    let store = EngineStore::new(root.path());
    let entry = fixture::build(&store, &fixture::inputs(), b"engine");
    let held = entry.hold().expect("the file is there");
    let moved = store.quarantine(entry.id()).expect("writable");
    let here = here();
    let request = GcRequest {
        here: &here,
        max_bytes: None,
        all_stale: false,
        dry_run: false,
    };
    let report = store.gc(&request).expect("writable");
    assert_eq!((report.held.len(), report.kept_entries), (1, 1));
    assert_eq!(report.kept_bytes, files::folder_bytes(&moved));
    drop(held);
    let [quarantined] = &store.quarantined().expect("readable")[..] else {
        panic!("it is the only one");
    };
    drop(fixture::claim(quarantined.entry.as_ref().expect("whole")));
    let report = store.gc(&request).expect("writable");
    assert_eq!((report.removed.len(), report.kept_entries), (1, 0));
    assert!(!moved.exists());
}

#[test]
fn a_collection_waits_for_another_instead_of_taking_it_for_a_program() {
    let root = tempfile::tempdir().expect("temporary folder");
    let store = EngineStore::new(root.path());
    fixture::build(&store, &fixture::inputs(), b"engine");
    let other = KeyLock::attempt(&store.lock_path("gc")).expect("writable");
    let (tell, told) = mpsc::channel();
    let collecting = store.clone();
    let thread = thread::spawn(move || {
        let here = here();
        tell.send(collecting.gc(&GcRequest {
            here: &here,
            max_bytes: Some(0),
            all_stale: false,
            dry_run: false,
        }))
    });
    let early = told.recv_timeout(Duration::from_millis(50));
    assert!(early.is_err(), "{early:?} beside the other one");
    drop(other);
    let report = told.recv().expect("it goes on").expect("writable");
    assert_eq!(removed(&report), ["least recently used"]);
    thread.join().expect("no panic").expect("heard");
}

#[test]
fn stale_goes_first_then_the_least_recently_used() {
    let root = tempfile::tempdir().expect("temporary folder");
    let store = EngineStore::new(root.path());
    let stale = KeyInputs {
        fingerprint: Fingerprint::default().with("library", "0.9"),
        ..fixture::inputs()
    };
    fixture::build(&store, &stale, &[0; 100]);
    let ages = [("old", 300), ("new", 100), ("middle", 200)];
    let mut largest = 0;
    for (model, age_s) in ages {
        let entry = fixture::build(&store, &of_model(model.as_bytes()), &[0; 10_000]);
        let used = File::options().append(true).open(entry.dir().join("used"));
        let time = SystemTime::now() - Duration::from_secs(age_s);
        used.and_then(|file| file.set_modified(time))
            .expect("own file");
        largest = largest.max(files::folder_bytes(entry.dir()));
    }
    let here = here();
    let request = GcRequest {
        here: &here,
        max_bytes: Some(2 * largest),
        all_stale: true,
        dry_run: true,
    };

    let planned = store.gc(&request).expect("readable");
    assert_eq!(
        store.entries().expect("readable").len(),
        4,
        "a dry run removes nothing"
    );
    let done = store
        .gc(&GcRequest {
            dry_run: false,
            ..request
        })
        .expect("writable");
    assert_eq!(planned, done);
    assert_eq!(
        removed(&done),
        ["stale, backend.library: 0.9 → 1.2.3", "least recently used"]
    );
    let kept: Vec<Digest> = store
        .entries()
        .expect("readable")
        .into_iter()
        .map(|listed| listed.entry.expect("whole").manifest().inputs.model)
        .collect();
    assert_eq!((kept.len(), done.kept_entries), (2, 2));
    assert!(!kept.contains(&Digest::of(b"old")), "used longest ago");
}

#[test]
fn what_another_library_or_device_may_load_stays_unless_asked_for() {
    let root = tempfile::tempdir().expect("temporary folder");
    let store = EngineStore::new(root.path());
    let of = |library: &str, device: &str| KeyInputs {
        fingerprint: Fingerprint::default()
            .with("library", library)
            .with("device", device),
        ..fixture::inputs()
    };
    let built = [
        ("1.2", "first"),
        ("1.2", "second"),
        ("1.2", "gone"),
        ("0.9", "first"),
    ];
    let built = built.map(|(library, device)| {
        fixture::build(&store, &of(library, device), b"engine")
            .id()
            .to_owned()
    });
    let devices = ["first", "second"].map(|device| of("1.2", device).fingerprint);
    let here = Here {
        backends: BTreeMap::from([(fixture::inputs().backend, devices.to_vec())]),
        ..here()
    };
    let request = GcRequest {
        here: &here,
        max_bytes: None,
        all_stale: false,
        dry_run: false,
    };
    let report = store.gc(&request).expect("writable");
    let ids: Vec<&String> = report.removed.iter().map(|one| &one.id).collect();
    assert_eq!(ids, [&built[2]], "its device is gone");
    assert_eq!(report.spared, [built[3].clone()]);
    assert_eq!(report.kept_entries, 3);
    let report = store.gc(&GcRequest {
        all_stale: true,
        ..request
    });
    let report = report.expect("writable");
    assert_eq!(removed(&report), ["stale, backend.library: 0.9 → 1.2"]);
    assert_eq!((report.kept_entries, report.spared.len()), (2, 0));
}

#[test]
fn leftovers_and_quarantine_go_and_a_builder_is_left_alone() {
    let root = tempfile::tempdir().expect("temporary folder");
    let store = EngineStore::new(root.path());
    let entry = fixture::build(&store, &of_model(b"bad"), b"engine");
    store.quarantine(entry.id()).expect("writable");
    let left = root
        .path()
        .join("hift_f0/.ort-cpu-fp16-0123456789abcdef.tmp");
    fs::create_dir_all(&left).expect("writable");
    let busy = store
        .begin(&of_model(b"busy"), "engine.plan", false)
        .expect("begun");

    let here = here();
    let request = GcRequest {
        here: &here,
        max_bytes: None,
        all_stale: false,
        dry_run: false,
    };
    let report = store.gc(&request).expect("writable");
    assert_eq!(
        removed(&report),
        [
            "in quarantine: a file is not what was built",
            "left by a killed build"
        ]
    );
    assert!(!left.exists());
    let Begun::Build(pending) = busy else {
        panic!("nothing was there");
    };
    fs::write(pending.engine_path(), b"engine").expect("its folder is still there");
    pending.commit(fixture::record()).expect("committed");
}

#[test]
fn a_leftover_is_removed_under_the_lock_of_its_key() {
    let root = tempfile::tempdir().expect("temporary folder");
    let name = ".ort-cpu-fp16-0123456789abcdef.tmp";
    let left = root.path().join("hift_f0").join(name);
    fs::create_dir_all(&left).expect("writable");
    let mut store = EngineStore::new(root.path());
    let lock = store.lock_path("0123456789abcdef");
    store.hook.before = Some(Arc::new(move |step| {
        let attempt = KeyLock::attempt(&lock).map_err(io::Error::other)?;
        let held = matches!(attempt, Attempt::Busy(_));
        assert!(step == Step::Collect && held, "{step:?}, {attempt:?}");
        Ok(())
    }));
    let here = here();
    let request = GcRequest {
        here: &here,
        max_bytes: None,
        all_stale: false,
        dry_run: false,
    };
    let report = store.gc(&request).expect("writable");
    assert_eq!(removed(&report), ["left by a killed build"]);
    assert!(!left.exists());
}
