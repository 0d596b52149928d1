//! Texts read and recordings heard: what someone wants said, and with which voice, becomes requests for the pipeline.
//!
//! A [`Wish`] is what a command line or a client gave; a [`Reader`] turns it into requests. A [`Listener`] makes voices
//! and speech tokens of recordings, so that a wish can bring its own voice.

mod error;
mod listener;
mod reader;
mod wish;

#[cfg(test)]
mod tests;

pub use error::{ListenError, ReadError};
pub use listener::Listener;
pub use reader::{Reader, ReaderError};
pub use wish::{DEFAULT_VOICE, Wish, WishedVoice};
