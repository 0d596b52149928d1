//! Where the value of a flag comes from, and errors that name it.

use super::failure::{Exit, Failure};
use crate::config::{self, ConfigFile, Sourced};
use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, Id};
use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where the program was started.
#[derive(Debug)]
pub(super) struct Origin {
    working_dir: PathBuf,
    file: Option<ConfigFile>,
    /// Flags whose entry in the file does not count on this command line.
    outranked: HashSet<Id>,
}

/// Where the value of a flag came from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(super) struct FlagOrigin {
    pub(super) flag: String,
    pub(super) value: String,
    /// `flag`, `default`, the name of a variable, or the path of a file.
    pub(super) source: String,
}

impl Origin {
    pub(super) fn here() -> Result<Self, Failure> {
        let working_dir =
            std::env::current_dir().map_err(|error| Failure::new(Exit::Failed, error))?;
        let file = ConfigFile::nearest(&working_dir)?;
        Ok(Self {
            working_dir,
            file,
            outranked: HashSet::new(),
        })
    }

    pub(super) fn working_dir(&self) -> &Path {
        &self.working_dir
    }

    /// Gives the command line its variables and the file's defaults.
    pub(super) fn apply(
        &mut self,
        command: Command,
        arguments: &[OsString],
    ) -> Result<Command, Failure> {
        let Sourced { command, outranked } =
            config::with_sources(command, arguments, self.file.as_ref())?;
        self.outranked = outranked;
        Ok(command)
    }

    /// Every flag of a run with its value and where it came from.
    pub(super) fn of_flags(&self, matches: &ArgMatches) -> Vec<FlagOrigin> {
        let (mut own, mut commands) = (matches, Vec::new());
        while let Some((name, inner)) = own.subcommand() {
            commands.push(name);
            own = inner;
        }
        if commands.is_empty() {
            return Vec::new();
        }
        // Beside its flags clap keeps groups of them, whose values are ids.
        let is_flag = |id: &&Id| own.try_get_many::<Id>(id.as_str()).is_err();
        let ids = own.ids().filter(is_flag).filter_map(|id| {
            let values = own.try_get_raw(id.as_str()).ok().flatten();
            values.map(|values| (id, values))
        });
        ids.map(|(id, values)| {
            let flag = id.as_str().replace('_', "-");
            let words: Vec<_> = values.map(|value| value.to_string_lossy()).collect();
            let source = match own.value_source(id.as_str()) {
                Some(ValueSource::CommandLine) => "flag".to_owned(),
                Some(ValueSource::EnvVariable) => config::variable(&flag),
                _ if self.outranked.contains(id) => "default".to_owned(),
                _ => self
                    .in_file(&commands, &flag)
                    .unwrap_or_else(|| "default".to_owned()),
            };
            FlagOrigin {
                flag,
                value: words.join(","),
                source,
            }
        })
        .collect()
    }

    /// What a line that `command` does not take complains of and does not hold itself: `--port comes from CVTRT_PORT`.
    pub(super) fn of_refused(
        &self,
        error: &clap::Error,
        command: &Command,
        arguments: &[OsString],
    ) -> Vec<String> {
        let commands = subcommands(command, arguments);
        let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
        let is_given = |flag: &str| {
            let mut words = arguments
                .iter()
                .filter_map(|word| word.to_str()?.strip_prefix("--"));
            words.any(|word| word.split('=').next() == Some(flag))
        };
        let flags = flags_of(error).into_iter().filter(|flag| !is_given(flag));
        flags
            .filter_map(|flag| {
                let source = if config::is_variable_set(&flag) {
                    Some(config::variable(&flag))
                } else {
                    self.in_file(&commands, &flag)
                };
                source.map(|source| comes_from(&flag, &source))
            })
            .collect()
    }

    fn in_file(&self, commands: &[&str], flag: &str) -> Option<String> {
        let file = self.file.as_ref()?;
        file.sets(commands, flag)
            .then(|| file.path().display().to_string())
    }
}

impl FlagOrigin {
    /// Says where the value came from, where a text is about it and the command line does not show it.
    ///
    /// A text is about a flag that it names, and about a value that it quotes: `` `default` ``. Beside the flag's bare name
    /// a value counts where it stands, too, unless it may be a word of the sentence: `profile`, `default`.
    pub(super) fn behind(&self, text: &str) -> Option<String> {
        let Self {
            flag,
            value,
            source,
        } = self;
        if matches!(source.as_str(), "flag" | "default") {
            return None;
        }
        let is_telling =
            value.contains(char::is_alphabetic) && !matches!(value.as_str(), "true" | "false");
        let is_no_word = value.contains(|letter: char| !letter.is_alphabetic());
        let is_quoted = || text.contains(&format!("`{value}`"));
        let is_beside_flag = || is_no_word && has_word(text, flag) && has_word(text, value);
        let is_about =
            has_word(text, &format!("--{flag}")) || is_telling && (is_quoted() || is_beside_flag());
        is_about.then(|| comes_from(flag, source))
    }
}

fn comes_from(flag: &str, source: &str) -> String {
    format!("--{flag} comes from {source}")
}

/// The long flags that an error of clap's is about, which names them as `--port <PORT>`.
fn flags_of(error: &clap::Error) -> Vec<String> {
    let named = [ContextKind::InvalidArg, ContextKind::PriorArg];
    let texts = named.into_iter().flat_map(|kind| match error.get(kind) {
        Some(ContextValue::String(one)) => vec![one.clone()],
        Some(ContextValue::Strings(several)) => several.clone(),
        _ => Vec::new(),
    });
    let flags = texts.filter_map(|text| {
        let word = text.strip_prefix("--")?;
        let end = word.find([' ', '=', '[', '<', '.']).unwrap_or(word.len());
        Some(word[..end].to_owned())
    });
    flags.collect()
}

/// The subcommands a line names.
fn subcommands(command: &Command, arguments: &[OsString]) -> Vec<String> {
    let (mut own, mut path) = (command, Vec::new());
    for word in arguments.iter().skip(1) {
        if let Some(inner) = own.find_subcommand(word) {
            path.push(inner.get_name().to_owned());
            own = inner;
        }
    }
    path
}

/// Whether a text holds a word, and not only as a part of another.
fn has_word(text: &str, word: &str) -> bool {
    let ends = |beside: Option<char>| {
        beside.is_none_or(|letter| !letter.is_alphanumeric() && !matches!(letter, '-' | '_'))
    };
    text.match_indices(word).any(|(at, _)| {
        ends(text[..at].chars().next_back()) && ends(text[at + word.len()..].chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_a_rival_outranks_is_no_source() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(config::FILE_NAME);
        std::fs::write(&path, "build: {wide: true, other: 1}").expect("written");
        let flag = |name: &'static str| clap::Arg::new(name).long(name);
        let switch = |name| flag(name).action(clap::ArgAction::SetTrue);
        let build = Command::new("build").args([
            switch("narrow").conflicts_with("wide"),
            switch("wide"),
            flag("other"),
        ]);
        let command = Command::new("it").subcommand(build);
        for (line, wide) in [
            (&["it", "build", "--narrow"][..], false),
            (&["it", "build"], true),
        ] {
            let mut origin = Origin {
                working_dir: folder.path().to_owned(),
                file: Some(ConfigFile::read(&path).expect("it is one")),
                outranked: HashSet::new(),
            };
            let line: Vec<OsString> = line.iter().map(OsString::from).collect();
            let sourced = origin.apply(command.clone(), &line).expect("its flags");
            let matches = sourced.try_get_matches_from(&line).expect("it is taken");
            let flags = origin.of_flags(&matches);
            let of = |name: &str| flags.iter().find(|own| own.flag == name).expect(name);
            let file = path.display().to_string();
            assert_eq!(of("wide").value, wide.to_string());
            assert_eq!(of("wide").source, if wide { &*file } else { "default" });
            assert_eq!(of("other").source, file, "{line:?}");
        }
    }

    #[test]
    fn a_source_is_named_where_the_text_is_about_its_flag() {
        let origin = |value: &str, source: &str| FlagOrigin {
            flag: "min-tier".to_owned(),
            value: value.to_owned(),
            source: source.to_owned(),
        };
        let cases = [
            (
                "trt-fp16",
                "CVTRT_MIN_TIER",
                "--min-tier: no such tier",
                true,
            ),
            (
                "trt-fp16",
                "CVTRT_MIN_TIER",
                "tier `trt-fp16` is not here",
                true,
            ),
            (
                "trt-fp16",
                "CVTRT_MIN_TIER",
                "tier `rtx-trt-fp16` is not here",
                false,
            ),
            (
                "trt-fp16",
                "CVTRT_MIN_TIER",
                "--min-tiers: no such flag",
                false,
            ),
            ("a", "CVTRT_MIN_TIER", "a min-tier is a tier", false),
            ("a", "CVTRT_MIN_TIER", "no tier is `a`", true),
            (
                "no/such",
                "CVTRT_MIN_TIER",
                "min-tier: no/such is none",
                true,
            ),
            ("no/such", "CVTRT_MIN_TIER", "no/such is none", false),
            ("3", "CVTRT_MIN_TIER", "there are 3", false),
            ("true", "CVTRT_MIN_TIER", "that is true", false),
            ("", "CVTRT_MIN_TIER", "nothing", false),
            ("trt-fp16", "flag", "--min-tier: no such tier", false),
            ("trt-fp16", "default", "--min-tier: no such tier", false),
            (
                "trt-fp16",
                "/a/cvtrt.yaml",
                "--min-tier: no such tier",
                true,
            ),
        ];
        for (value, source, text, is_named) in cases {
            let said = origin(value, source).behind(text);
            let expected = is_named.then(|| format!("--min-tier comes from {source}"));
            assert_eq!(said, expected, "{value} {source} {text}");
        }
    }
}
