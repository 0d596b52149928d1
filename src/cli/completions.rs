//! `cvtrt completions`.

use super::context::Context;
use super::failure::{Exit, Failure};
use super::printer::Printer;
use clap::CommandFactory;
use clap_complete::Shell;

/// Print a shell's completion script
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &Args, _context: &Context) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "cvtrt", &mut script);
    Printer::write(&script)?;
    Ok(Exit::Done)
}
