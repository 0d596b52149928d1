//! `cvtrt.yaml`: flags written down.

use crate::hint::{Class, Hint};
use clap::{Arg, ArgAction, Command, Id};
use serde_yaml::{Mapping, Value};
use std::borrow::Cow;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// A configuration file: flags by their long name, those of one command under the command's name.
///
/// ```yaml
/// runtime-dir: /opt/cvtrt
/// build:
///   fp16: true
///   target: [sm_86, sm_120]
/// ```
#[derive(Debug, Clone)]
pub struct ConfigFile {
    path: PathBuf,
    entries: Mapping,
}

/// What entries are looked up in.
#[derive(Debug, Clone, Copy)]
struct Known<'a> {
    globals: &'a [Arg],
    outranked: &'a HashSet<Id>,
}

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is no YAML mapping.
    #[error("{} is not a YAML mapping of flags", path.display())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// Why, with line and column.
        #[source]
        source: serde_yaml::Error,
    },
    /// An entry names no flag.
    #[error("{}: `{entry}` is no flag of `{command}`", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The entry.
        entry: String,
        /// The command it was looked for in.
        command: String,
    },
    /// An entry has several values, and its flag takes one.
    #[error("{}: `{entry}` takes one value, not a list", path.display())]
    List {
        /// The file.
        path: PathBuf,
        /// The entry.
        entry: String,
    },
    /// An entry's value cannot be a flag's value.
    #[error("{}: `{entry}` must be a text, a number, true, false, or a list of those", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The entry.
        entry: String,
    },
}

impl Hint for ConfigError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Unknown { command, .. } => {
                Some(format!("{command} --help lists the flags").into())
            }
            Self::Read { .. } | Self::Yaml { .. } | Self::List { .. } | Self::Value { .. } => None,
        }
    }

    fn class(&self) -> Class {
        Class::Input
    }
}

impl ConfigFile {
    /// Reads the nearest `cvtrt.yaml` in `working_dir` or above it; `None` where there is none.
    ///
    /// # Errors
    /// [`ConfigError::Read`] or [`ConfigError::Yaml`].
    pub fn nearest(working_dir: &Path) -> Result<Option<Self>, ConfigError> {
        let found = working_dir
            .ancestors()
            .map(|dir| dir.join(super::FILE_NAME))
            .find(|path| path.is_file());
        found.map(|path| Self::read(&path)).transpose()
    }

    /// Reads one file.
    ///
    /// # Errors
    /// [`ConfigError::Read`] or [`ConfigError::Yaml`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let entries = match text.trim() {
            "" => Mapping::new(),
            _ => serde_yaml::from_str(&text).map_err(|source| ConfigError::Yaml {
                path: path.to_owned(),
                source,
            })?,
        };
        Ok(Self {
            path: path.to_owned(),
            entries,
        })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file sets `flag` for all commands, or for the one that the names lead to: `engines`, `list`.
    pub fn sets(&self, commands: &[&str], flag: &str) -> bool {
        let inner = commands.iter().scan(&self.entries, |own, command| {
            *own = own.get(*command)?.as_mapping()?;
            Some(*own)
        });
        std::iter::once(&self.entries)
            .chain(inner)
            .any(|own| own.contains_key(flag))
    }

    /// Changes flags of a command that is not built yet: clap looks a built one's flags up by their old places.
    ///
    /// `outranked`: flags that stay as they are.
    pub(super) fn apply(
        &self,
        command: Command,
        outranked: &HashSet<Id>,
    ) -> Result<Command, ConfigError> {
        let name = command.get_name().to_owned();
        let globals = command.get_arguments().filter(|arg| arg.is_global_set());
        let known = Known {
            globals: &globals.cloned().collect::<Vec<_>>(),
            outranked,
        };
        self.apply_entries(command, &name, &self.entries, known)
    }

    fn apply_entries(
        &self,
        mut command: Command,
        name: &str,
        entries: &Mapping,
        known: Known<'_>,
    ) -> Result<Command, ConfigError> {
        for (key, value) in entries {
            let Some(entry) = key.as_str() else {
                let key = word(key).unwrap_or_else(|| "a list or mapping".to_owned());
                return Err(self.unknown(&key, name));
            };
            if let (Some(subcommand), Value::Mapping(own)) =
                (command.find_subcommand(entry).cloned(), value)
            {
                let changed =
                    self.apply_entries(subcommand, &format!("{name} {entry}"), own, known)?;
                command = command.mut_subcommand(entry, |_| changed);
                continue;
            }
            let named = |arg: &&Arg| arg.get_long() == Some(entry);
            let own = command.get_arguments().find(named).cloned();
            let Some(arg) = own.as_ref().or_else(|| known.globals.iter().find(named)) else {
                return Err(self.unknown(entry, name));
            };
            let values = self.values(entry, value, arg)?;
            if known.outranked.contains(arg.get_id()) {
                continue;
            }
            let changed = arg.clone().default_values(values);
            command = match own {
                Some(own) => command.mut_arg(own.get_id(), |_| changed),
                None => command.arg(changed),
            };
        }
        Ok(command)
    }

    fn values(&self, entry: &str, value: &Value, arg: &Arg) -> Result<Vec<String>, ConfigError> {
        let (path, entry) = (self.path.clone(), entry.to_owned());
        if value.is_sequence() && !matches!(arg.get_action(), ArgAction::Append) {
            return Err(ConfigError::List { path, entry });
        }
        words(value).ok_or(ConfigError::Value { path, entry })
    }

    fn unknown(&self, entry: &str, command: &str) -> ConfigError {
        ConfigError::Unknown {
            path: self.path.clone(),
            entry: entry.to_owned(),
            command: command.to_owned(),
        }
    }
}

fn words(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Sequence(items) => items.iter().map(word).collect(),
        one => word(one).map(|word| vec![word]),
    }
}

fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}
