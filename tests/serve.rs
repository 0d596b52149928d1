//! `cvtrt serve` and `cvtrt warmup` as they are run.
#![cfg(feature = "serve")]

use cvtrt::ids::BackendId;
use cvtrt::testkit::{backend_or_skip, runtime_dir};
use serde_json::{Value, json};
use std::io::{BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const BUNDLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/onnx/cosyvoice2-tiny");

/// A command in a folder of its own.
fn cvtrt(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cvtrt"));
    command
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .env("CVTRT_RUNTIME_DIR", runtime_dir());
    command
}

/// A running server, stopped by force if a test ends early.
struct Served {
    process: Child,
    url: String,
}

impl Served {
    fn start(folder: &Path) -> Self {
        let mut process = cvtrt(folder)
            .args([
                "serve",
                "--bundle",
                BUNDLE,
                "--port",
                "0",
                "--json",
                "--threads",
                "1",
            ])
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let stdout = BufReader::new(process.stdout.take().expect("piped"));
        let mut documents = serde_json::Deserializer::from_reader(stdout).into_iter::<Value>();
        let listening = documents
            .next()
            .expect("it says where it listens")
            .expect("JSON");
        let url = listening["url"].as_str().expect("an address").to_owned();
        Self { process, url }
    }

    fn speak(&self, seed: u64) -> Vec<u8> {
        let body = json!({
            "model": "default", "voice": "default", "input": "Good morning.",
            "response_format": "pcm", "seed": seed,
        });
        let mut answer = ureq::post(format!("{}/v1/audio/speech", self.url))
            .header("content-type", "application/json")
            .send(body.to_string())
            .expect("spoken");
        assert_eq!(answer.headers()["x-backend"], "ort-cpu");
        let mut pcm = Vec::new();
        answer
            .body_mut()
            .as_reader()
            .read_to_end(&mut pcm)
            .expect("read");
        pcm
    }

    /// The exit code after a SIGTERM.
    fn terminate(mut self) -> Option<i32> {
        let told = Command::new("kill")
            .args(["-TERM", &self.process.id().to_string()])
            .status();
        assert!(told.expect("kill runs").success());
        self.process.wait().expect("ends").code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
    }
}

#[test]
fn it_speaks_the_same_for_the_same_seed_and_stops_when_told() {
    let Some(_) = backend_or_skip(BackendId::OrtCpu, "serve speaks") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let served = Served::start(folder.path());
    let first = served.speak(1);
    assert!(first.len() > 1000);
    std::thread::scope(|scope| {
        let again: Vec<_> = (0..4).map(|_| scope.spawn(|| served.speak(1))).collect();
        let other = served.speak(2);
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
    assert_eq!(served.terminate(), Some(0));
}

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
