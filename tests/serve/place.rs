//! A running server, in a folder of its own.

use cvtrt::testkit::runtime_dir;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{BufReader, Read, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) const BUNDLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/onnx/cosyvoice2-tiny");
/// Far more than a second of work for a small model on a busy machine.
pub(crate) const LONG_TEXT: &str = "The morning train leaves at half past seven, and nobody on the platform says a word \
    until the doors have closed behind the last of us and the lamps of the village are out of sight.";

/// A command in a folder of its own.
pub(crate) fn cvtrt(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cvtrt"));
    command
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .env("CVTRT_RUNTIME_DIR", runtime_dir());
    command
}

/// A running server, stopped by force if a test ends early.
pub(crate) struct Served {
    process: Child,
    pub(crate) url: String,
    /// What it said of itself.
    pub(crate) said: Value,
    log: PathBuf,
}

impl Served {
    /// A server of the shipped bundle.
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_with(folder, Path::new(BUNDLE), &[])
    }

    /// A server of a bundle, with more flags.
    pub(crate) fn start_with(folder: &Path, bundle: &Path, flags: &[&str]) -> Self {
        let log = folder.join("log");
        let mut process = cvtrt(folder)
            .args([
                "serve",
                "--port",
                "0",
                "--json",
                "--threads",
                "1",
                "--bundle",
            ])
            .arg(bundle)
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(File::create(&log).expect("a new file"))
            .spawn()
            .expect("starts");
        let stdout = BufReader::new(process.stdout.take().expect("piped"));
        let mut documents = serde_json::Deserializer::from_reader(stdout).into_iter::<Value>();
        let said = documents.next().unwrap_or_else(|| {
            let log = fs::read_to_string(&log).expect("made above");
            panic!("it does not say where it listens:\n{log}")
        });
        let said = said.expect("JSON");
        let url = said["url"].as_str().expect("an address").to_owned();
        Self {
            process,
            url,
            said,
            log,
        }
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("made at the start")
    }

    /// Samples of a text, in the first voice.
    pub(crate) fn speak(&self, text: &str, seed: u64) -> Vec<u8> {
        self.spoken(&json!({ "input": text, "seed": seed }))
    }

    /// Samples, as asked for.
    pub(crate) fn spoken(&self, body: &Value) -> Vec<u8> {
        let mut body = body.clone();
        body["response_format"] = json!("pcm");
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

    /// Status and content of a path.
    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        let mut answer = agent
            .get(format!("{}{path}", self.url))
            .call()
            .expect("answered");
        let text = answer.body_mut().read_to_string().expect("text");
        let content = serde_json::from_str(&text).expect("JSON");
        (answer.status().as_u16(), content)
    }

    /// Asks for a text to be streamed, and gives the connection.
    pub(crate) fn begin(&self, text: &str, seed: u64) -> TcpStream {
        let body = json!({ "input": text, "seed": seed, "response_format": "pcm", "stream": true });
        let body = body.to_string();
        let address = self.url.strip_prefix("http://").expect("plain HTTP");
        let mut socket = TcpStream::connect(address).expect("listening");
        let head = format!(
            "POST /v1/audio/speech HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        socket.write_all(head.as_bytes()).expect("sent");
        socket.write_all(body.as_bytes()).expect("sent");
        socket
    }

    /// Asks until as many requests are being spoken.
    pub(crate) fn until_running(&self, expected: u64) {
        let end = Instant::now() + Duration::from_mins(1);
        while Instant::now() < end {
            let (_, info) = self.get("/performance_info");
            if info["models"][0]["load"]["running"] == expected {
                return;
            }
        }
        panic!("there are never {expected} requests running");
    }

    pub(crate) fn send_term(&self) {
        let told = Command::new("kill")
            .args(["-TERM", &self.process.id().to_string()])
            .status();
        assert!(told.expect("kill runs").success());
    }

    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        self.process.wait().expect("ends").code()
    }
}

impl Drop for Served {
    #[expect(clippy::print_stderr, reason = "read by whoever runs the test")]
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}
