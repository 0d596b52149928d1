//! Requests beside each other, given up, and in hand when the server is to stop.

use crate::place::{LONG_TEXT, Served, cvtrt};
use cvtrt::ids::BackendId;
use cvtrt::testkit::backend_or_skip;
use serde_json::Value;
use std::io::Read as _;

/// Takes long enough to be caught, and far less than a server waits when it is to stop.
const TEXT: &str = "Good morning, everybody on the platform.";

#[test]
fn it_speaks_the_same_for_the_same_seed_and_stops_when_told() {
    let Some(_) = backend_or_skip(BackendId::OrtCpu, "serve speaks") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let mut served = Served::start(folder.path());
    let first = served.speak("Good morning.", 1);
    assert!(first.len() > 1000);
    std::thread::scope(|scope| {
        let again: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| served.speak("Good morning.", 1)))
            .collect();
        let other = served.speak("Good morning.", 2);
        assert!(first != other);
        for again in again {
            assert!(
                first == again.join().expect("spoken"),
                "the same beside others"
            );
        }
    });
    let warm = cvtrt(folder.path())
        .args(["warmup", "--url", &served.url, "--json"])
        .output()
        .expect("runs");
    assert!(
        warm.status.success(),
        "{}",
        String::from_utf8_lossy(&warm.stderr)
    );
    let runs: Value = serde_json::from_slice(&warm.stdout).expect("JSON");
    let graphs = runs["cosyvoice2-tiny"].as_array().expect("runs").iter();
    assert!(
        graphs
            .clone()
            .any(|run| run["graph"] == "llm" && run["steady_ms"].as_f64() > Some(0.0))
    );
    assert!(graphs.clone().any(|run| run["graph"] == "hift_decode"));
    served.send_term();
    assert_eq!(served.exit_code(), Some(0));
}

#[test]
fn a_client_that_goes_frees_its_place_and_leaves_no_trace() {
    let Some(_) = backend_or_skip(BackendId::OrtCpu, "serve lets go of requests") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let served = Served::start(folder.path());
    let alone = served.speak("Good morning.", 1);
    for seed in 0..3 {
        let socket = served.begin(LONG_TEXT, seed);
        served.until_running(1);
        drop(socket);
        assert!(alone == served.speak("Good morning.", 1));
        served.until_running(0);
    }
}

#[test]
fn it_stops_when_told_as_soon_as_it_listens() {
    let Some(_) = backend_or_skip(BackendId::OrtCpu, "serve stops while it warms up") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let mut served = Served::start(folder.path());
    // It may be warm by now; that a warm-up is given up is the scheduler's own test.
    served.send_term();
    assert_eq!(served.exit_code(), Some(0));
}

#[test]
fn a_request_in_hand_is_answered_to_its_end_after_sigterm() {
    let Some(_) = backend_or_skip(BackendId::OrtCpu, "serve drains") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let mut served = Served::start(folder.path());
    let whole = |mut socket: std::net::TcpStream| {
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).expect("read");
        answer
    };
    let before = whole(served.begin(TEXT, 5));
    let socket = served.begin(TEXT, 5);
    served.until_running(1);
    served.send_term();
    let after = whole(socket);
    assert_eq!(served.exit_code(), Some(0));
    let body_of = |answer: &[u8]| {
        let at = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        answer[at.expect("a head") + 4..].to_vec()
    };
    assert!(after.starts_with(b"HTTP/1.1 200") && after.ends_with(b"0\r\n\r\n"));
    assert!(body_of(&before) == body_of(&after));
}
