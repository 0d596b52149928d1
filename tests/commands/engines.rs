//! `cvtrt engines`: list, show, explain and gc over engines that were built here.

use crate::built::{has_or_skip, ort_build};
use crate::place::{Place, Run, bundle, files_below};
use cvtrt::ids::BackendId;
use std::fs;
use std::path::PathBuf;

/// A place with engines of its own, or a skip.
fn with_engines(test: &str) -> Option<Place> {
    has_or_skip(BackendId::OrtCpu, test).then(|| {
        let place = Place::new();
        place.engines_copy(&ort_build().engines);
        place
    })
}

fn engines(place: &Place, words: &[&str]) -> Run {
    place.cvtrt(&[&["engines"], words, &["--engines-dir", "engines"]].concat())
}

/// The folder of the entry of a graph, below the cache.
fn entry(place: &Place, graph: &str) -> PathBuf {
    files_below(&place.path("engines"))
        .into_iter()
        .find(|name| name.starts_with(graph) && name.ends_with("manifest.json"))
        .and_then(|name| Some(name.parent()?.to_owned()))
        .expect("an entry")
}

#[test]
fn an_empty_cache_is_listed_checked_and_cleaned() {
    let place = Place::new();
    engines(&place, &["list"])
        .exits(0)
        .says(&["the cache is empty", "cvtrt build"]);
    engines(&place, &["verify"]).exits(0);
    engines(&place, &["explain"]).exits(0);
    engines(&place, &["gc"]).exits(0);
    assert!(place.files().is_empty(), "{:?}", place.files());
}

#[test]
fn the_list_has_a_row_per_engine() {
    let Some(place) = with_engines("the_list_has_a_row_per_engine") else {
        return;
    };
    engines(&place, &["list"])
        .exits(0)
        .says(&["7 entries", "valid", "ort-cpu"]);
    let rows = engines(&place, &["list", "--json"]).exits(0).json();
    let rows = rows.as_array().expect("rows");
    assert_eq!(rows.len(), 7);
    for row in rows {
        assert_eq!(row["state"], "valid", "{row}");
        assert_eq!(row["precision"], "fp32", "{row}");
    }
}

#[test]
fn an_engine_is_shown_by_name_graph_and_key() {
    let Some(place) = with_engines("an_engine_is_shown_by_name_graph_and_key") else {
        return;
    };
    let shown = engines(&place, &["show", "hift_f0", "--json"])
        .exits(0)
        .json();
    let name = shown["entry"].as_str().expect("a name");
    let key = shown["manifest"]["key"].as_str().expect("a key");
    for word in [name, key, &key[..12]] {
        engines(&place, &["show", word]).exits(0).says(&[
            name,
            "ort-cpu fp32",
            "input",
            "output",
            "verified",
        ]);
    }
    engines(&place, &["show", "hift_f"])
        .exits(2)
        .complains(&["`hift_f`", "cvtrt engines list"]);
}

#[test]
fn explain_names_what_is_valid() {
    let Some(place) = with_engines("explain_names_what_is_valid") else {
        return;
    };
    engines(&place, &["explain", "llm"])
        .exits(0)
        .says(&["llm/ort-cpu-fp32-", "valid on this machine"]);
}

#[test]
fn a_manifest_that_is_none_is_damage_that_a_build_repairs() {
    let manifests: [&[u8]; 6] = [
        b"",
        b"{}",
        b"[1]",
        b"\xff",
        b"{\"schema\": 99}",
        b"{\"schema\": 1, \"key\": 7",
    ];
    let Some(place) = with_engines("a_manifest_that_is_none_is_damage_that_a_build_repairs") else {
        return;
    };
    let folder = place.path("engines").join(entry(&place, "campplus"));
    let sound = fs::read(folder.join("manifest.json")).expect("a manifest");
    for harmed in manifests.into_iter().chain([&sound[..sound.len() / 2]]) {
        fs::create_dir_all(&folder).expect("the entry");
        fs::write(folder.join("manifest.json"), harmed).expect("a harmed manifest");
        let name = String::from_utf8_lossy(harmed);
        engines(&place, &["list"])
            .exits(0)
            .says(&["damaged: manifest.json"]);
        let verified = engines(&place, &["verify"]).exits(4);
        assert!(
            verified.stderr.contains("manifest.json"),
            "{name}: {verified:?}"
        );
        assert!(!folder.exists(), "{name}: it is out of the way");
    }
    engines(&place, &["list"]).exits(0).says(&["6 entries"]);
}

/// Does to an entry what a failed verification does: its manifest says so, and it is out of service.
fn reject(place: &Place, graph: &str) {
    let entry = entry(place, graph);
    let folder = place.path("engines").join(&entry);
    let text = fs::read(folder.join("manifest.json")).expect("a manifest");
    let mut manifest: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    manifest["verification"] =
        serde_json::json!({ "result": "failed", "reason": "`f0` is not finite" });
    fs::write(folder.join("manifest.json"), manifest.to_string()).expect("writable");
    let name = entry.to_string_lossy().replace('/', "-");
    let quarantine = place.path("engines/.quarantine");
    fs::create_dir_all(&quarantine).expect("writable");
    fs::rename(folder, quarantine.join(name)).expect("it moves");
}

#[test]
fn an_unfit_engine_is_told_by_every_command_and_built_again_only_by_force() {
    let test = "an_unfit_engine_is_told_by_every_command_and_built_again_only_by_force";
    let Some(place) = with_engines(test) else {
        return;
    };
    reject(&place, "hift_f0");
    let rows = engines(&place, &["list", "--json"]).exits(0).json();
    let rows = rows.as_array().expect("rows");
    let row = rows.iter().find(|row| row["state"] == "quarantined");
    let row = row.expect("it is listed");
    assert_eq!(row["reasons"][0], "`f0` is not finite", "{row}");
    assert_eq!((rows.len(), &row["graph"]), (7, &"hift_f0".into()));
    engines(&place, &["list"])
        .exits(0)
        .says(&["quarantined: `f0` is not finite", "--force"]);
    engines(&place, &["explain", "hift_f0"])
        .exits(0)
        .says(&["hint:  cvtrt build --graphs hift_f0 --force"]);
    let name = row["entry"].as_str().expect("a name");
    for word in ["hift_f0", name] {
        engines(&place, &["show", word]).exits(0).says(&[
            name,
            "verified",
            "failed: `f0` is not finite",
        ]);
    }
    for words in [&["explain", "hift_f0"][..], &["explain"]] {
        engines(&place, words)
            .exits(0)
            .says(&[name, "in quarantine: `f0` is not finite"]);
    }
    let shown = engines(&place, &["show", name, "--json"]).exits(0).json();
    assert_eq!(shown["quarantined"], "`f0` is not finite");

    let bundle = bundle();
    let shared = [
        "--engines-dir",
        "engines",
        "--bundle",
        bundle.to_str().expect("text"),
    ];
    let diagnosis = ["diagnose", "--json", "--engines-dir", "engines"];
    let diagnosis = place.cvtrt(&diagnosis).json().to_string();
    assert!(diagnosis.contains("`f0` is not finite"), "{diagnosis}");
    let words = [
        "synth",
        "Hi.",
        "--json",
        "--max-tokens",
        "4",
        "--profile",
        "cpu",
        "-o",
        "a.wav",
    ];
    let spoken = place.cvtrt(&[&words[..], &shared].concat()).exits(0).json();
    let served = spoken["served"].as_array().expect("graphs");
    let f0 = served.iter().find(|row| row["graph"] == "hift_f0");
    let f0 = f0.expect("it is served");
    assert_eq!(f0["from_cache"], false, "{f0}");
    assert_eq!(
        f0["no_engine"], "its fp32 engine is in quarantine: `f0` is not finite",
        "{f0}"
    );
    let passed_over = f0["passed_over"].to_string();
    assert!(
        passed_over.contains("quarantine: `f0` is not finite"),
        "{f0}"
    );

    let build = ["build", "--backend", "ort-cpu", "--graphs", "hift_f0"];
    place
        .cvtrt(&[&build[..], &shared].concat())
        .exits(4)
        .complains(&["quarantine: `f0` is not finite", "--force"]);
    place
        .cvtrt(&[&build[..], &shared, &["--force"]].concat())
        .exits(0);
    let list = engines(&place, &["list"]).exits(0);
    assert!(!list.text().contains("quarantined"), "{list:?}");
    reject(&place, "hift_f0");
    engines(&place, &["gc"])
        .exits(0)
        .says(&["removed .quarantine/hift_f0-ort-cpu", "`f0` is not finite"]);
    place.cvtrt(&[&build[..], &shared].concat()).exits(0);
}

#[test]
fn gc_says_what_it_would_remove_and_then_removes_it() {
    let Some(place) = with_engines("gc_says_what_it_would_remove_and_then_removes_it") else {
        return;
    };
    let before = place.files();
    let planned = engines(&place, &["gc", "--max-size", "1M", "--dry-run", "--json"])
        .exits(0)
        .json();
    engines(&place, &["gc", "--max-size", "1M", "--dry-run"])
        .exits(0)
        .says(&["would remove", "least recently used"]);
    assert_eq!(place.files(), before, "a dry run removes nothing");

    let done = engines(&place, &["gc", "--max-size", "1M", "--json"])
        .exits(0)
        .json();
    assert_eq!(done["removed"], planned["removed"]);
    let kept = done["kept_bytes"].as_u64().expect("bytes");
    assert!(kept <= 1 << 20, "{kept} bytes are kept");
    let rows = engines(&place, &["list", "--json"]).exits(0).json();
    let bytes: u64 = rows
        .as_array()
        .expect("rows")
        .iter()
        .filter_map(|row| row["bytes"].as_u64())
        .sum();
    assert_eq!(bytes, kept);
    engines(&place, &["gc", "--max-size", "0"])
        .exits(0)
        .says(&["0 entries stay"]);
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let place = Place::new();
    let mut command = place.command(&["diagnose"]);
    command.stdout(std::process::Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    drop(child.stdout.take());
    // Without a bundle the diagnosis itself ends with 1; a closed pipe must not change that, nor panic.
    assert_eq!(child.wait().expect("it ends").code(), Some(1));
}

#[test]
fn timings_are_listed_and_those_of_another_library_collected() {
    let place = Place::new();
    let folder = "engines/.timings/tensorrt-0123456789abcdef";
    let key = r#"["tensorrt", [["library", "TensorRT 10.0.1"], ["device", "a GPU elsewhere"]]]"#;
    place.write(&format!("{folder}/key.json"), key);
    place.write(&format!("{folder}/timings"), b"timings");
    place.write("engines/.timings/tensorrt-broken/key.json", b"{");
    let listed = engines(&place, &["list"]).exits(0);
    listed.says(&["0 entries", ".timings/tensorrt-0123456789abcdef"]);
    let rows = engines(&place, &["list", "--json"]).exits(0).json();
    assert_eq!(rows[0]["backend"], "tensorrt", "{rows}");
    assert_eq!(rows[1]["state"], "damaged", "{rows}");

    let removed = engines(&place, &["gc", "--json"]).exits(0).json();
    let ids: Vec<&str> = removed["removed"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["id"].as_str())
        .collect();
    assert!(ids.contains(&".timings/tensorrt-broken"), "{removed}");
    assert!(place.path(folder).exists(), "another run-time folder's");
    engines(&place, &["gc", "--all-stale"]).exits(0);
    // What no library here can judge stays.
    let known = rows[0]["state"] == "stale";
    assert_eq!(place.path(folder).exists(), !known, "{removed}");
}
