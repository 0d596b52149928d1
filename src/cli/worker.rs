//! `cvtrt worker`: the disposable process that compiles and verifies; started by `build`, not by people.

use super::context::Context;
use super::model;
use crate::backend::Backends;
use crate::build::worker;
use std::path::PathBuf;
use std::process::ExitCode;

/// Compile or verify one graph; started by `build`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder with an ONNX Runtime, where the run-time folder has none
    #[arg(long, value_name = "DIR")]
    reference_dir: Option<PathBuf>,
}

pub(super) fn run(args: &Args, context: &Context) -> ExitCode {
    let settings = model::settings(context.runtime_dir(), args.reference_dir.as_deref());
    worker::run(&Backends::open(&settings))
}
