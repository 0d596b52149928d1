//! `scripts/gpu-check` without a GPU, and what carries it to one.

use cvtrt::testkit::skip;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scripts")
        .join(name)
}

fn python_or_skip(test: &str) -> bool {
    let python = Command::new("python3").arg("--version").output();
    let there = python.is_ok_and(|python| python.status.success());
    if !there {
        skip(test, "no python3", "CVTRT_REQUIRE_PYTHON");
    }
    there
}

/// Runs a script; `None`, heard, where there is no Python.
fn run(test: &str, program: &Path, arguments: &[&Path]) -> Option<Output> {
    if !python_or_skip(test) {
        return None;
    }
    let output = Command::new(program)
        .args(arguments)
        .env("CVTRT", env!("CARGO_BIN_EXE_cvtrt"))
        .env("CVTRT_RUNTIME_DIR", cvtrt::testkit::runtime_dir())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("CUDA_VISIBLE_DEVICES", "")
        .env_remove("CVTRT_RUNTIME_DIRS")
        .output();
    Some(output.expect("the script starts"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn rows(out: &Path) -> Vec<Value> {
    let report = fs::read(out.join("report.json")).expect("a report");
    let mut report: Value = serde_json::from_slice(&report).expect("JSON");
    match report["steps"].take() {
        Value::Array(rows) => rows,
        other => panic!("{other}"),
    }
}

#[test]
fn without_a_gpu_every_step_says_why_it_could_not_run() {
    let test = "without_a_gpu_every_step_says_why_it_could_not_run";
    let folder = tempfile::tempdir().expect("temporary folder");
    let out = folder.path().join("out");
    let check = script("gpu-check");
    let Some(listed) = run(test, &check, &[&out, Path::new("--list")]) else {
        return;
    };
    assert!(!out.exists(), "naming the steps writes nothing");
    let steps: Vec<String> = text(&listed.stdout).lines().map(str::to_owned).collect();
    for kind in [
        "machine", "bundle", "torch", "build", "parity", "stages", "rebuild", "ready",
    ] {
        assert!(
            steps.iter().any(|step| step.starts_with(kind)),
            "{kind}: {steps:?}"
        );
    }
    for library in ["tensorrt-rtx", "tensorrt-8", "tensorrt-10", "tensorrt-11"] {
        for precision in ["fp32", "fp16", "bf16"] {
            let step = format!("parity {library} {precision}");
            assert!(steps.contains(&step), "{step}: {steps:?}");
        }
    }

    for again in [false, true] {
        let checked = run(test, &check, &[&out]).expect("as before");
        assert!(checked.status.success(), "{}", text(&checked.stderr));
        let rows = rows(&out);
        let done: Vec<&str> = rows.iter().filter_map(|row| row["step"].as_str()).collect();
        assert_eq!(done, steps, "again: {again}");
        for row in &rows {
            assert_eq!(row["result"], "could not run", "{row}");
            let why = row["why"].as_str().expect("a reason");
            assert!(why.contains("NVIDIA driver"), "{row}");
        }
    }
    let report = fs::read_to_string(out.join("report.md")).expect("a report");
    assert!(
        report.contains("| parity tensorrt-8 fp16 | could not run |"),
        "{report}"
    );
    assert!(
        report.contains("| decode step under 0.7 ms | not measured |"),
        "{report}"
    );
}

#[test]
fn what_no_step_comes_to_without_a_gpu_holds_on_its_own() {
    if !python_or_skip("what_no_step_comes_to_without_a_gpu_holds_on_its_own") {
        return;
    }
    let tested = Command::new("python3")
        .args(["-m", "unittest", "test_gpu_check"])
        .current_dir(script(""))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("python3 is there");
    assert!(tested.status.success(), "{}", text(&tested.stderr));
}

/// Files of TensorRT 8.6 and of a late 10 by their names, `true` where they are carried; none is loaded.
const LIBRARIES: [(&str, &[(&str, bool)]); 2] = [
    (
        "tensorrt-8",
        &[
            ("libnvinfer.so.8", true),
            ("libnvinfer_builder_resource.so.8.6.0", true),
            ("libnvonnxparser.so.8", true),
            ("libnvinfer_plugin.so.8", false),
        ],
    ),
    (
        "tensorrt-10",
        &[
            ("libnvinfer.so.10", true),
            ("libnvinfer_builder_resource_ptx.so.10.13.0", true),
            ("libnvinfer_builder_resource_sm90.so.10.13.0", true),
            ("libnvinfer_builder_resource_win.so.10.13.0", false),
            ("libnvinfer_builder_resource_sm90.so.11.0.0", false),
            ("libnvinfer_lean.so.10", false),
            ("libnvonnxparser.so.10", true),
        ],
    ),
];

fn pack_of(test: &str, pack: &Path, runtimes: &[&Path]) -> Option<Output> {
    let binary = script("gpu-check");
    let mut arguments = vec![pack, Path::new("--cvtrt"), &binary];
    for runtime in runtimes {
        arguments.extend([Path::new("--runtime-dir"), runtime]);
    }
    arguments.extend(["--preset", "0", "--piece-mib", "1"].map(Path::new));
    run(test, &script("gpu-pack"), &arguments)
}

#[test]
fn a_library_that_could_build_nothing_over_there_is_not_packed() {
    let test = "a_library_that_could_build_nothing_over_there_is_not_packed";
    let folder = tempfile::tempdir().expect("temporary folder");
    for file in ["libnvinfer.so.10", "libnvonnxparser.so.10"] {
        fs::write(folder.path().join(file), file).expect("a file");
    }
    let pack = folder.path().join("pack");
    let Some(packed) = pack_of(test, &pack, &[folder.path()]) else {
        return;
    };
    assert_eq!(packed.status.code(), Some(1));
    let said = text(&packed.stderr);
    assert!(said.starts_with("error: tensorrt-10 in "), "{said}");
    assert!(
        said.contains("libnvinfer_builder_resource*.so.10*"),
        "{said}"
    );
    assert!(!pack.join("pack.json").exists());
}

#[test]
fn what_is_packed_is_in_place_when_all_pieces_have_come() {
    let test = "what_is_packed_is_in_place_when_all_pieces_have_come";
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = |name: &str| folder.path().join(name);
    for (library, files) in LIBRARIES {
        fs::create_dir_all(path(library)).expect("a folder");
        for (file, _) in files {
            fs::write(path(library).join(file), file).expect("a file");
        }
    }
    let (pack, place) = (path("pack"), path("place"));
    let runtimes = LIBRARIES.map(|(library, _)| path(library));
    let Some(packed) = pack_of(test, &pack, &runtimes.each_ref().map(PathBuf::as_path)) else {
        return;
    };
    assert!(packed.status.success(), "{}", text(&packed.stderr));
    let pieces: BTreeSet<PathBuf> = fs::read_dir(&pack)
        .expect("made")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.to_string_lossy().contains(".tar.xz."))
        .collect();
    assert!(pieces.len() > 2, "{pieces:?}");
    for piece in &pieces {
        assert!(
            fs::metadata(piece).expect("there").len() <= 1 << 20,
            "{piece:?}"
        );
    }

    // One piece comes late, and another one broken.
    let (late, broken) = (&pieces.iter().next().expect("some").clone(), path("late"));
    fs::rename(late, &broken).expect("same folder");
    let unpack = || run(test, &pack.join("gpu-unpack"), &[&pack, &place]).expect("as before");
    let first = unpack();
    assert_eq!(first.status.code(), Some(1), "{}", text(&first.stdout));
    let name = late.file_name().expect("a file").to_string_lossy();
    assert!(
        text(&first.stderr).contains(&*name),
        "{}",
        text(&first.stderr)
    );
    fs::write(late, b"broken").expect("writable");
    let second = unpack();
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains("is not what was packed"));
    fs::copy(&broken, late).expect("same folder");
    // What an interrupted copy left is not taken for a piece, nor is a piece that was cut short since.
    let kept = place.join(".pieces");
    let cut = pieces.iter().nth(1).expect("several");
    let other = cut.file_name().expect("a file");
    assert!(kept.join(other).is_file(), "{other:?} has come and waits");
    fs::write(kept.join(other), b"cut").expect("writable");
    fs::write(kept.join(format!("{name}.part")), b"cut").expect("writable");
    fs::rename(cut, path("cut")).expect("same folder");
    let without = unpack();
    let still = format!("still to come: {}\n", other.display());
    assert_eq!(text(&without.stderr), still);
    fs::rename(path("cut"), cut).expect("same folder");
    let third = unpack();
    assert!(third.status.success(), "{}", text(&third.stderr));
    let parts = fs::read_dir(&kept).expect("made");
    let mut parts = parts.map(|entry| entry.expect("readable").path());
    assert!(parts.all(|path| path.extension().is_some_and(|it| it == "done")));

    for (library, files) in LIBRARIES {
        let library = place.join("runtime").join(library);
        for (file, carried) in files {
            assert_eq!(library.join(file).is_file(), *carried, "{file}");
        }
    }
    for file in [
        "scripts/gpu_check.py",
        "target/debug/cvtrt",
        "onnx/cosyvoice2-tiny/bundle.yaml",
    ] {
        assert!(place.join(file).is_file(), "{file}");
    }
    assert!(unpack().status.success(), "a second time does nothing");
}
