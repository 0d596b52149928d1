//! Clients that are slow, rude or gone.

use super::socket::{Running, connect, heard, rest_of, start};
use super::*;
use crate::server::Patience;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

/// Samples that are more than the buffers of two sockets hold.
const LONG: usize = 8_000_000;

/// A server that waits a short while only, for the one thing a test is about.
async fn impatient(edit: impl Fn(&mut Patience, Duration)) -> Running {
    let mut settings = settings();
    edit(&mut settings.patience, Duration::from_millis(200));
    let long = |segment: &SpeechRequest| Speech {
        pcm: vec![0.5; LONG],
        ..speech(segment)
    };
    let model = model(2, move |segment, _| Ok(long(segment)));
    start(Server::new(vec![model], settings)).await
}

fn send(running: &Running, bytes: &str) -> TcpStream {
    let mut socket = TcpStream::connect(running.address).expect("listening");
    socket.write_all(bytes.as_bytes()).expect("sent");
    socket
}

async fn end(running: Running) {
    running.stop.send(()).expect("serving");
    running.ended.await.expect("no panic").expect("stopped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_does_not_come_ends_the_connection() {
    let running = impatient(|patience, short| patience.head = short).await;
    for begun in ["", "GET /healthz HTTP/1.1\r\nhost: te"] {
        let answer = rest_of(send(&running, begun)).await;
        assert!(!answer.contains("200"), "{answer}");
    }
    let idle = rest_of(send(
        &running,
        "GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n",
    ))
    .await;
    assert!(idle.starts_with("HTTP/1.1 200"), "{idle}");
    end(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_come_is_answered() {
    let running = impatient(|patience, short| patience.body = short).await;
    for (path, content_type) in [
        ("/v1/audio/speech", "application/json"),
        ("/inference_sft", "application/x-www-form-urlencoded"),
        ("/inference_sft", "multipart/form-data; boundary=b"),
    ] {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: test\r\ncontent-type: {content_type}\r\ncontent-length: 100\r\n\r\n--b"
        );
        let answer = rest_of(send(&running, &request)).await;
        assert!(answer.starts_with("HTTP/1.1 408"), "{path}: {answer}");
        assert!(answer.contains("did not arrive"), "{path}: {answer}");
    }
    end(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_not_taken_is_broken_off() {
    for stream in [false, true] {
        let running = impatient(|patience, short| patience.unread = short).await;
        let mut socket = connect(&running, stream);
        let mut head = [0; 12];
        socket.read_exact(&mut head).expect("a head");
        assert_eq!(&head, b"HTTP/1.1 200");
        running.stop.send(()).expect("serving");
        let ended = tokio::time::timeout(Duration::from_secs(20), running.ended).await;
        ended
            .expect("well before the drain's own end")
            .expect("no panic")
            .expect("stopped");
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest);
        assert!(rest.len() < 2 * LONG, "{} bytes came", rest.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_connection_counts_as_none() {
    let Gated {
        server,
        started,
        stopped,
        go: _gate,
    } = Gated::new(1);
    let running = start(server).await;
    let socket = connect(&running, false);
    heard(started).await;
    socket.shutdown(Shutdown::Write).expect("half closed");
    heard(stopped).await;
    end(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_are_too_large_or_no_heads_are_refused() {
    let running = start(server()).await;
    let many = "x: y\r\n".repeat(10_000);
    let long = "y".repeat(200_000);
    for (head, status) in [
        (format!("GET /healthz HTTP/1.1\r\n{many}\r\n"), "431"),
        (format!("GET /healthz HTTP/1.1\r\nx: {long}\r\n\r\n"), "431"),
        ("\u{0}\u{1}nonsense\r\n\r\n".to_owned(), "400"),
        ("GET /healthz HTTP/3.7\r\n\r\n".to_owned(), "400"),
    ] {
        let mut socket = TcpStream::connect(running.address).expect("listening");
        // The server may have answered and closed before all of it is sent.
        let _ = socket.write_all(head.as_bytes());
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).expect("an answer");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(answer, format!("HTTP/1.1 {status}"), "{head:.40}");
    }
    end(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_that_break_off_leave_the_server_as_it_was() {
    let running = start(server()).await;
    for _ in 0..50 {
        let body = "content-length: 19000\r\n\r\n--b\r\ncontent-disposition: form-data; name=\"tts_text\"\r\n\r\nhalf of";
        drop(send(
            &running,
            &format!(
                "POST /inference_sft HTTP/1.1\r\nhost: test\r\ncontent-type: multipart/form-data; boundary=b\r\n{body}"
            ),
        ));
    }
    let answer = rest_of(connect(&running, false)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    end(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_hold_up_neither_a_request_nor_the_end() {
    let running = start(server()).await;
    let idle: Vec<TcpStream> = (0..200).map(|_| send(&running, "")).collect();
    let answer = rest_of(connect(&running, false)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    end(running).await;
    drop(idle);
}
