//! The built program as a user meets it: stdout, stderr, exit codes and the files it leaves behind.

/// Arguments of any kind of text as one list.
macro_rules! args {
    ($($one:expr),* $(,)?) => { Vec::from([$(std::ffi::OsString::from($one)),*]) };
}

mod build;
mod built;
mod calibrate;
mod completions;
mod config;
mod diagnose;
mod dry_run;
mod engines;
mod export;
mod for_runtime;
mod graphs;
mod inspect;
mod malformed;
mod odd_texts;
mod parity;
mod place;
mod profiles;
mod recording;
mod setup;
mod synth;
mod voices;
