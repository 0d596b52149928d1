use super::*;
use crate::scheduler::SpeakerError;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(super) struct Running {
    pub(super) address: std::net::SocketAddr,
    pub(super) stop: oneshot::Sender<()>,
    pub(super) ended: JoinHandle<Result<(), Arc<SpeakerError>>>,
}

pub(super) async fn start(server: Server) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (stop, stopped) = oneshot::channel();
    let ended = tokio::spawn(server.serve(listener, async {
        let _ = stopped.await;
    }));
    Running {
        address,
        stop,
        ended,
    }
}

pub(super) fn connect(running: &Running, stream: bool) -> TcpStream {
    let body = format!(
        "{{\"input\": \"Hello.\", \"response_format\": \"pcm\", \"stream\": {stream}, \"seed\": 7}}"
    );
    let request = format!(
        "POST /v1/audio/speech HTTP/1.1\r\nhost: test\r\nte: trailers\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut socket = TcpStream::connect(running.address).expect("listening");
    socket.write_all(request.as_bytes()).expect("sent");
    socket
}

pub(super) async fn rest_of(mut socket: TcpStream) -> String {
    let reading = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).expect("read");
        String::from_utf8_lossy(&bytes).into_owned()
    });
    reading.await.expect("no panic")
}

/// Waits for a blocking channel where it holds up no socket.
pub(super) async fn heard(events: mpsc::Receiver<()>) -> mpsc::Receiver<()> {
    let waiting = tokio::task::spawn_blocking(move || {
        events
            .recv_timeout(Duration::from_mins(1))
            .expect("it happens");
        events
    });
    waiting.await.expect("no panic")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_chunked_and_ends_with_its_figures() {
    let running = start(server()).await;
    let text = rest_of(connect(&running, true)).await.to_ascii_lowercase();
    assert!(text.starts_with("http/1.1 200"), "{text}");
    assert!(text.contains("transfer-encoding: chunked"), "{text}");
    let (_, trailers) = text.rsplit_once("\r\n0\r\n").expect("a last chunk");
    assert!(
        trailers.contains("x-rtf: ") && trailers.contains("x-audio-duration: "),
        "{trailers}"
    );
    running.stop.send(()).expect("serving");
    running.ended.await.expect("no panic").expect("stopped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_hangs_up_stops_the_lane() {
    for stream in [false, true] {
        let Gated {
            server,
            started,
            stopped,
            go: _gate,
        } = Gated::new(1);
        let running = start(server).await;
        let socket = connect(&running, stream);
        heard(started).await;
        drop(socket);
        heard(stopped).await;
        running.stop.send(()).expect("serving");
        running.ended.await.expect("no panic").expect("stopped");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_the_request_in_hand_end_and_takes_no_other() {
    let Gated {
        server,
        started,
        stopped: _stopped,
        go,
    } = Gated::new(4);
    let closed = server.clone();
    let running = start(server).await;
    let socket = connect(&running, false);
    heard(started).await;
    running.stop.send(()).expect("serving");
    let refused = loop {
        // The signal is on its way to the scheduler; a request admitted before it waits behind the gate and is dropped.
        let body = serde_json::json!({ "input": "a" });
        let asked = tokio::time::timeout(
            Duration::from_millis(20),
            ask(&closed, speech_request(&body)),
        );
        if let Ok(answer) = asked.await {
            break answer;
        }
    };
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    go.send(()).expect("speaks");
    let text = rest_of(socket).await;
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    running.ended.await.expect("no panic").expect("stopped");
}
