//! `cvtrt worker`: the disposable process that compiles and verifies; started by `build`, not by people.

use super::context::Context;
use super::model;
use crate::build::worker;
use std::process::ExitCode;

pub(super) fn run(context: &Context) -> ExitCode {
    worker::run(&model::backends(context))
}
