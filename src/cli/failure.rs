//! What a user sees when a command fails: what, why, fix; and the exit code.

use super::origin::FlagOrigin;
use crate::hint::{Class, Hint};
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// The exit codes of every command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// Failed.
    Failed,
    /// Bad arguments or bad input file.
    Usage,
    /// The requested backend or precision is not available here.
    Unavailable,
    /// A verification failed.
    Unverified,
}

/// A command's failure.
#[derive(Debug)]
pub struct Failure {
    error: anyhow::Error,
    /// Why it came to that, beside what the error itself says.
    because: Vec<String>,
    hint: Option<String>,
    exit: Exit,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

impl Exit {
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unavailable => 3,
            Self::Unverified => 4,
        }
    }
}

impl From<Class> for Exit {
    fn from(class: Class) -> Self {
        match class {
            Class::Failed => Self::Failed,
            Class::Input => Self::Usage,
            Class::Unavailable => Self::Unavailable,
            Class::Unverified => Self::Unverified,
        }
    }
}

impl<E: Hint + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let (hint, exit) = (error.hint().map(Into::into), error.class().into());
        Self {
            error: error.into(),
            because: Vec::new(),
            hint,
            exit,
        }
    }
}

impl Failure {
    /// A failure of some kind.
    pub fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self {
            error: error.into(),
            because: Vec::new(),
            hint: None,
            exit,
        }
    }

    /// Arguments that cannot be used.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self::new(Exit::Usage, error)
    }

    /// A file that a flag names and that cannot be written.
    ///
    /// A folder that is not there, or in the place of the file, is a wrong argument; everything else is a failure.
    pub fn write(path: &Path, error: io::Error) -> Self {
        let exit = match error.kind() {
            io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::InvalidFilename => Exit::Usage,
            _ => Exit::Failed,
        };
        let error = anyhow::Error::from(error).context(format!("cannot write {}", path.display()));
        Self::new(exit, error)
    }

    /// A sentence as an error.
    pub fn message(exit: Exit, text: impl std::fmt::Display) -> Self {
        Self::new(exit, anyhow::anyhow!("{text}"))
    }

    /// The same failure with its fix.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same failure, with what was being done or with which file in front.
    #[must_use]
    pub fn about(mut self, what: impl std::fmt::Display + Send + Sync + 'static) -> Self {
        self.error = self.error.context(what);
        self
    }

    /// The same failure with more causes, a sentence each.
    #[must_use]
    pub fn because(mut self, causes: impl IntoIterator<Item = String>) -> Self {
        self.because.extend(causes);
        self
    }

    /// The same failure, where flags it is about were not set on the command line with where they were.
    #[must_use]
    pub(super) fn naming_sources(self, flags: &[FlagOrigin]) -> Self {
        let said: Vec<String> = self.error.chain().map(ToString::to_string).collect();
        let said = said.join("\n");
        let sources: Vec<String> = flags.iter().filter_map(|flag| flag.behind(&said)).collect();
        self.because(sources)
    }

    /// The process's exit code.
    pub fn code(&self) -> ExitCode {
        self.exit.into()
    }

    /// Writes the failure to stderr, or to stdout as JSON.
    ///
    /// A reader that closed its pipe wants no message, so write errors are dropped.
    pub fn render(&self, json: bool, color: bool) {
        use std::io::Write as _;
        if json {
            let _ = writeln!(std::io::stdout(), "{}", self.to_json());
        } else {
            let _ = write!(std::io::stderr(), "{}", self.to_text(color));
        }
    }

    fn to_json(&self) -> serde_json::Value {
        let causes: Vec<String> = self
            .error
            .chain()
            .skip(1)
            .map(ToString::to_string)
            .chain(self.because.iter().cloned())
            .collect();
        serde_json::json!({
            "error": { "message": self.error.to_string(), "causes": causes, "hint": self.hint, "exit_code": self.exit.number() }
        })
    }

    fn to_text(&self, color: bool) -> String {
        let paint = |code: &str, word: &str| {
            if color {
                format!("\x1b[{code}m{word}\x1b[0m")
            } else {
                word.to_owned()
            }
        };
        let mut text = format!("{} {}\n", paint("1;31", "error:"), self.error);
        let mut said = self.error.to_string();
        for cause in self.error.chain().skip(1).map(ToString::to_string) {
            // A transparent error repeats its source.
            if !said.contains(&cause) {
                writeln!(text, "{} {cause}", paint("1", "cause:")).expect("a string takes all");
            }
            said = cause;
        }
        for cause in &self.because {
            writeln!(text, "{} {cause}", paint("1", "cause:")).expect("a string takes all");
        }
        if let Some(hint) = &self.hint {
            writeln!(text, "{}  {hint}", paint("1;36", "hint:")).expect("a string takes all");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("engine `llm` cannot run on this device")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("built for sm_89, device 0 is sm_90")]
    struct Inner;

    impl Hint for Outer {
        fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
            Some("cvtrt build --graphs llm".into())
        }

        fn class(&self) -> Class {
            Class::Unavailable
        }
    }

    #[test]
    fn a_failure_says_what_why_and_fix() {
        let failure = Failure::from(Outer(Inner));
        assert_eq!(
            failure.to_text(false),
            "error: engine `llm` cannot run on this device\ncause: built for sm_89, device 0 is sm_90\nhint:  cvtrt build --graphs llm\n"
        );
        assert_eq!(failure.exit, Exit::Unavailable);
        assert_eq!(failure.to_json()["error"]["exit_code"], 3);
    }
}
