//! Entry point: parse, run, render the error, choose the exit code; nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    cvtrt::cli::run(std::env::args_os())
}
