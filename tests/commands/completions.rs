//! `cvtrt completions`.

use crate::place::Place;

#[test]
fn every_shell_gets_a_script_that_knows_the_commands() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = place.cvtrt(&["completions", shell]).exits(0);
        assert_eq!(run.stderr, "", "{shell}");
        run.says(&["cvtrt", "build", "synth", "max-workspace"]);
    }
    assert!(place.files().is_empty());
}

#[test]
fn bash_takes_its_script() {
    let place = Place::new();
    let script = place.cvtrt(&["completions", "bash"]).exits(0).stdout;
    let path = place.write("cvtrt.bash", script);
    let status = std::process::Command::new("bash")
        .arg("-n")
        .arg(path)
        .status();
    assert!(status.expect("bash runs").success());
}

#[test]
fn help_names_every_command_and_flag_of_the_contract() {
    let place = Place::new();
    let run = place.cvtrt(&["--help"]).exits(0);
    let text = run.text();
    for command in [
        "setup",
        "build",
        "engines",
        "inspect",
        "synth",
        "export",
        "diagnose",
        "completions",
    ] {
        assert!(text.contains(&format!("  {command}")), "{command}: {text}");
    }
    assert!(
        !text.contains("worker"),
        "the worker is for build alone: {text}"
    );
    place.cvtrt(&["build", "--help"]).exits(0).says(&[
        "--bundle",
        "--model-dir",
        "--fp16",
        "--bf16",
        "--fp32",
        "--no-tf32",
        "--concurrency",
        "--device",
        "--profile",
        "--backend",
        "--graphs",
        "--force",
        "--no-verify",
        "--timing-cache",
        "--max-workspace",
        "--optimization-level",
        "--version-compatible",
        "--hardware-compatible",
        "--target",
        "--dry-run",
    ]);
    place
        .cvtrt(&["--version"])
        .exits(0)
        .says(&[env!("CARGO_PKG_VERSION")]);
}
