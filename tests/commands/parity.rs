//! `cvtrt parity`: recordings that pass, that do not, and that cannot be run.

use crate::built::{has_or_skip, ort_build};
use crate::place::{Place, bundle};
use cvtrt::ids::BackendId;
use cvtrt::tensor::{Tensor, read_npz, write_npz};
use cvtrt::testkit::data_path;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn goldens(folder: &str) -> std::path::PathBuf {
    data_path("goldens").join(folder)
}

/// A recording with one array changed.
fn change(from: &Path, to: &Path, array: &str, change: impl FnOnce(&mut Tensor)) {
    let mut tensors: BTreeMap<String, Tensor> = read_npz(from).expect("an archive");
    change(tensors.get_mut(array).expect("an array"));
    let named = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
    write_npz(to, named).expect("written");
}

#[test]
fn the_bundle_of_the_repository_passes() {
    if !has_or_skip(BackendId::OrtCpu, "the_bundle_of_the_repository_passes") {
        return;
    }
    let place = Place::new();
    let line = args![
        "parity",
        "--bundle",
        bundle(),
        "--golden",
        goldens("cosyvoice2-tiny"),
        "--profile",
        "cpu",
        "--engines-dir",
        &ort_build().engines
    ];
    place.cvtrt(&line).exits(0).says(&[
        "zs.tf_logits",
        "full.est6.out",
        "call1.f0",
        "L2 1e-2",
        "skip: ",
        "llm on ort-cpu fp32",
        "64 passed, 0 failed",
    ]);
    assert!(place.files().is_empty());
}

#[test]
fn the_front_end_needs_no_library() {
    let place = Place::new();
    let line = args![
        "parity",
        "--json",
        "--bundle",
        bundle(),
        "--golden",
        goldens("frontend"),
        "--runtime-dir",
        "."
    ];
    let report = place.cvtrt(&line).exits(0).json();
    assert_eq!(report["failed"], 0, "{report}");
    assert_eq!(report["passed"], 136, "{report}");
    let row = &report["rows"][0];
    for field in [
        "stage",
        "case",
        "shape",
        "max_abs_error",
        "tolerance",
        "result",
    ] {
        assert!(!row[field].is_null(), "{field}: {row}");
    }
}

#[test]
fn another_result_than_the_recorded_one_is_exit_4() {
    let place = Place::new();
    let golden = place.path("golden");
    fs::create_dir(&golden).expect("a folder");
    let recorded = goldens("frontend/sampling.npz");
    change(
        &recorded,
        &golden.join("sampling.npz"),
        "3.nucleus_probs",
        |tensor| {
            tensor.elements_mut::<f32>().expect("f32")[0] += 0.5;
        },
    );
    let run = place.cvtrt(&args!["parity", "--bundle", bundle(), "--golden", &golden]);
    let run = run
        .exits(4)
        .says(&["FAIL: max abs 5.000e-1 > 1.000e-6", "47 passed, 1 failed"]);
    assert!(run.text().contains("3.nucleus_probs"));
}

#[test]
fn what_cannot_be_run_is_no_success() {
    let place = Place::new();
    let golden = place.path("golden");
    fs::create_dir(&golden).expect("a folder");
    let recorded = goldens("cosyvoice2-tiny/golden_hift.npz");
    fs::copy(recorded, golden.join("golden_other.npz")).expect("a copy");
    place
        .cvtrt(&args!["parity", "--bundle", bundle(), "--golden", &golden])
        .exits(1)
        .complains(&[
            "can be replayed",
            "no stage of the pipeline goes by this file's name",
        ]);
}
