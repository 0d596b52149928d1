//! Named facts that identify a machine, a library or a setting.

use std::fmt;

/// Facts in a fixed order, each under a name; two fingerprints are equal when every fact is.
///
/// Whoever makes one decides what belongs in it; whoever keeps one (the engine cache) treats it as opaque and can still
/// say by name which fact changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(Vec<(String, String)>);

impl Fingerprint {
    /// Adds a fact at the end.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl fmt::Display) -> Self {
        self.0.push((name.into(), value.to_string()));
        self
    }

    /// The facts, in order.
    pub fn facts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of a fact.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.facts()
            .find_map(|(known, value)| (known == name).then_some(value))
    }
}
