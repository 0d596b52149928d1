//! YAML read strictly: an error says where it is and, for a misspelt name, what was probably meant.

use crate::hint::{Class, Hint};
use serde::de::DeserializeOwned;
use std::borrow::Cow;
use std::fmt;

/// Parses one YAML document.
///
/// # Errors
/// [`YamlError`] with the place and, where a field or a word is unknown, the nearest known one.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, YamlError> {
    let brackets = text.bytes().filter(|byte| matches!(byte, b'[' | b'{'));
    if brackets.count() > MAX_BRACKETS {
        return Err(YamlError {
            message: format!("more than {MAX_BRACKETS} opening brackets"),
            place: None,
            nearest: None,
        });
    }
    serde_yaml::from_str(text).map_err(|error| YamlError::new(&error))
}

/// The parser takes time in the square of the nesting: a second for ten thousand brackets, minutes for a megabyte.
const MAX_BRACKETS: usize = 4096;

/// Why a text is not the YAML that was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YamlError {
    /// What is wrong, with the field it is in.
    pub message: String,
    /// Line and column, from 1; `None` where the parser knows none (an empty document).
    pub place: Option<(usize, usize)>,
    /// The known name closest to the unknown one that was found.
    pub nearest: Option<String>,
}

impl YamlError {
    fn new(error: &serde_yaml::Error) -> Self {
        let place = error
            .location()
            .map(|location| (location.line(), location.column()));
        let whole = error.to_string();
        let message = match place {
            Some((line, column)) => whole
                .strip_suffix(&format!(" at line {line} column {column}"))
                .unwrap_or(&whole)
                .to_owned(),
            None => whole,
        };
        Self {
            nearest: nearest_in(&message),
            message,
            place,
        }
    }
}

impl fmt::Display for YamlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.place {
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for YamlError {}

impl Hint for YamlError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        let nearest = self.nearest.as_ref()?;
        Some(format!("did you mean `{nearest}`?").into())
    }

    fn class(&self) -> Class {
        Class::Input
    }
}

/// The known word closest to `given`, where one is close enough to be a slip.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|word| (strsim::osa_distance(given, word), word))
        .filter(|(distance, word)| *distance <= word.chars().count().max(3) / 3)
        .min()
        .map(|(_, word)| word)
}

/// Serde spells both cases the same way: ``unknown field `x`, expected one of `a`, `b` ``; names stand in backticks.
fn nearest_in(message: &str) -> Option<String> {
    let start = ["unknown field ", "unknown variant "]
        .iter()
        .find_map(|lead| message.find(lead))?;
    let mut quoted = message[start..].split('`').skip(1).step_by(2);
    let given = quoted.next()?;
    nearest(given, quoted).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Outer {
        inner: Inner,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Inner {
        layers: usize,
        heads: Option<Heads>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Heads {
        Many,
        Single,
    }

    #[test]
    fn errors_name_place_and_nearest_word() {
        struct Case {
            text: &'static str,
            line: usize,
            nearest: Option<&'static str>,
        }
        for Case {
            text,
            line,
            nearest,
        } in [
            Case {
                text: "inner:\n  layers: 2\n  head: many\n",
                line: 3,
                nearest: Some("heads"),
            },
            Case {
                text: "inner:\n  layers: 2\n  heads: sinlge\n",
                line: 3,
                nearest: Some("single"),
            },
            Case {
                text: "inner:\n  layers: 2\n  zzzzzzzzzzz: many\n",
                line: 3,
                nearest: None,
            },
            Case {
                text: "inner:\n  layers: -2\n",
                line: 2,
                nearest: None,
            },
            Case {
                text: "inner:\n  layers: 2\n  layers: 3\n",
                line: 2,
                nearest: None,
            },
            Case {
                text: "inner: [1, 2\n",
                line: 1,
                nearest: None,
            },
        ] {
            let error = parse::<Outer>(text).expect_err(text);
            assert_eq!(
                error.place.map(|(line, _)| line),
                Some(line),
                "{text}: {error}"
            );
            assert_eq!(error.nearest.as_deref(), nearest, "{text}: {error}");
        }
    }

    #[test]
    fn endless_nesting_is_refused_at_once() {
        let error = parse::<Outer>(&"[".repeat(1_000_000)).expect_err("nested too deeply");
        assert!(error.message.contains("brackets"), "{error}");
    }

    #[test]
    fn the_place_is_said_once() {
        let error = parse::<Outer>("inner:\n  layers: x\n").expect_err("not a number");
        assert_eq!(error.to_string().matches("line").count(), 1, "{error}");
    }

    #[test]
    fn nothing_near_is_no_suggestion() {
        assert_eq!(nearest("flow", ["hift", "llm"]), None);
        assert_eq!(nearest("flwo", ["flow", "llm"]), Some("flow"));
    }
}
