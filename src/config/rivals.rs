//! Flags that exclude each other, set in different places: the better place decides.

use super::{set_variable, variable};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, Id};
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};

/// Flags whose say is over, because a rival is set in a better place.
#[derive(Debug, Default)]
pub(super) struct Outranked {
    /// Those with a rival on the command line.
    pub(super) variables: HashSet<Id>,
    /// Those with a rival on the command line or in a variable.
    pub(super) entries: HashSet<Id>,
}

impl Outranked {
    /// What `arguments` and the environment outrank in the subcommand they run.
    pub(super) fn by(command: &Command, arguments: &[OsString]) -> Self {
        // Whatever is wrong with the line is said when it is parsed in earnest.
        let mut lenient = command.clone().ignore_errors(true);
        // Only a built command's groups know their members.
        lenient.build();
        let Ok(matches) = lenient.try_get_matches_from_mut(arguments) else {
            return Self::default();
        };
        let (command, matches) = innermost(&lenient, &matches);
        let given = |id: &&Id| {
            matches.try_contains_id(id.as_str()).is_ok()
                && matches.value_source(id.as_str()) == Some(ValueSource::CommandLine)
        };
        let variables: HashSet<Id> = matches
            .ids()
            .filter(given)
            .flat_map(|id| rivals(command, id))
            .collect();
        let in_variables = command
            .get_arguments()
            .filter(|arg| !variables.contains(arg.get_id()) && is_set_by_variable(arg))
            .flat_map(|arg| rivals(command, arg.get_id()));
        let entries = variables.iter().cloned().chain(in_variables).collect();
        Self { variables, entries }
    }
}

fn innermost<'a>(command: &'a Command, matches: &'a ArgMatches) -> (&'a Command, &'a ArgMatches) {
    let inner = matches
        .subcommand()
        .and_then(|(name, own)| Some((command.find_subcommand(name)?, own)));
    match inner {
        Some((command, matches)) => innermost(command, matches),
        None => (command, matches),
    }
}

/// The arguments that `id` cannot stand beside.
fn rivals(command: &Command, id: &Id) -> Vec<Id> {
    let conflicts = |arg: &Arg| -> Vec<Id> {
        let conflicts = command.get_arg_conflicts_with(arg).into_iter();
        conflicts.map(|rival| rival.get_id().clone()).collect()
    };
    let mut found = Vec::new();
    for arg in command.get_arguments() {
        if arg.get_id() == id {
            found.extend(conflicts(arg));
        } else if conflicts(arg).contains(id) {
            found.push(arg.get_id().clone());
        }
    }
    for group in command.get_groups() {
        let is_exclusive = !group.clone().is_multiple();
        if is_exclusive && group.get_args().any(|member| member == id) {
            found.extend(group.get_args().filter(|member| *member != id).cloned());
        }
    }
    found
}

fn is_set_by_variable(arg: &Arg) -> bool {
    let Some(value) = arg
        .get_long()
        .and_then(|long| set_variable(&variable(long)))
    else {
        return false;
    };
    !matches!(arg.get_action(), ArgAction::SetTrue) || !says_no(&value)
}

fn says_no(value: &OsStr) -> bool {
    let words = ["0", "n", "no", "f", "false", "off"];
    words.iter().any(|word| value.eq_ignore_ascii_case(word))
}
