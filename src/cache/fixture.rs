//! Inputs, entries and stores for the tests of this room.

use super::hold::Claim;
use super::{
    Begun, BuildRecord, CacheError, EngineStore, Entry, KeyInputs, Pending, SignatureText,
    Verification,
};
use crate::ids::{Axis, BackendId, Digest, Fingerprint, GraphId, Precision};
use crate::profile::{CompileOptions, ComputeCapability, Extent, ShapeSet};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Number of fields of [`KeyInputs`].
pub(super) const FIELDS: usize = 9;

pub(super) fn inputs() -> KeyInputs {
    KeyInputs {
        graph: GraphId::HiftF0,
        model: Digest::of(b"model"),
        recipe: Fingerprint::default().with("half", 1),
        precision: Precision::Fp16,
        shapes: vec![ShapeSet {
            name: "any".to_owned(),
            axes: [(
                Axis::Frames,
                Extent {
                    min: 8,
                    opt: 64,
                    max: 400,
                },
            )]
            .into(),
        }],
        options: CompileOptions::default(),
        backend: BackendId::OrtCpu,
        fingerprint: Fingerprint::default().with("library", "1.2.3"),
        host: "linux-x86_64".to_owned(),
    }
}

pub(super) fn with_field_of(inputs: &KeyInputs, other: &KeyInputs, field: usize) -> KeyInputs {
    let mut changed = inputs.clone();
    match field {
        0 => changed.graph = other.graph,
        1 => changed.model = other.model,
        2 => changed.recipe = other.recipe.clone(),
        3 => changed.precision = other.precision,
        4 => changed.shapes.clone_from(&other.shapes),
        5 => changed.options = other.options.clone(),
        6 => changed.backend = other.backend,
        7 => changed.fingerprint = other.fingerprint.clone(),
        8 => changed.host.clone_from(&other.host),
        _ => unreachable!("nine fields"),
    }
    changed
}

pub(super) fn any_inputs() -> impl Strategy<Value = KeyInputs> {
    let ids = (
        proptest::sample::select(GraphId::ALL),
        proptest::sample::select(Precision::ALL),
        proptest::sample::select(BackendId::ALL),
    );
    // Few and short texts, so that equal and nearly equal inputs are drawn often.
    let texts = ("[ab]{0,1}", "[ab]{0,1}");
    (
        ids,
        texts,
        facts(),
        facts(),
        vec(shape_set(), 0..3),
        options(),
    )
        .prop_map(
            |((graph, precision, backend), (model, host), recipe, fingerprint, shapes, options)| {
                KeyInputs {
                    graph,
                    model: Digest::of(model.as_bytes()),
                    recipe,
                    precision,
                    shapes,
                    options,
                    backend,
                    fingerprint,
                    host,
                }
            },
        )
}

fn facts() -> impl Strategy<Value = Fingerprint> {
    vec(("[a.=]{0,2}", "[a.=]{0,2}"), 0..3).prop_map(|facts| {
        facts
            .into_iter()
            .fold(Fingerprint::default(), |all, (name, value)| {
                all.with(name, value)
            })
    })
}

fn shape_set() -> impl Strategy<Value = ShapeSet> {
    let extent = (1usize..3, 0usize..2, 0usize..2).prop_map(|(min, more, rest)| Extent {
        min,
        opt: min + more,
        max: min + more + rest,
    });
    let axes = btree_map(proptest::sample::select(Axis::ALL), extent, 0..3);
    ("[a., ]{0,2}", axes).prop_map(|(name, axes)| ShapeSet { name, axes })
}

fn options() -> impl Strategy<Value = CompileOptions> {
    let target = prop_oneof![
        Just(ComputeCapability { major: 8, minor: 6 }),
        Just(ComputeCapability {
            major: 12,
            minor: 0
        })
    ];
    (
        any::<[bool; 3]>(),
        option::of(0u64..2),
        option::of(0u8..2),
        vec(target, 0..2),
    )
        .prop_map(
            |([tf32, version, hardware], workspace_bytes, level, targets)| CompileOptions {
                tf32,
                workspace_bytes,
                optimization_level: level,
                version_compatible: version,
                hardware_compatible: hardware,
                targets,
            },
        )
}

pub(super) fn record() -> BuildRecord {
    BuildRecord {
        build_time: Duration::from_millis(1500),
        signature: SignatureText {
            inputs: vec!["mel f32 [1, 80, frames]".to_owned()],
            outputs: vec!["f0 f32 [1, frames]".to_owned()],
        },
        report: serde_json::json!({ "layers": [], "warnings": [] }),
        verification: Verification::Skipped,
    }
}

/// Builds an entry of `content`.
///
/// The engine is an hour old, so that its stat is remembered.
pub(super) fn build(store: &EngineStore, inputs: &KeyInputs, content: &[u8]) -> Entry {
    let an_hour_ago = SystemTime::now() - Duration::from_hours(1);
    build_at(store, inputs, content, an_hour_ago)
}

/// Builds an entry whose engine was written at `time`.
pub(super) fn build_at(
    store: &EngineStore,
    inputs: &KeyInputs,
    content: &[u8],
    time: SystemTime,
) -> Entry {
    let pending = begin(store, inputs).expect("begun");
    std::fs::write(pending.engine_path(), content).expect("writable");
    set_modified(&pending.engine_path(), time);
    pending.commit(record()).expect("committed")
}

/// Begins a rebuild.
///
/// A child that another test starts holds every lock of this process until it is its own program, so a busy one is
/// asked for again.
pub(super) fn begin(store: &EngineStore, inputs: &KeyInputs) -> Result<Pending, CacheError> {
    loop {
        match store.begin(inputs, "engine.plan", true)? {
            Begun::Build(pending) => return Ok(pending),
            Begun::Busy(_) => std::thread::sleep(Duration::from_millis(1)),
            Begun::Found(_) => panic!("a rebuild takes no engine that is there"),
        }
    }
}

/// Claims an entry that the test has let go of; as in [`begin`], a child of another test may have it a moment longer.
pub(super) fn claim(entry: &Entry) -> Claim {
    loop {
        match entry.claim() {
            Some(claim) => return claim,
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

pub(super) fn set_modified(path: &Path, time: SystemTime) {
    let file = std::fs::File::options().append(true).open(path);
    file.and_then(|file| file.set_modified(time))
        .expect("own file");
}
