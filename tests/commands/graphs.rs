//! `cvtrt run` and `cvtrt compare`: one graph, by itself and on two sides.

use crate::built::{has_or_skip, ort_build};
use crate::place::{Place, bundle};
use cvtrt::ids::BackendId;
use cvtrt::tensor::{Shape, Tensor, read_npz, write_npz};
use cvtrt::testkit::graph_path;
use std::path::PathBuf;

fn has_ort(test: &str) -> bool {
    has_or_skip(BackendId::OrtCpu, test)
}

/// `x` for the graph `affine`, two rows of two frames.
fn x(place: &Place, values: [f32; 4]) -> PathBuf {
    let path = place.path("in.npz");
    let tensor = Tensor::from_elements(Shape::new(&[2, 2]), &values).expect("fills");
    write_npz(&path, [("x", &tensor)]).expect("written");
    path
}

#[test]
fn a_file_runs_on_given_tensors_and_writes_its_outputs() {
    if !has_ort("a_file_runs_on_given_tensors_and_writes_its_outputs") {
        return;
    }
    let place = Place::new();
    let inputs = x(&place, [0.0, 1.0, -1.0, f32::NAN]);
    let line = args![
        "run",
        graph_path("affine"),
        "--inputs",
        inputs,
        "--outputs",
        "out.npz"
    ];
    place.cvtrt(&line).exits(0).says(&[
        "ort-cpu-fp32",
        "first run",
        "in   x",
        "out  y",
        "2x2",
        "-1.0000e0",
        "3.0000e0",
    ]);
    let outputs = read_npz(&place.path("out.npz")).expect("an archive");
    let y = outputs["y"].elements::<f32>().expect("f32");
    assert_eq!(y[..3], [1.0, 3.0, -1.0]);
    assert!(y[3].is_nan());
}

#[test]
fn every_type_passes_through_a_run() {
    if !has_ort("every_type_passes_through_a_run") {
        return;
    }
    let place = Place::new();
    let line = args![
        "run",
        "--json",
        graph_path("types"),
        "--random",
        "2",
        "--sizes",
        "batch=3,new=2",
        "--seed",
        "5"
    ];
    let report = place.cvtrt(&line).exits(0).json();
    assert_eq!(report["runs"].as_array().map(Vec::len), Some(2), "{report}");
    let outputs = report["runs"][0]["outputs"].as_array().expect("outputs");
    assert_eq!(outputs.len(), 4, "{report}");
    assert_eq!(outputs[0]["shape"], serde_json::json!([3, 2]), "{report}");
}

#[test]
fn an_output_whose_shape_depends_on_the_data_is_made() {
    if !has_ort("an_output_whose_shape_depends_on_the_data_is_made") {
        return;
    }
    let place = Place::new();
    let line = args![
        "run",
        graph_path("nonzero"),
        "--random",
        "--sizes",
        "frames=6"
    ];
    place.cvtrt(&line).exits(0).says(&["found   i64"]);
}

#[test]
fn a_graph_of_the_bundle_runs_at_the_sizes_of_its_profile() {
    if !has_ort("a_graph_of_the_bundle_runs_at_the_sizes_of_its_profile") {
        return;
    }
    let place = Place::new();
    let engines = &ort_build().engines;
    let bundle = bundle();
    let common = args![
        "--bundle",
        bundle,
        "--engines-dir",
        engines,
        "--profile",
        "cpu",
        "--random"
    ];
    let mut line = args!["run", "hift_f0", "--repeat", "1"];
    line.extend(common.clone());
    place.cvtrt(&line).exits(0).says(&["mel", "1x80x64", "f0"]);
    let mut line = args!["run", "campplus", "--repeat", "1", "--sizes", "features=60"];
    line.extend(common);
    place.cvtrt(&line).exits(0).says(&["1x60x80"]);
    assert!(place.files().is_empty());
}

#[test]
fn two_sides_that_agree_pass() {
    if !has_ort("two_sides_that_agree_pass") {
        return;
    }
    let place = Place::new();
    let line = args![
        "compare",
        "flow_estimator",
        "--bundle",
        bundle(),
        "--backends",
        "ort-cpu,ort-cpu-fp32",
        "--engines-dir",
        &ort_build().engines,
        "--profile",
        "cpu",
        "--random",
        "2",
        "--sizes",
        "frames=20"
    ];
    place
        .cvtrt(&line)
        .exits(0)
        .says(&["estimator_out", "2x80x20", "pass", "within atol 1e-5"]);
}

#[test]
fn what_is_not_finite_is_exit_4_and_named() {
    if !has_ort("what_is_not_finite_is_exit_4_and_named") {
        return;
    }
    let place = Place::new();
    let inputs = x(&place, [0.0, 1.0, f32::INFINITY, 1.0]);
    let line = args![
        "compare",
        graph_path("affine"),
        "--backends",
        "ort-cpu,ort-cpu",
        "--inputs",
        inputs
    ];
    place.cvtrt(&line).exits(4).says(&[
        "first differing tensor: y",
        "2 elements are not finite",
        "OUT OF",
    ]);
}
