//! `cvtrt export`: folders that are no checkpoint. What it exports is tested with its own environment.

use crate::built::has_or_skip;
use crate::place::{Place, Run, bundle};
use cvtrt::bundle::{Bundle, StatCache};
use cvtrt::ids::{BackendId, Digest};
use std::fs;

#[test]
fn a_folder_that_is_none_is_named() {
    let place = Place::new();
    place
        .cvtrt(&["export", "--model-dir", "weights", "--out", "bundle"])
        .exits(2)
        .complains(&["error: weights is not a folder", "hint: ", "llm.pt"]);
    assert!(place.files().is_empty());
}

#[test]
fn outside_a_checkout_the_exporter_is_asked_for() {
    let place = Place::new();
    checkpoint(&place, "");
    let before = place.files();
    place
        .cvtrt(&["export", "--model-dir", "weights", "--out", "bundle"])
        .exits(1)
        .complains(&["export_onnx.py", "--scripts-dir"]);
    assert_eq!(place.files(), before);
}

#[test]
fn a_python_that_is_none_is_named() {
    let place = Place::new();
    checkpoint(&place, "");
    let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts");
    let words = [
        "export",
        "--model-dir",
        "weights",
        "--out",
        "bundle",
        "--scripts-dir",
        scripts,
    ];
    let python = ["--export-python", "no/python"];
    place
        .cvtrt(&[&words[..], &python].concat())
        .exits(1)
        .complains(&["error: cannot start no/python", "hint: ", "--export-python"]);
    let document = place
        .cvtrt(&[&words[..], &python, &["--json"]].concat())
        .exits(1)
        .json();
    let error = &document["error"];
    assert_eq!(error["exit_code"], 1, "{document}");
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains("no/python"), "{document}");
}

/// An export by a Python that finds no packages beside its own.
fn export_with_bare_python(more: &[&str]) -> Run {
    let place = Place::new();
    checkpoint(&place, "");
    let mut line = exported_by(&place, "#!/bin/sh\nexec python3 -E -s -S \"$@\"\n");
    line.extend(more.iter().map(std::ffi::OsString::from));
    place.cvtrt(&line)
}

#[test]
fn a_python_without_the_packages_is_told_which() {
    let run = export_with_bare_python(&[]).exits(1);
    run.complains(&["error: ", "cannot import `", "hint: ", "requirements.lock"]);
    let run = export_with_bare_python(&["--json"]).exits(1);
    assert!(!run.stderr.contains("Traceback"), "{run:?}");
    let document = run.json();
    let error = &document["error"];
    assert_eq!(error["exit_code"], 1, "{document}");
    let said = |field: &str| error[field].as_str().expect(field).to_owned();
    assert!(said("message").contains("cannot import `"), "{document}");
    assert!(said("hint").contains("requirements.lock"), "{document}");
}

#[test]
fn a_python_that_gives_no_document_ends_in_one() {
    let place = Place::new();
    let mut line = copying(&place, "exit 7");
    line.extend(args!["--json"]);
    let document = place.cvtrt(&line).exits(1).json();
    let message = document["error"]["message"].as_str().expect("a message");
    assert!(message.contains("without a result"), "{document}");
}

#[test]
fn what_a_checkpoint_lacks_is_said_before_anything_is_made() {
    let place = Place::new();
    place.write("weights/llm.pt", "");
    let before = place.files();
    let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts");
    let export = ["export", "--model-dir", "weights", "--out", "bundle"];
    let build = ["build", "--model-dir", "weights"];
    let lines = [
        [&export[..], &["--scripts-dir", scripts]].concat(),
        [&export[..], &["--scripts-dir", scripts, "--check-only"]].concat(),
        build.to_vec(),
        [&build[..], &["--dry-run"]].concat(),
    ];
    for line in lines {
        place.cvtrt(&line).exits(2).complains(&[
            "error: weights is no complete checkpoint",
            "cosyvoice2.yaml",
            "flow.pt",
            "hift.pt",
            "hint:  download",
        ]);
        assert_eq!(place.files(), before, "{line:?}");
        assert!(!place.path("../home/.cache").exists(), "{line:?}");
    }
    place.write("weights/cosyvoice3.yaml", "");
    place.cvtrt(&export).exits(1).complains(&[
        "not exported yet",
        "--model-dir weights --out DIR --graphs flow_estimator",
    ]);
}

#[test]
fn what_is_wrong_with_the_line_is_said_before_an_export() {
    let place = Place::new();
    checkpoint(&place, "");
    for (wrong, said) in [
        (["--graphs", "typo"], "--graphs: "),
        (["--backend", "typo"], "--backend: "),
        (["--timing-cache", "no/such/file"], "--timing-cache "),
        (["--for-runtime", "no/such"], "--for-runtime "),
        (["--profile", "typo"], "typo"),
    ] {
        let line = [&["build", "--model-dir", "weights"][..], &wrong].concat();
        let run = place.cvtrt(&line).exits(2).complains(&[said]);
        assert!(!run.stderr.contains("export_onnx.py"), "{run:?}");
    }
}

/// An exporter that copies a bundle, and the command line that asks it for one.
fn copying(place: &Place, edit: &str) -> Vec<std::ffi::OsString> {
    checkpoint(place, "");
    let from = bundle();
    let script = format!(
        "#!/bin/sh\n[ \"$1\" != \"${{1%export_onnx.py}}\" ] || exit 9\n\
         cp -r '{}' \"$5\" && chmod -R u+w \"$5\" && cd \"$5\" && {edit} || exit 1\n\
         echo '{{\"bundle\": \"it\"}}'\n",
        from.display()
    );
    exported_by(place, &script)
}

/// The command line of an export by a program that stands in for Python.
fn exported_by(place: &Place, script: &str) -> Vec<std::ffi::OsString> {
    let python = place.write("python", script);
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&python, executable).expect("own file");
    let mut line = args!["export", "--model-dir", "weights", "--out", "bundle"];
    line.extend(args![
        "--scripts-dir",
        concat!(env!("CARGO_MANIFEST_DIR"), "/scripts")
    ]);
    line.extend(args!["--export-python", python]);
    line
}

#[test]
fn an_exported_bundle_speaks_and_keeps_the_ranges() {
    let test = "an_exported_bundle_speaks_and_keeps_the_ranges";
    if !has_or_skip(BackendId::OrtCpu, test) {
        return;
    }
    let place = Place::new();
    let mut line = copying(&place, "true");
    line.extend(args!["--json"]);
    let document = place.cvtrt(&line).exits(0).json();
    assert_eq!(document["bundle"], "it", "the exporter's own words stay");
    let recorded = &document["calibration"]["recorded"];
    assert!(recorded["utterances"].as_u64() >= Some(3), "{document}");
    assert!(recorded["seconds"].as_f64() > Some(0.0), "{document}");
    let opened = Bundle::open(&place.path("bundle")).expect("sound");
    opened
        .verify(&mut StatCache::in_memory())
        .expect("as listed");
    assert!(opened.manifest().ranges.is_some());
}

#[test]
fn ranges_are_left_out_where_that_is_asked_for() {
    let place = Place::new();
    let mut line = copying(&place, "true");
    line.extend(args!["--no-calibrate"]);
    let run = place.cvtrt(&line).exits(0);
    assert!(!run.text().contains("ranges"), "{run:?}");
    let opened = Bundle::open(&place.path("bundle")).expect("sound");
    assert!(opened.manifest().ranges.is_none());
}

#[test]
fn only_the_graphs_named_are_asked_of_the_exporter() {
    let place = Place::new();
    let mut line = copying(&place, "printf '%s ' \"$@\" >../words");
    line.extend(args!["--graphs", "flow_estimator, hift", "--check-only"]);
    place.cvtrt(&line).exits(0);
    let words = fs::read_to_string(place.path("words")).expect("its command line");
    let (_, after) = words.split_once("--out bundle ").expect(&words);
    assert_eq!(after, "--graphs flow_estimator,hift --check-only ");
}

#[test]
fn a_graph_that_is_none_is_named_before_the_exporter_is_sought() {
    let place = Place::new();
    place.write("weights/llm.pt", "");
    let words = ["export", "--model-dir", "weights", "--out", "bundle"];
    place
        .cvtrt(&[&words[..], &["--graphs", "llm,flow_estimater"]].concat())
        .exits(2)
        .complains(&["--graphs", "flow_estimater", "flow_estimator"]);
}

#[test]
fn a_bundle_that_cannot_speak_is_exported_and_says_why_it_has_no_ranges() {
    let place = Place::new();
    let family =
        "sed -i 's/^family: .*/family: cosyvoice3/;s/sine: .*/sine: framewise/' bundle.yaml";
    place
        .cvtrt(&copying(&place, family))
        .exits(0)
        .says(&["ranges: not recorded", "cosyvoice3"]);

    let place = Place::new();
    let voiceless = "sed -i '/voices\\//,$d' bundle.yaml && rm -r voices";
    place.cvtrt(&copying(&place, voiceless)).exits(0).says(&[
        "it has no voice",
        "cvtrt voices add",
        "cvtrt calibrate --bundle",
    ]);
}

/// A checkpoint, and what its bundle says it was exported from.
fn checkpoint(place: &Place, llm: &str) -> Digest {
    place.write("weights/cosyvoice2.yaml", "");
    for (name, content) in [("flow.pt", "flow"), ("hift.pt", "hift"), ("llm.pt", llm)] {
        place.write(&format!("weights/{name}"), content);
    }
    let lines = [("flow.pt", "flow"), ("hift.pt", "hift"), ("llm.pt", llm)]
        .map(|(name, content)| format!("{}  {name}\n", Digest::of(content.as_bytes())));
    Digest::of(lines.concat().as_bytes())
}

#[test]
fn a_checkpoint_is_exported_only_where_its_bundle_is_not_of_these_weights() {
    let place = Place::new();
    let words = ["build", "--model-dir", "weights", "--dry-run", "--json"];
    let digest = checkpoint(&place, "as exported");
    let would = place.cvtrt(&words).exits(0).json();
    assert_eq!(would["export"]["model_dir"], "weights", "{would}");

    let onnx = place.path("../home/.local/share/cvtrt/onnx");
    fs::create_dir_all(&onnx).expect("folders");
    let bundle = onnx.join("weights");
    fs::rename(place.bundle_copy(), &bundle).expect("it moves");
    let manifest = bundle.join("bundle.yaml");
    let text = fs::read_to_string(&manifest).expect("a manifest");
    let source = text.find("  digest: ").expect("its source") + "  digest: ".len();
    let text = format!("{}{digest}{}", &text[..source], &text[source + 64..]);
    fs::write(&manifest, text).expect("written");
    if has_or_skip(
        BackendId::OrtCpu,
        "the bundle of a checkpoint is used as it is",
    ) {
        // No exporter is here, so nothing was exported.
        let plan = place.cvtrt(&[&words[..], &["--backend", "ort-cpu"]].concat());
        let plan = plan.exits(0).json();
        assert_eq!(plan["graphs"].as_array().map(Vec::len), Some(7), "{plan}");
        // Nor is a folder asked for what only an export needs.
        let configuration = place.path("weights/cosyvoice2.yaml");
        fs::remove_file(&configuration).expect("it is there");
        let plan = place.cvtrt(&[&words[..], &["--backend", "ort-cpu"]].concat());
        plan.exits(0);
        fs::write(&configuration, "").expect("written");
    }

    checkpoint(&place, "trained further");
    let would = place.cvtrt(&words).exits(0).json();
    assert_eq!(would["export"]["model_dir"], "weights", "{would}");
    place
        .cvtrt(&["build", "--model-dir", "weights"])
        .exits(1)
        .complains(&["export_onnx.py"]);
}
