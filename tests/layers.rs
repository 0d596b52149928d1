//! Which room may use which. A new edge is a reviewed line here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Room, and the rooms whose types may enter it.
const ROOMS: &[(&str, &[&str])] = &[
    ("hint", &[]),
    ("ids", &[]),
    ("yaml", &["hint"]),
    ("telemetry", &[]),
    ("elf", &[]),
    ("stat", &[]),
    ("tensor", &["hint", "ids"]),
    ("config", &["hint"]),
    ("profile", &["hint", "ids", "tensor", "yaml"]),
    ("cuda", &["profile", "tensor"]),
    ("onnx", &["hint", "ids", "tensor"]),
    ("bundle", &["hint", "ids", "stat", "tensor", "yaml"]),
    ("trt", &["cuda", "elf", "hint", "ids", "profile", "tensor"]),
    ("setup", &["cuda", "hint"]),
    ("compare", &["tensor"]),
    ("cache", &["hint", "ids", "profile", "stat"]),
    (
        "backend",
        &["cuda", "elf", "hint", "ids", "profile", "tensor", "trt"],
    ),
    (
        "build",
        &[
            "backend", "bundle", "cache", "compare", "cuda", "hint", "ids", "onnx", "profile",
            "tensor",
        ],
    ),
    ("frontend", &["bundle", "hint", "ids", "tensor"]),
    ("pipeline", &["backend", "bundle", "hint", "ids", "tensor"]),
    (
        "qualify",
        &[
            "backend", "build", "bundle", "cache", "compare", "hint", "ids", "onnx", "pipeline",
            "tensor",
        ],
    ),
    (
        "reading",
        &["backend", "bundle", "frontend", "hint", "ids", "pipeline"],
    ),
    (
        "parity",
        &[
            "backend", "bundle", "compare", "frontend", "hint", "ids", "pipeline", "tensor",
        ],
    ),
    (
        "deploy",
        &[
            "backend", "build", "bundle", "cache", "hint", "ids", "pipeline", "profile", "tensor",
        ],
    ),
    (
        "scheduler",
        &[
            "backend", "bundle", "cuda", "deploy", "frontend", "hint", "ids", "pipeline", "reading",
        ],
    ),
    (
        "server",
        &[
            "bundle",
            "deploy",
            "frontend",
            "hint",
            "ids",
            "pipeline",
            "reading",
            "scheduler",
        ],
    ),
    ("testkit", &["backend", "cuda", "ids", "tensor", "trt"]),
    (
        "diagnose",
        &[
            "backend", "build", "bundle", "cache", "config", "cuda", "hint", "ids", "profile",
            "trt",
        ],
    ),
];

/// The room that may use every other.
const TOP: &str = "cli";

#[test]
fn every_use_is_an_allowed_edge() {
    let allowed: BTreeMap<&str, &[&str]> = ROOMS.iter().copied().collect();
    let mut wrong = Vec::new();
    for (room, used) in edges() {
        for other in used {
            let known = room == TOP
                || allowed
                    .get(room.as_str())
                    .is_some_and(|rooms| rooms.contains(&other.as_str()));
            if !known {
                wrong.push(format!("{room} uses {other}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "edges that tests/layers.rs does not allow: {wrong:#?}"
    );
}

#[test]
fn the_table_names_no_room_or_edge_that_is_gone() {
    let edges = edges();
    let mut gone = Vec::new();
    for (room, allowed) in ROOMS {
        match edges.get(*room) {
            None => gone.push(format!("room {room}")),
            Some(used) => gone.extend(
                allowed
                    .iter()
                    .filter(|other| !used.contains(**other))
                    .map(|other| format!("{room} uses {other}")),
            ),
        }
    }
    assert!(
        gone.is_empty(),
        "tests/layers.rs allows what the code no longer does: {gone:#?}"
    );
}

#[test]
fn the_table_has_no_circle() {
    let mut placed: BTreeSet<&str> = BTreeSet::new();
    let mut left: Vec<&(&str, &[&str])> = ROOMS.iter().collect();
    while !left.is_empty() {
        let before = left.len();
        left.retain(|(room, uses)| {
            let ready = uses.iter().all(|other| placed.contains(other));
            if ready {
                placed.insert(room);
            }
            !ready
        });
        assert!(
            left.len() < before,
            "rooms in a circle: {:?}",
            left.iter().map(|(room, _)| room).collect::<Vec<_>>()
        );
    }
}

/// Every room with the rooms its code names; test modules do not count.
fn edges() -> BTreeMap<String, BTreeSet<String>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in rust_files(&source) {
        let relative = file.strip_prefix(&source).expect("below src");
        let first = relative
            .components()
            .next()
            .expect("a file")
            .as_os_str()
            .to_string_lossy()
            .into_owned();
        let room = first.trim_end_matches(".rs").to_owned();
        if room == "main" || room == "lib" {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("source");
        let code = ["#[cfg(test)]", "#![cfg(test)]"]
            .iter()
            .fold(text.as_str(), |code, tests| {
                code.split(tests).next().unwrap_or_default()
            });
        let used = edges.entry(room.clone()).or_default();
        used.extend(rooms_named(code).into_iter().filter(|other| *other != room));
    }
    edges
}

fn rooms_named(code: &str) -> BTreeSet<String> {
    let code_lines = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let mut rooms = BTreeSet::new();
    for line in code_lines {
        for rest in line.split("crate::").skip(1) {
            let names = rest.strip_prefix('{').map_or_else(
                || vec![rest],
                |group| group.split(',').map(str::trim).collect(),
            );
            rooms.extend(
                names
                    .iter()
                    .map(|name| leading_word(name))
                    .filter(|name| !name.is_empty()),
            );
        }
    }
    rooms
}

fn leading_word(text: &str) -> String {
    text.chars()
        .take_while(|letter| letter.is_ascii_lowercase() || *letter == '_')
        .collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)
        .expect("folder")
        .map(|entry| entry.expect("entry").path())
    {
        if entry.is_dir() {
            files.extend(rust_files(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            files.push(entry);
        }
    }
    files
}
