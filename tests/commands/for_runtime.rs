//! `cvtrt build --for-runtime`: engines for a run-time folder before it is the active one; and `--device`.

use crate::built::has_or_skip;
use crate::place::{Place, Run, bundle};
use cvtrt::ids::BackendId;
use cvtrt::testkit::runtime_dir;
use std::ffi::OsString;
use std::fs;

/// A build of one graph by TensorRT-RTX.
fn build(place: &Place, more: &[&str]) -> Run {
    let mut line = args![
        "build",
        "--backend",
        "tensorrt-rtx",
        "--target",
        "sm_86",
        "--graphs",
        "hift_f0",
        "--engines-dir",
        "engines",
        "--bundle",
        bundle(),
    ];
    line.extend(more.iter().map(OsString::from));
    place.cvtrt(&line)
}

/// A folder that holds the files of TensorRT-RTX themselves, and no ONNX Runtime.
fn other_runtime(place: &Place) {
    let other = place.path("other");
    fs::create_dir(&other).expect("a new folder");
    let from = runtime_dir().join("tensorrt_rtx");
    for file in fs::read_dir(from).expect("installed") {
        let file = file.expect("readable");
        let to = other.join(file.file_name());
        std::os::unix::fs::symlink(file.path(), to).expect("a link");
    }
}

#[test]
fn engines_of_a_folder_that_is_not_active_yet_are_found_when_it_is() {
    let test = "engines_of_a_folder_that_is_not_active_yet_are_found_when_it_is";
    if !has_or_skip(BackendId::TensorRtRtx, test) || !has_or_skip(BackendId::OrtCpu, test) {
        return;
    }
    let place = Place::new();
    other_runtime(&place);
    let dry = build(&place, &["--for-runtime", "other", "--dry-run"]).exits(0);
    dry.says(&[
        "for the run-time folder",
        "/other: TensorRT-RTX 1.",
        "not built yet",
    ]);
    let dry = build(&place, &["--for-runtime", "other", "--dry-run", "--json"]).exits(0);
    let document = dry.json();
    let library = &document["for_runtime"]["libraries"][0];
    assert!(
        library["path"]
            .as_str()
            .expect("a path")
            .ends_with("other/libtensorrt_rtx.so.1"),
        "{document}"
    );
    assert_eq!(document["graphs"][0]["graph"], "hift_f0");
    assert!(!place.path("engines").exists(), "a dry run builds nothing");

    let built = build(&place, &["--for-runtime", "other"]).exits(0);
    built
        .complains(&["for the run-time folder"])
        .says(&["built"]);
    let switched = build(&place, &["--runtime-dir", "other"]).exits(0);
    assert_eq!(switched.row("hift_f0").last(), Some(&"cached"));
}

#[test]
fn a_folder_without_libraries_and_the_active_one_are_refused() {
    let place = Place::new();
    fs::create_dir(place.path("empty")).expect("a new folder");
    build(&place, &["--for-runtime", "empty"])
        .exits(3)
        .complains(&[
            "holds no library",
            "looked for libnvinfer.so.11",
            "onnxruntime",
        ]);
    place.write("cut/libtensorrt_rtx.so.1", b"\x7fELF");
    build(&place, &["--for-runtime", "cut"])
        .exits(3)
        .complains(&["cut/libtensorrt_rtx.so.1: cannot be loaded"]);
    place.write("cut-ort/onnxruntime/libonnxruntime.so.1.99.0", b"\x7fELF");
    build(&place, &["--for-runtime", "cut-ort"])
        .exits(3)
        .complains(&[
            "its ONNX Runtime cannot be loaded: ",
            "libonnxruntime.so.1.99.0: ",
            "hint:  install it there again",
        ]);
    build(&place, &["--for-runtime", "nowhere"])
        .exits(2)
        .complains(&["--for-runtime nowhere: No such file"]);
    fs::create_dir(place.path("active")).expect("a new folder");
    build(
        &place,
        &["--for-runtime", "active", "--runtime-dir", "active"],
    )
    .exits(2)
    .complains(&["is the active run-time folder"]);
}

#[test]
fn a_device_that_is_not_here_is_refused_by_number() {
    let place = Place::new();
    let bundle = bundle();
    let bundle = bundle.to_str().expect("a path");
    let why = match cvtrt::cuda::probe() {
        Ok(driver) => format!(
            "there is no device 99: the NVIDIA driver reports {}",
            driver.devices.len()
        ),
        Err(reason) => reason.to_string(),
    };
    let lines: [&[&str]; 6] = [
        &["build", "--bundle", bundle],
        &["synth", "Hello.", "-o", "out.wav", "--bundle", bundle],
        &["warmup", "--bundle", bundle],
        &["run", "hift_f0", "--random", "--bundle", bundle],
        &[
            "compare",
            "hift_f0",
            "--backends",
            "ort-cpu,ort-cpu",
            "--random",
            "1",
            "--bundle",
            bundle,
        ],
        &["serve", "--port", "0", "--bundle", bundle],
    ];
    for line in lines {
        let mut line = line.to_vec();
        line.extend(["--device", "99"]);
        let run = place
            .cvtrt_with(&line, &[("CUDA_VISIBLE_DEVICES", "0")])
            .exits(3);
        run.complains(&["--device 99: ", &why, "CUDA_VISIBLE_DEVICES=0"]);
    }
}
