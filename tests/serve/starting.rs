//! What is said at the start, and of what cannot start.

use crate::place::{BUNDLE, Served, cvtrt};
use cvtrt::ids::BackendId;
use cvtrt::testkit::backend_or_skip;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

#[test]
fn a_warm_up_here_runs_every_graph_of_the_bundle() {
    let Some(_) = backend_or_skip(BackendId::OrtCpu, "warmup runs every graph") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let warm = cvtrt(folder.path())
        .args(["warmup", "--bundle", BUNDLE])
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&warm.stdout);
    assert!(
        warm.status.success(),
        "{}",
        String::from_utf8_lossy(&warm.stderr)
    );
    for graph in [
        "llm",
        "flow_encoder",
        "flow_estimator",
        "hift_f0",
        "hift_decode",
        "speech_tokenizer",
        "campplus",
    ] {
        assert!(text.contains(graph), "{graph} is not in\n{text}");
    }
}

#[test]
fn a_port_that_is_taken_is_said_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = holder.local_addr().expect("bound").port().to_string();
    let refused = cvtrt(folder.path())
        .args(["serve", "--bundle", BUNDLE, "--port", &port])
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        said.contains(&format!("cannot listen at 127.0.0.1:{port}")) && said.contains("--port"),
        "{said}"
    );
}

#[test]
fn a_server_that_is_not_there_is_said_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", gone.local_addr().expect("bound"));
    drop(gone);
    let refused = cvtrt(folder.path())
        .args(["warmup", "--url", &url])
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        said.contains(&format!("cannot warm up {url}/warmup_trt")),
        "{said}"
    );
}

#[test]
fn the_log_says_which_model_and_graph_a_line_is_of() {
    let Some(_) = backend_or_skip(BackendId::OrtCpu, "serve logs its warm-up") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let served = Served::start_with(folder.path(), Path::new(BUNDLE), &["-v"]);
    let warm = cvtrt(folder.path())
        .args(["warmup", "--url", &served.url])
        .output();
    assert!(warm.expect("runs").status.success());
    let log = served.log();
    for graph in ["llm", "flow_estimator", "campplus"] {
        let whose = format!("lane{{model=\"cosyvoice2-tiny\"}}:graph{{id={graph}}}:");
        let of_graph = |line: &&str| line.contains(&whose);
        let line = log.lines().find(of_graph);
        assert!(
            line.is_some_and(|line| line.contains("warm shapes=")),
            "{graph}:\n{log}"
        );
    }
}

#[test]
fn a_server_below_its_floor_is_alive_and_not_ready() {
    let Some(_) = backend_or_skip(BackendId::OrtCpu, "serve has a floor") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let flags = ["--profile", "cpu", "--min-tier", "ort-cuda"];
    let served = Served::start_with(folder.path(), Path::new(BUNDLE), &flags);
    assert_eq!(served.get("/healthz").0, 200);
    let (status, content) = served.get("/readyz");
    assert_eq!(status, 503);
    let said = content["models"]["cosyvoice2-tiny"].as_str().expect("why");
    assert!(
        said.contains("the least is ort-cuda: every graph is served by ort-cpu in fp32"),
        "{said}"
    );
    assert_eq!(
        content["below_floor"]["cosyvoice2-tiny"][0]["graph"], "llm",
        "{content}"
    );
    assert_eq!(served.said["below_floor"]["cosyvoice2-tiny"], said);
}

#[test]
fn a_server_below_its_floor_says_so_in_one_short_line() {
    let Some(_) = backend_or_skip(BackendId::OrtCpu, "serve says what it is") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let mut process = cvtrt(folder.path())
        .args(["serve", "--port", "0", "--threads", "1", "--profile"])
        .args(["cpu", "--min-tier", "trt-fp16", "--bundle", BUNDLE])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut line = String::new();
    let mut stdout = BufReader::new(process.stdout.take().expect("piped"));
    stdout.read_line(&mut line).expect("it says where it is");
    process.kill().expect("still up");
    let stderr = process.wait_with_output().expect("ended").stderr;
    assert!(
        line.contains("is up and not ready to speak cosyvoice2-tiny: the least is trt-fp16")
            && line.contains("--min-tier ort-cpu ")
            && line.chars().count() < 400,
        "{line}"
    );
    assert_eq!(String::from_utf8_lossy(&stderr), "");
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    for flags in [
        ["--tier", "ort-cpu-fp32", "--fallback"].as_slice(),
        &["--tier", "ort-cpu-fp32", "--auto"],
        &["--auto", "--fallback"],
        &["--min-tier", "fast"],
    ] {
        let refused = cvtrt(folder.path())
            .args(["serve", "--bundle", BUNDLE, "--port", "0"])
            .args(flags)
            .output()
            .expect("runs");
        assert_eq!(refused.status.code(), Some(2), "{flags:?}");
    }
}
