//! Where a setting comes from: flag > variable > `cvtrt.yaml` > default, as `diagnose` shows it.

use crate::built::has_or_skip;
use crate::place::{Place, bundle};
use cvtrt::ids::BackendId;

/// The value and the source of a setting.
fn setting(
    place: &Place,
    arguments: &[&str],
    variables: &[(&str, &str)],
    flag: &str,
) -> [String; 2] {
    let words = [&["diagnose", "--json"], arguments].concat();
    let report = place.cvtrt_with(&words, variables).json();
    let settings = report["settings"].as_array().expect("settings").clone();
    let setting = settings
        .iter()
        .find(|setting| setting["flag"] == flag)
        .unwrap_or_else(|| panic!("no setting {flag}"));
    ["value", "source"].map(|field| setting[field].as_str().expect("a text").to_owned())
}

#[test]
fn a_flag_outranks_a_variable_a_file_and_the_default() {
    let place = Place::new();
    let variable: &[(&str, &str)] = &[("CVTRT_PORT", "2002")];
    let [value, source] = setting(&place, &[], &[], "port");
    assert_eq!((&*value, &*source), ("9234", "default"));

    let file = place.write("cvtrt.yaml", "diagnose:\n  port: 1001\n");
    let [value, source] = setting(&place, &[], &[], "port");
    assert_eq!(value, "1001");
    assert!(
        source.ends_with("cvtrt.yaml"),
        "{source} is {}",
        file.display()
    );

    let [value, source] = setting(&place, &[], variable, "port");
    assert_eq!((&*value, &*source), ("2002", "CVTRT_PORT"));

    let [value, source] = setting(&place, &["--port", "3003"], variable, "port");
    assert_eq!((&*value, &*source), ("3003", "flag"));
}

/// Where a precision is asked for: the file, a variable, the command line; and the one that counts.
type Precisions = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static [&'static str],
    &'static str,
);

#[test]
fn of_flags_that_exclude_each_other_the_one_in_the_better_place_counts() {
    let test = "of_flags_that_exclude_each_other_the_one_in_the_better_place_counts";
    if !has_or_skip(BackendId::OrtCpu, test) {
        return;
    }
    let cases: [Precisions; 7] = [
        ("", &[("CVTRT_FP16", "1")], &["--fp32"], "fp32"),
        ("fp16", &[], &["--fp32"], "fp32"),
        ("bf16", &[("CVTRT_FP16", "1")], &["--fp32"], "fp32"),
        ("fp16", &[("CVTRT_FP32", "1")], &[], "fp32"),
        ("fp16", &[("CVTRT_FP32", "0")], &[], "fp16"),
        ("fp16", &[("CVTRT_FP32", "")], &[], "fp16"),
        ("", &[("CVTRT_MODEL_DIR", "gone")], &["--fp16"], "fp16"),
    ];
    for (file, variables, flags, counts) in cases {
        let place = Place::new();
        let file = if file.is_empty() {
            String::new()
        } else {
            format!("build: {{{file}: true}}")
        };
        place.write("cvtrt.yaml", &file);
        let bundle = bundle();
        let bundle = bundle.to_str().expect("UTF-8");
        let words = [
            "build",
            "--bundle",
            bundle,
            "--backend",
            "ort-cpu",
            "--dry-run",
        ];
        let run = place.cvtrt_with(&[&words[..], flags].concat(), variables);
        // The processor's backend builds nothing but fp32, and names what it refuses.
        if counts == "fp32" {
            run.exits(0).says(&["fp32"]);
        } else {
            run.exits(3).complains(&[counts]);
        }
    }
}

#[test]
fn an_empty_variable_is_none() {
    let place = Place::new();
    let [value, source] = setting(&place, &[], &[("CVTRT_PORT", "")], "port");
    assert_eq!((&*value, &*source), ("9234", "default"));
}

#[test]
fn a_file_decides_global_flags_for_all_commands_or_one() {
    let place = Place::new();
    for (text, json) in [
        ("json: true", true),
        ("diagnose: {json: true}", true),
        ("json: true\ndiagnose: {json: false}", false),
        ("engines: {json: true}", false),
    ] {
        place.write("cvtrt.yaml", text);
        let run = place.cvtrt(&["diagnose"]);
        assert_eq!(run.stdout.starts_with(b"{"), json, "{text}");
    }
}

#[test]
fn the_file_is_found_from_a_folder_below() {
    let place = Place::new();
    place.write("cvtrt.yaml", "engines-dir: kept\n");
    place.write("kept/notes.txt", "");
    let below = place.path("deep/er");
    std::fs::create_dir_all(&below).expect("folders");
    let mut command = place.command(&["diagnose", "--json"]);
    let output = command.current_dir(below).output().expect("it runs");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let settings = report["settings"].to_string();
    assert!(settings.contains("kept"), "{settings}");
}

#[test]
fn a_key_that_is_no_flag_is_named() {
    let place = Place::new();
    place.write("cvtrt.yaml", "build:\n  fp61: true\n");
    place.cvtrt(&["engines", "list"]).exits(2).complains(&[
        "error: ",
        "cvtrt.yaml",
        "`fp61`",
        "cvtrt build --help",
    ]);
}

/// A line, `cvtrt.yaml`, variables, and what the error says of where its value came from.
type Sourced = (
    &'static [&'static str],
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static [&'static str],
);

#[test]
fn an_error_names_where_its_value_came_from() {
    let cases: [Sourced; 8] = [
        (
            &["diagnose"],
            "",
            &[("CVTRT_PORT", "http")],
            &["--port comes from CVTRT_PORT"],
        ),
        (
            &["diagnose"],
            "diagnose: {port: http}",
            &[],
            &["--port comes from ", "/cvtrt.yaml"],
        ),
        (
            &["engines", "gc"],
            "engines: {gc: {max-size: 4X}}",
            &[],
            &["--max-size comes from ", "/cvtrt.yaml"],
        ),
        (
            &["build"],
            "",
            &[("CVTRT_FP16", "1"), ("CVTRT_FP32", "1")],
            &[
                "--fp16 comes from CVTRT_FP16",
                "--fp32 comes from CVTRT_FP32",
            ],
        ),
        (
            &["build"],
            "",
            &[("CVTRT_BUNDLE", "no/such")],
            &["--bundle comes from CVTRT_BUNDLE"],
        ),
        (&["inspect", "onnx"], "bundle: no/such", &[], &["error: "]),
        (
            &["profiles", "show", "x"],
            "",
            &[("CVTRT_COLOR", "pink")],
            &["--color comes from CVTRT_COLOR"],
        ),
        (
            &["build", "--model-dir", "gone"],
            "build: {model-dir: here}",
            &[],
            &["gone is not a folder"],
        ),
    ];
    for (line, file, variables, said) in cases {
        let place = Place::new();
        place.write("cvtrt.yaml", file);
        let run = place.cvtrt_with(line, variables).exits(2);
        let run = run.complains(said).complains(&["error: "]);
        let is_named = run.stderr.contains("comes from");
        assert_eq!(is_named, said[0].contains("comes from"), "{run:?}");

        let document = place
            .cvtrt_with(&[line, &["--json"]].concat(), variables)
            .exits(2)
            .json();
        let error = document["error"]["causes"].to_string();
        let sources = said.iter().filter(|word| word.contains("comes from"));
        for source in sources {
            assert!(error.contains(source), "{document}");
        }
    }
}

#[test]
fn an_error_is_one_json_document_where_json_was_asked_for() {
    let place = Place::new();
    for arguments in [
        &["--json", "build", "--nonsense"][..],
        &["--json", "build", "--bundle", "no/such"],
        &["--json", "engines", "show", "none"],
    ] {
        let run = place.cvtrt(arguments).exits(2);
        let error = &run.json()["error"];
        assert_eq!(error["exit_code"], 2, "{arguments:?}");
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        );
        assert_eq!(run.stderr, "", "{arguments:?}");
    }
}
