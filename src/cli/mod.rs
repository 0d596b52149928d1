//! The command line: one file per command, arguments' structs, the printer.

mod build;
mod calibrate;
mod compare;
mod completions;
mod context;
mod diagnose;
mod engine;
mod engines;
mod export;
mod failure;
mod global;
mod graph;
mod inputs;
mod inspect;
mod listen;
mod model;
mod origin;
mod parity;
mod printer;
mod profiles;
mod progress;
mod rehearse;
mod run;
#[cfg(feature = "serve")]
mod serve;
mod setup;
mod synth;
mod values;
mod voices;
#[cfg(feature = "serve")]
mod warmup;
mod worker;

pub use failure::{Exit, Failure};

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use context::Context;
use global::Global;
use origin::Origin;
use std::ffi::OsString;
use std::process::ExitCode;

/// CosyVoice models to verified TensorRT engines, and speech from them.
#[derive(Debug, Parser)]
#[command(
    name = "cvtrt",
    bin_name = "cvtrt",
    version,
    max_term_width = 110,
    propagate_version = true
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install the run-time libraries into a project-local folder
    Setup(setup::Args),
    /// Compile every graph of a bundle into verified, cached engines
    Build(Box<build::Args>),
    /// Record how far a bundle's values reach, for half precision
    Calibrate(calibrate::Args),
    /// List, check and clean the engine cache
    Engines(engines::Args),
    /// Text to an audio file
    Synth(Box<synth::Args>),
    /// List, keep and remove voices of a bundle
    Voices(Box<voices::Args>),
    /// Answer requests for speech over HTTP
    #[cfg(feature = "serve")]
    Serve(Box<serve::Args>),
    /// Run every graph at its opt shapes, here or in a running server
    #[cfg(feature = "serve")]
    Warmup(warmup::Args),
    /// Check an upstream checkpoint and export it to a bundle
    Export(export::Args),
    /// Check drivers, libraries, bundles and engines, and name every fix
    Diagnose(diagnose::Args),
    /// List profiles, show one, or name the one for this machine
    Profiles(profiles::Args),
    /// Run one graph on given tensors
    Run(Box<run::Args>),
    /// Run one graph on several backends and compare what they give
    Compare(Box<compare::Args>),
    /// Replay recorded reference cases and judge every result
    Parity(parity::Args),
    /// Describe an ONNX file, a bundle, or an engine
    Inspect(inspect::Args),
    #[command(hide = true)]
    Worker(worker::Args),
    /// Print a shell's completion script
    Completions(completions::Args),
}

/// Runs the program: parses the arguments, runs the command, renders its error, and chooses the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let json = arguments.iter().any(|argument| argument == "--json");
    match parse(&arguments, json) {
        Ok(Parsed::Run(cli, context)) => run_command(&cli.command, &context),
        Ok(Parsed::Said(code)) => code,
        Err(failure) => {
            failure.render(json, printer::color_wanted(global::Color::Auto));
            failure.code()
        }
    }
}

enum Parsed {
    Run(Box<Cli>, Box<Context>),
    /// Help, version, or a usage error that is already on the terminal.
    Said(ExitCode),
}

fn parse(arguments: &[OsString], json: bool) -> Result<Parsed, Failure> {
    let mut origin = Origin::here()?;
    let command = origin.apply(Cli::command(), arguments)?;
    let matches = match command.try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => {
            let sources = origin.of_refused(&error, &Cli::command(), arguments);
            return said(&error, sources, json);
        }
    };
    let cli = Cli::from_arg_matches(&matches).map_err(Failure::usage)?;
    let context = Context::new(&cli.global, origin, matches);
    Ok(Parsed::Run(Box::new(cli), Box::new(context)))
}

fn said(error: &clap::Error, sources: Vec<String>, json: bool) -> Result<Parsed, Failure> {
    let help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    if json && !help {
        return Err(Failure::message(Exit::Usage, first_paragraph(error)).because(sources));
    }
    match error.print() {
        Err(source) if source.kind() != std::io::ErrorKind::BrokenPipe => {
            return Err(Failure::new(Exit::Failed, source));
        }
        _ if help => return Ok(Parsed::Said(ExitCode::SUCCESS)),
        _ => {}
    }
    for source in sources {
        printer::say(format_args!("cause: {source}"));
    }
    Ok(Parsed::Said(Exit::Usage.into()))
}

/// The error itself; usage and tips follow it.
fn first_paragraph(error: &clap::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    text.split("\n\n").next().unwrap_or(text).trim().to_owned()
}

fn run_command(command: &Command, context: &Context) -> ExitCode {
    dispatch(command, context).unwrap_or_else(|failure| {
        let failure = failure.naming_sources(&context.flag_origins());
        failure.render(context.json(), context.color());
        failure.code()
    })
}

fn dispatch(command: &Command, context: &Context) -> Result<ExitCode, Failure> {
    let exit = match command {
        Command::Setup(args) => setup::run(args, context),
        Command::Build(args) => build::run(args, context),
        Command::Calibrate(args) => calibrate::run(args, context),
        Command::Engines(args) => engines::run(args, context),
        Command::Synth(args) => synth::run(args, context),
        Command::Voices(args) => voices::run(args, context),
        #[cfg(feature = "serve")]
        Command::Serve(args) => serve::run(args, context),
        #[cfg(feature = "serve")]
        Command::Warmup(args) => warmup::run(args, context),
        Command::Profiles(args) => profiles::run(args, context),
        Command::Run(args) => run::run(args, context),
        Command::Compare(args) => compare::run(args, context),
        Command::Parity(args) => parity::run(args, context),
        Command::Inspect(args) => inspect::run(args, context),
        Command::Diagnose(args) => diagnose::run(args, context),
        Command::Export(args) => export::run(args, context),
        Command::Completions(args) => completions::run(args, context),
        Command::Worker(args) => return Ok(worker::run(args, context)),
    };
    exit.map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_consistent() {
        let sourced = crate::config::with_sources(Cli::command(), &[], None);
        sourced.expect("no file").command.debug_assert();
    }
}
