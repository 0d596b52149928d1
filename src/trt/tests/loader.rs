//! The loader against small libraries that lack something each. `build.rs` compiles them.

use super::{plain, unheard};
use crate::hint::Hint;
use crate::trt::handle::DynamicLibrary;
use crate::trt::{Flavour, NoLibrary, Refusal, SearchPath, TrtLibrary};
use std::fs;
use std::path::Path;

const FAKES: &str = env!("CVTRT_FAKE_LIBRARIES");

/// Puts fake libraries into a folder under the names the loader looks for.
fn install(folder: &Path, files: &[(&str, &str)]) {
    fs::create_dir_all(folder).expect("temporary folder");
    for (name, fake) in files {
        fs::copy(Path::new(FAKES).join(fake), folder.join(name)).expect("fake library");
    }
}

fn refusals(flavour: Flavour, folder: &Path) -> Vec<Refusal> {
    let search = SearchPath {
        explicit: Some(folder.to_owned()),
        roots: Vec::new(),
    };
    let NoLibrary { candidates, .. } =
        TrtLibrary::load(flavour, &search).expect_err("nothing usable");
    candidates
        .into_iter()
        .map(|candidate| candidate.refusal)
        .filter(|refusal| *refusal != Refusal::Absent)
        .collect()
}

#[test]
fn each_defect_is_its_own_reason() {
    const INFER: &str = "libtensorrt_rtx.so.1";
    let cases: [(&[(&str, &str)], &str); 4] = [
        (&[], ""),
        (
            &[(INFER, "fake_infer_nothing.so")],
            "has no getInferLibVersion",
        ),
        (
            &[(INFER, "fake_infer_10400.so")],
            "is TensorRT-RTX 1.4.0, cvtrt knows 1.5 to 1.7; its tables of functions mix those of TensorRT 10 and 11",
        ),
        (
            &[(INFER, "fake_infer_110400.so")],
            "is TensorRT 11.4.0, cvtrt knows 1.5 to 1.7",
        ),
    ];
    for (files, expected) in cases {
        let folder = tempfile::tempdir().expect("temporary folder");
        install(folder.path(), files);
        let found = refusals(Flavour::TensorRtRtx, folder.path());
        let said: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(said.join("; ").ends_with(expected), "{files:?}: {said:?}");
        assert_eq!(said.is_empty(), expected.is_empty(), "{files:?}: {said:?}");
    }
}

#[test]
fn tensorrt_majors_are_told_apart() {
    let cases = [
        (
            "libnvinfer.so.11",
            "fake_infer_nothing.so",
            "has no getInferLibVersion",
        ),
        (
            "libnvinfer.so.10",
            "fake_infer_9300.so",
            "is TensorRT 9.3.0, cvtrt knows 8.6, 10.x or 11.x",
        ),
    ];
    for (name, fake, expected) in cases {
        let folder = tempfile::tempdir().expect("temporary folder");
        install(&folder.path().join("tensorrt_libs"), &[(name, fake)]);
        let found = refusals(Flavour::TensorRt, folder.path());
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].to_string(), expected, "{name}");
    }
}

#[test]
fn what_cannot_build_runs_and_says_why_it_does_not_build() {
    const RTX: &str = "libtensorrt_rtx.so.1";
    const RTX_PARSER: &str = "libtensorrt_onnxparser_rtx.so.1";
    type Case = (
        Flavour,
        &'static [(&'static str, &'static str)],
        &'static str,
    );
    let cases: [Case; 5] = [
        (
            Flavour::TensorRt,
            &[("libnvinfer_lean.so.11", "fake_infer_lean.so")],
            "has no createInferBuilder_INTERNAL",
        ),
        (
            Flavour::TensorRt,
            &[("libnvinfer.so.11", "fake_infer_lean.so")],
            "has no createInferBuilder_INTERNAL",
        ),
        (
            Flavour::TensorRtRtx,
            &[(RTX, "fake_infer_10701.so")],
            "libtensorrt_onnxparser_rtx.so.1: not there",
        ),
        (
            Flavour::TensorRtRtx,
            &[
                (RTX, "fake_infer_10701.so"),
                (RTX_PARSER, "fake_parser_nothing.so"),
            ],
            "libtensorrt_onnxparser_rtx.so.1: has no getNvOnnxParserVersion",
        ),
        (
            Flavour::TensorRtRtx,
            &[
                (RTX, "fake_infer_10701.so"),
                (RTX_PARSER, "fake_infer_nothing.so"),
            ],
            "libtensorrt_onnxparser_rtx.so.1: has no getNvOnnxParserVersion",
        ),
    ];
    for (flavour, files, expected) in cases {
        let folder = tempfile::tempdir().expect("temporary folder");
        install(folder.path(), files);
        let search = SearchPath {
            explicit: Some(folder.path().to_owned()),
            roots: Vec::new(),
        };
        let library = TrtLibrary::load(flavour, &search).expect("it runs engines");
        let reason = library.cannot_build().expect("and builds none").to_string();
        assert!(reason.ends_with(expected), "{files:?}: {reason}");
        let refused = library.build_where_safe(&plain(b"model"), &unheard);
        let refused = refused.expect_err("it builds none").to_string();
        assert!(refused.ends_with(expected), "{files:?}: {refused}");
    }
}

#[test]
fn a_library_that_builds_outranks_one_that_only_runs() {
    let lean = tempfile::tempdir().expect("temporary folder");
    install(
        lean.path(),
        &[("libnvinfer_lean.so.11", "fake_infer_lean.so")],
    );
    let full = tempfile::tempdir().expect("temporary folder");
    install(
        full.path(),
        &[
            ("libnvinfer.so.11", "fake_infer_110400.so"),
            ("libnvonnxparser.so.11", "fake_parser_200.so"),
        ],
    );
    let search = SearchPath {
        explicit: None,
        roots: vec![lean.path().to_owned(), full.path().to_owned()],
    };
    let library = TrtLibrary::load(Flavour::TensorRt, &search).expect("both load");
    assert!(library.cannot_build().is_none());
}

#[test]
fn a_lean_library_of_a_wheel_is_found_and_says_what_it_runs() {
    let site_packages = tempfile::tempdir().expect("temporary folder");
    install(
        &site_packages.path().join("tensorrt_lean_libs"),
        &[("libnvinfer_lean.so.11", "fake_infer_lean.so")],
    );
    let search = SearchPath {
        explicit: None,
        roots: vec![site_packages.path().to_owned()],
    };
    let library = TrtLibrary::load(Flavour::TensorRt, &search).expect("it runs engines");
    assert_eq!(
        library.remarks(),
        ["runs only plans built with --version-compatible"]
    );
}

#[test]
fn a_builder_is_led_to_the_resources_beside_it() {
    const FULL: [(&str, &str); 2] = [
        ("libnvinfer.so.11", "fake_infer_110400.so"),
        ("libnvonnxparser.so.11", "fake_parser_200.so"),
    ];
    for resources in [false, true] {
        let folder = tempfile::tempdir().expect("temporary folder");
        install(folder.path(), &FULL);
        if resources {
            let name = "libnvinfer_builder_resource_sm86.so.11.4.0";
            fs::write(folder.path().join(name), "").expect("temporary file");
        }
        let search = SearchPath {
            explicit: Some(folder.path().to_owned()),
            roots: Vec::new(),
        };
        let library = TrtLibrary::load(Flavour::TensorRt, &search).expect("it builds");
        let said = library.remarks().join("; ");
        assert!(said.contains("has no plugins"), "{said}");
        assert_eq!(said.contains("builder_resource"), !resources, "{said}");
        let refused = library.build_where_safe(&plain(b"model"), &unheard);
        refused.expect_err("the fake gives no builder");
        // The same file again, so the same library: it counts who told it the folder it lies in.
        let again = DynamicLibrary::open(library.path()).expect("open already");
        let told = again.version(c"cvtrt_fake_led_to_own_folder");
        assert_eq!(told, Some(i32::from(resources)));
    }
}

#[test]
fn a_file_that_is_no_library_is_not_loadable() {
    let folder = tempfile::tempdir().expect("temporary folder");
    fs::write(folder.path().join("libtensorrt_rtx.so.1"), b"not ELF").expect("temporary file");
    let found = refusals(Flavour::TensorRtRtx, folder.path());
    assert!(matches!(found[..], [Refusal::NotLoadable(_)]), "{found:?}");
}

#[test]
fn the_best_root_wins_and_a_survey_tells_of_all() {
    let broken = tempfile::tempdir().expect("temporary folder");
    install(
        broken.path(),
        &[("libtensorrt_rtx.so.1", "fake_infer_10400.so")],
    );
    let site_packages = tempfile::tempdir().expect("temporary folder");
    install(
        &site_packages.path().join("tensorrt_rtx_libs"),
        &[
            ("libtensorrt_rtx.so.1", "fake_infer_10701.so"),
            ("libtensorrt_onnxparser_rtx.so.1", "fake_parser_200.so"),
        ],
    );
    let search = SearchPath {
        explicit: None,
        roots: vec![broken.path().to_owned(), site_packages.path().to_owned()],
    };
    let library = TrtLibrary::load(Flavour::TensorRtRtx, &search).expect("the second root works");
    assert_eq!(library.version().to_string(), "TensorRT-RTX 1.7.1");
    assert!(
        library
            .path()
            .starts_with(site_packages.path().canonicalize().expect("exists"))
    );
    let survey = TrtLibrary::survey(Flavour::TensorRtRtx, &search);
    let said: Vec<_> = survey
        .iter()
        .map(|found| (found.library.is_ok(), found.taken))
        .collect();
    assert_eq!(said, [(false, false), (true, true)]);
    let again = TrtLibrary::load(Flavour::TensorRtRtx, &search).expect("still there");
    assert!(std::ptr::eq(library, again), "one file is loaded once");
}

#[test]
fn an_explicit_folder_hides_the_others() {
    let good = tempfile::tempdir().expect("temporary folder");
    install(
        good.path(),
        &[
            ("libtensorrt_rtx.so.1", "fake_infer_10701.so"),
            ("libtensorrt_onnxparser_rtx.so.1", "fake_parser_200.so"),
        ],
    );
    let empty = tempfile::tempdir().expect("temporary folder");
    let search = SearchPath {
        explicit: Some(empty.path().to_owned()),
        roots: vec![good.path().to_owned()],
    };
    let error = TrtLibrary::load(Flavour::TensorRtRtx, &search).expect_err("the folder is empty");
    assert!(
        error
            .candidates
            .iter()
            .all(|candidate| candidate.path.starts_with(empty.path()))
    );
    let said = format!(
        "no TensorRT-RTX library can be used: none in {}",
        empty.path().display()
    );
    assert_eq!(error.to_string(), said);
    let gone = SearchPath {
        explicit: Some(empty.path().join("gone")),
        roots: Vec::new(),
    };
    let error = TrtLibrary::load(Flavour::TensorRtRtx, &gone).expect_err("there is no folder");
    assert!(
        error.to_string().ends_with("no folder looked in is there"),
        "{error}"
    );
    assert!(
        error
            .hint()
            .is_some_and(|hint| hint.contains("cvtrt setup"))
    );
}

#[test]
fn without_places_the_error_says_so() {
    let error = TrtLibrary::load(Flavour::TensorRt, &SearchPath::default()).expect_err("nowhere");
    assert_eq!(
        error.to_string(),
        "no TensorRT library can be used: no folder to look in was given"
    );
}
