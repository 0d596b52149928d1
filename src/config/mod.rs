//! Where a setting comes from: flag > `CVTRT_*` variable > `cvtrt.yaml` > default.
//!
//! One mechanism serves every flag of every command: [`with_sources`] gives each long flag its variable and turns the
//! file's entries into defaults. An empty variable counts as none.

mod file;
mod places;
mod rivals;

pub use file::{ConfigError, ConfigFile};
pub use places::Places;

use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction, Command, Id};
use rivals::Outranked;
use std::collections::HashSet;
use std::ffi::OsString;

/// The file looked for in the working folder and above it.
pub const FILE_NAME: &str = "cvtrt.yaml";

/// A command line with what variables and the file say.
#[derive(Debug)]
pub struct Sourced {
    /// The command, not built yet.
    pub command: Command,
    /// Flags whose entry in the file is ignored, because a rival is set in a better place.
    pub outranked: HashSet<Id>,
}

/// Gives every long flag its environment variable (`--runtime-dir` is `CVTRT_RUNTIME_DIR`), and the file's entry as its
/// default.
///
/// Of flags that exclude each other, the one in the better place counts, and what weaker places say of its rivals is
/// ignored: `--fp32` on the command line outranks `CVTRT_FP16`.
///
/// # Errors
/// [`ConfigError::Unknown`] for an entry that names no flag, and the other errors of an entry.
pub fn with_sources(
    command: Command,
    arguments: &[OsString],
    file: Option<&ConfigFile>,
) -> Result<Sourced, ConfigError> {
    let outranked = Outranked::by(&command, arguments);
    let mut command = with_variables(command, &outranked);
    let outranked = outranked.entries;
    if let Some(file) = file {
        command = file.apply(command, &outranked)?;
    }
    Ok(Sourced { command, outranked })
}

/// The variable of a long flag.
pub fn variable(flag: &str) -> String {
    format!("CVTRT_{}", flag.replace('-', "_").to_uppercase())
}

/// Whether the variable of a long flag has a value.
pub fn is_variable_set(flag: &str) -> bool {
    set_variable(&variable(flag)).is_some()
}

/// A variable's value, where it has one.
fn set_variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn with_variables(command: Command, outranked: &Outranked) -> Command {
    let command = command.mut_args(|arg| with_variable(arg, outranked));
    command.mut_subcommands(|command| with_variables(command, outranked))
}

fn with_variable(arg: Arg, outranked: &Outranked) -> Arg {
    let Some(long) = arg.get_long().map(str::to_owned) else {
        return arg;
    };
    let arg = match arg.get_action() {
        ArgAction::Help
        | ArgAction::HelpLong
        | ArgAction::HelpShort
        | ArgAction::Version
        | ArgAction::Count => {
            return arg;
        }
        ArgAction::SetTrue => arg.value_parser(BoolishValueParser::new()),
        _ => arg,
    };
    let name = variable(&long);
    if outranked.variables.contains(arg.get_id()) || set_variable(&name).is_none() {
        return arg;
    }
    arg.env(name).hide_env(true)
}
