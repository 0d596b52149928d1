//! `cvtrt serve` and `cvtrt warmup` as they are run.
#![cfg(feature = "serve")]

mod place;
mod speaking;
mod starting;
mod voices;
