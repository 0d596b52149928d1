//! A skip is heard, counted, and forbidden where a machine was promised to have everything.

use std::fs;
use std::process::{Command, Output};

/// Runs [`skips_when_told`] in a process of its own with these variables.
fn run_skipping(variables: &[(&str, &str)]) -> Output {
    Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "skips_when_told"])
        .env_clear()
        .env("TEST_SKIPS", "1")
        .envs(variables.iter().copied())
        .output()
        .expect("starts")
}

/// The inner half: does nothing unless [`run_skipping`] started it.
#[test]
fn skips_when_told() {
    if std::env::var_os("TEST_SKIPS").is_some() {
        cvtrt::testkit::skip("a test", "no device", "CVTRT_REQUIRE_GPU");
    }
}

#[test]
fn a_skip_passes_the_capture_and_is_counted() {
    let folder = tempfile::tempdir().expect("temp dir");
    let tally = folder.path().join("tally");
    let path = tally.to_str().expect("UTF-8");
    for _ in 0..2 {
        let output = run_skipping(&[("CVTRT_SKIP_TALLY", path)]);
        assert!(output.status.success());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("SKIP a test: no device"), "{stderr}");
    }
    let lines = fs::read_to_string(&tally).expect("tally");
    assert_eq!(lines, "SKIP a test: no device\n".repeat(2));
}

#[test]
fn a_skip_that_is_forbidden_fails() {
    let output = run_skipping(&[("CVTRT_REQUIRE_GPU", "1")]);
    assert!(!output.status.success());
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("CVTRT_REQUIRE_GPU=1 forbids"), "{stdout}");
}
