//! Connections: taken as they come, given up when a client is too slow, ended in order.

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutStream;

/// How long a server waits for its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For the next request's head, from the first moment the connection is free for one.
    pub head: Duration,
    /// For a request's whole body.
    pub body: Duration,
    /// For a client to take a piece of the answer.
    pub unread: Duration,
    /// For the requests in hand, once the server is to stop.
    pub drain: Duration,
}

/// Largest head of a request.
const MAX_HEAD_BYTES: usize = 64 << 10;

impl Default for Patience {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(30),
            body: Duration::from_mins(1),
            unread: Duration::from_secs(30),
            drain: Duration::from_secs(30),
        }
    }
}

/// Answers requests until `stop`; then takes no new connection, and lets the requests in hand end.
pub(super) async fn serve(
    mut listener: TcpListener,
    router: Router,
    patience: Patience,
    stop: impl Future<Output = ()>,
) {
    let protocol = protocol(patience);
    let graceful = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let socket = tokio::select! {
            (socket, _) = Listener::accept(&mut listener) => socket,
            () = &mut stop => break,
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = protocol.serve_connection(watched(socket, patience), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke off");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(patience.drain, graceful.shutdown())
        .await
        .is_err()
    {
        let drain_s = patience.drain.as_secs();
        tracing::warn!(drain_s, "requests in hand are given up");
    }
}

/// A client that closes its half of a connection counts as gone: nothing tells it from one that hung up.
fn protocol(patience: Patience) -> http1::Builder {
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head)
        .max_buf_size(MAX_HEAD_BYTES)
        .half_close(false);
    protocol
}

/// The socket, broken off when its client takes nothing of an answer for too long.
fn watched(
    socket: TcpStream,
    patience: Patience,
) -> TokioIo<std::pin::Pin<Box<TimeoutStream<TcpStream>>>> {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "small pieces of an answer may be held back");
    }
    let mut socket = TimeoutStream::new(socket);
    socket.set_write_timeout(Some(patience.unread));
    TokioIo::new(Box::pin(socket))
}
