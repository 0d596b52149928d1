//! A response body that is written while it is read.

use axum::body::Body;
use bytes::Bytes;
use http_body::Frame;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// A frame of a body, or why there are no more.
pub(super) type BodyFrame = Result<Frame<Bytes>, Broken>;

/// The body ends before its end; the client sees a broken connection, never a complete answer.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off: {0}")]
pub(super) struct Broken(pub(super) String);

/// Frames a body may be ahead of its reader; the writer waits then.
const AHEAD: usize = 4;

/// A body and the end it is written at. The sender notices when the client goes.
pub(super) fn channel() -> (mpsc::Sender<BodyFrame>, Body) {
    let (sender, frames) = mpsc::channel(AHEAD);
    (sender, Body::new(Frames(frames)))
}

#[derive(Debug)]
struct Frames(mpsc::Receiver<BodyFrame>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
        self.0.poll_recv(context)
    }
}
