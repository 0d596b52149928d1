//! Paths inside a bundle.

use std::fmt;
use std::path::{Path, PathBuf};

/// A file of a bundle, relative to its folder: components joined by `/`, none of them empty, `.` or `..`.
///
/// One file has one spelling, and no spelling leaves the folder.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct BundlePath(String);

impl BundlePath {
    /// The path as written in the manifest.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The file on this machine.
    pub fn within(&self, dir: &Path) -> PathBuf {
        dir.join(&self.0)
    }
}

/// Why a text is no path inside a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a path inside the bundle: it {reason}", given.escape_debug())]
pub struct BundlePathError {
    /// The text as given.
    pub given: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

const MAX_BYTES: usize = 255;

impl TryFrom<String> for BundlePath {
    type Error = BundlePathError;

    fn try_from(given: String) -> Result<Self, Self::Error> {
        match fault(&given) {
            None => Ok(Self(given)),
            Some(reason) => Err(BundlePathError { given, reason }),
        }
    }
}

fn fault(path: &str) -> Option<&'static str> {
    if path.len() > MAX_BYTES {
        return Some("is longer than 255 bytes");
    }
    if path.starts_with('/') {
        return Some("is absolute");
    }
    if path.contains('\\') || path.chars().any(char::is_control) {
        return Some("holds a backslash or a control character");
    }
    path.split('/').find_map(|component| match component {
        "" => Some("has an empty component"),
        "." | ".." => Some("has a `.` or `..` component"),
        _ => None,
    })
}

impl From<BundlePath> for String {
    fn from(path: BundlePath) -> Self {
        path.0
    }
}

impl fmt::Display for BundlePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_relative_paths_are_taken() {
        for good in ["llm.onnx", "voices/中文女.safetensors", "a/b/c", "..a/b.."] {
            assert!(BundlePath::try_from(good.to_owned()).is_ok(), "{good}");
        }
        let long = "x".repeat(256);
        for bad in [
            "",
            "/etc/passwd",
            "../a",
            "a/../b",
            "a/./b",
            "a//b",
            "a/",
            "a\\b",
            "a\0",
            "a\nb",
            &long,
        ] {
            assert!(BundlePath::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
    }
}
