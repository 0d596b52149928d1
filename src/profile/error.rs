//! Why there is no profile, or none that can be used.

use crate::hint::{Class, Hint};
use crate::yaml::{YamlError, nearest};
use std::borrow::Cow;
use std::path::PathBuf;

/// Why no profile was found, or none that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// The file or folder cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is wrong.
    #[error("{}", excerpt(file, error, source_line))]
    Yaml {
        /// The file.
        file: PathBuf,
        /// What is wrong and where.
        error: YamlError,
        /// The line it is in; empty where the place is unknown.
        source_line: String,
    },
    /// No profile has this name.
    #[error("there is no profile `{name}`; known: {}", known.join(", "))]
    Unknown {
        /// The name given.
        name: String,
        /// Every name there is.
        known: Vec<String>,
    },
}

impl Hint for ProfileError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        let near = match self {
            Self::Read { .. } => return None,
            Self::Yaml { error, .. } => error.nearest.as_deref()?,
            Self::Unknown { name, known } => nearest(name, known.iter().map(String::as_str))?,
        };
        Some(format!("did you mean `{near}`?").into())
    }

    fn class(&self) -> Class {
        Class::Input
    }
}

/// `file:line:column: message`, then the line with a mark under the column.
fn excerpt(file: &std::path::Path, error: &YamlError, source_line: &str) -> String {
    let YamlError { message, place, .. } = error;
    let file = file.display();
    match place {
        None => format!("{file}: {message}"),
        Some((line, column)) => {
            let caret = " ".repeat(column.saturating_sub(1));
            format!(
                "{file}:{line}:{column}: {message}\n{line:>5} | {source_line}\n      | {caret}^"
            )
        }
    }
}
