//! What is said at the start, and of what cannot start.

use crate::place::{BUNDLE, Served, cvtrt};
use cvtrt::ids::BackendId;
use cvtrt::testkit::backend_or_skip;
use std::path::Path;

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
    let said = content["models"]["cosyvoice2-tiny"].to_string();
    assert!(
        said.contains("the least is ort-cuda: `llm` is served by ort-cpu"),
        "{said}"
    );
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
