//! Where a setting comes from: flag > `CVTRT_*` variable > `cvtrt.yaml` > default.
//!
//! One mechanism serves every flag of every command: [`with_variables`] gives each long flag its variable, and
//! [`with_file`] turns the file's entries into defaults.

mod file;
mod places;

pub use file::{ConfigError, ConfigFile};
pub use places::Places;

use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction, Command};

/// The file looked for in the working folder and above it.
pub const FILE_NAME: &str = "cvtrt.yaml";

/// Gives every long flag of every command its environment variable: `--runtime-dir` is `CVTRT_RUNTIME_DIR`.
pub fn with_variables(command: Command) -> Command {
    let command = command.mut_args(with_variable);
    command.mut_subcommands(with_variables)
}

/// Makes the file's entries the defaults of the flags they name.
///
/// # Errors
/// [`ConfigError::Unknown`] for an entry that names no flag.
pub fn with_file(command: Command, file: &ConfigFile) -> Result<Command, ConfigError> {
    file.apply(command)
}

/// The variable of a long flag.
pub fn variable(flag: &str) -> String {
    format!("CVTRT_{}", flag.replace('-', "_").to_uppercase())
}

fn with_variable(arg: Arg) -> Arg {
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
    arg.env(variable(&long)).hide_env(true)
}
