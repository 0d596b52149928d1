//! Routers over a fake speaker; sockets only where a connection is what is tested.

mod admin;
mod clients;
mod cosyvoice;
mod openai;
mod recordings;
mod socket;

use super::{Model, Server, Settings};
use crate::bundle::Bundle;
use crate::deploy::{Falls, Served};
use crate::frontend::text::TextFrontend;
use crate::ids::{BackendId, GraphId, Precision};
use crate::pipeline::{Speech, SpeechError, SpeechRequest};
use crate::scheduler::fake::{scheduler, speech};
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, mpsc};
use std::time::Duration;
use tower::ServiceExt as _;

const BUNDLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/onnx/cosyvoice2-tiny");

/// A server whose fake says a hundred samples per text id, each of the seed's value.
fn server() -> Server {
    server_saying(20, |segment, _| match segment.seed {
        13 => panic!("an unlucky seed"),
        14 => Err(SpeechError::NoSpeech),
        _ => Ok(speech(segment)),
    })
}

fn server_saying(
    places: usize,
    say: impl Fn(&SpeechRequest, &dyn Fn() -> bool) -> Result<Speech, SpeechError>
    + Send
    + Sync
    + 'static,
) -> Server {
    Server::new(vec![model(places, say)], settings())
}

fn settings() -> Settings {
    Settings {
        body_bytes: 20_000,
        upload_bytes: 200_000,
        uploads: 2,
        text_chars: 500,
        ..Settings::default()
    }
}

fn model(
    places: usize,
    say: impl Fn(&SpeechRequest, &dyn Fn() -> bool) -> Result<Speech, SpeechError>
    + Send
    + Sync
    + 'static,
) -> Model {
    model_of(Path::new(BUNDLE), places, say)
}

fn model_of(
    bundle: &Path,
    places: usize,
    say: impl Fn(&SpeechRequest, &dyn Fn() -> bool) -> Result<Speech, SpeechError>
    + Send
    + Sync
    + 'static,
) -> Model {
    let bundle = Bundle::open(bundle).expect("the bundle opens");
    let served = vec![Served {
        graph: GraphId::Llm,
        backend: BackendId::OrtCpu,
        precision: Precision::Fp32,
        wanted: Precision::Fp32,
        file: "llm.onnx".into(),
        from_cache: false,
        no_engine: Some("not built yet".to_owned()),
        passed_over: vec![],
        falls: Falls::default(),
        notes: vec![],
        at_hand: BTreeMap::default(),
    }];
    Model::new(
        &bundle,
        TextFrontend::plain(),
        served,
        scheduler(places, say),
    )
    .expect("a bundle to serve")
}

/// A server that says when it starts to speak, and then waits for a word or for the client to go, which it says, too.
struct Gated {
    server: Server,
    started: mpsc::Receiver<()>,
    stopped: mpsc::Receiver<()>,
    go: mpsc::Sender<()>,
}

impl Gated {
    fn new(places: usize) -> Self {
        let (begin, started) = mpsc::channel();
        let (stop, stopped) = mpsc::channel();
        let (go, gate) = mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let server = server_saying(places, move |segment, stops| {
            begin.send(()).expect("the test listens");
            let gate = gate.lock().expect("one speaker");
            loop {
                match gate.recv_timeout(Duration::from_millis(1)) {
                    Ok(()) => return Ok(speech(segment)),
                    Err(mpsc::RecvTimeoutError::Timeout) if !stops() => {}
                    Err(_) => {
                        // The test may be over.
                        let _ = stop.send(());
                        return Err(SpeechError::Stopped);
                    }
                }
            }
        });
        Self {
            server,
            started,
            stopped,
            go,
        }
    }
}

/// A response in full.
#[derive(Debug)]
struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answered {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("ASCII"))
    }

    fn number(&self, header: &str) -> f64 {
        self.header(header)
            .parse()
            .unwrap_or_else(|_| panic!("{header} of {:?}", self.headers))
    }
}

async fn ask(server: &Server, request: Request<Body>) -> Answered {
    let response = server
        .router()
        .oneshot(request)
        .await
        .expect("a router never fails");
    let (head, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX)
        .await
        .expect("a whole body")
        .to_vec();
    Answered {
        status: head.status,
        headers: head.headers,
        body,
    }
}

async fn get(server: &Server, path: &str) -> Answered {
    ask(
        server,
        Request::get(path).body(Body::empty()).expect("a request"),
    )
    .await
}

fn post(path: &str, content_type: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::post(path).header("content-type", content_type);
    request.body(body.into()).expect("a request")
}

fn speech_request(body: &Value) -> Request<Body> {
    post("/v1/audio/speech", "application/json", body.to_string())
}

/// Samples of little-endian 16-bit PCM.
fn samples(pcm: &[u8]) -> Vec<i16> {
    pcm.as_chunks()
        .0
        .iter()
        .copied()
        .map(i16::from_le_bytes)
        .collect()
}
