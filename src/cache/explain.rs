//! Which inputs two engines differ in.

use super::KeyInputs;
use crate::ids::{BackendId, Fingerprint};
use std::collections::BTreeMap;
use std::fmt;

/// One input that is not the same.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Change {
    /// The input: `precision`, `recipe.half`, `shapes.decode_256`, `backend.library`.
    pub input: String,
    /// What the engine was built from; `None` where it had no such input.
    pub built: Option<String>,
    /// What is wanted now; `None` where there is no such input any more.
    pub wanted: Option<String>,
}

/// What this machine gives an engine to run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Here {
    /// Operating system and architecture.
    pub host: String,
    /// The backends that are installed, each with what it says of every device it may run on.
    pub backends: BTreeMap<BackendId, Vec<Fingerprint>>,
}

/// Inputs that name the version of a backend's library.
const LIBRARIES: [&str; 2] = ["backend.library", "backend.onnxruntime"];

/// The inputs that differ; empty when the two are equal.
pub fn changes(built: &KeyInputs, wanted: &KeyInputs) -> Vec<Change> {
    let (built_facts, wanted_facts) = (built.facts(), wanted.facts());
    let mut names: Vec<&String> = Vec::new();
    for (name, _) in wanted_facts.iter().chain(&built_facts) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut changes: Vec<Change> = names
        .into_iter()
        .map(|name| Change {
            input: name.clone(),
            built: value_of(&built_facts, name),
            wanted: value_of(&wanted_facts, name),
        })
        .filter(|change| change.built != change.wanted)
        .collect();
    if changes.is_empty() && built_facts != wanted_facts {
        changes.push(Change {
            input: "order".to_owned(),
            built: Some(names_of(&built_facts)),
            wanted: Some(names_of(&wanted_facts)),
        });
    }
    changes
}

impl Here {
    /// Why an engine cannot be used on this machine as it is now, on the device that it fits best; empty when it can, or
    /// when its backend is not installed and nothing is known.
    pub fn stale(&self, built: &KeyInputs) -> Vec<Change> {
        let own = std::slice::from_ref(&built.fingerprint);
        let known = self.backends.get(&built.backend);
        let devices = known.map_or(own, Vec::as_slice).iter();
        let changed = devices.map(|fingerprint| {
            let wanted = KeyInputs {
                host: self.host.clone(),
                fingerprint: fingerprint.clone(),
                ..built.clone()
            };
            changes(built, &wanted)
        });
        changed.min_by_key(Vec::len).unwrap_or_default()
    }
}

/// Whether what changed is the library: an engine of another version may be for another run-time folder.
pub(super) fn is_of_another_library(changes: &[Change]) -> bool {
    changes
        .iter()
        .any(|change| LIBRARIES.contains(&change.input.as_str()))
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            input,
            built,
            wanted,
        } = self;
        match (built, wanted) {
            (Some(built), Some(wanted)) => write!(f, "{input}: {built} → {wanted}"),
            (Some(built), None) => write!(f, "{input}: {built} → none"),
            (None, Some(wanted)) => write!(f, "{input}: none → {wanted}"),
            (None, None) => f.write_str(input),
        }
    }
}

/// The values under a name; a fact given more than once counts as all of them.
fn value_of(facts: &[(String, String)], name: &str) -> Option<String> {
    let values: Vec<&str> = facts
        .iter()
        .filter(|(known, _)| known == name)
        .map(|(_, value)| value.as_str())
        .collect();
    (!values.is_empty()).then(|| values.join("; "))
}

fn names_of(facts: &[(String, String)]) -> String {
    let names: Vec<&str> = facts.iter().map(|(name, _)| name.as_str()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::ids::{Axis, Precision};
    use proptest::prelude::*;

    fn shown(built: &KeyInputs, wanted: &KeyInputs) -> Vec<String> {
        changes(built, wanted)
            .iter()
            .map(Change::to_string)
            .collect()
    }

    #[test]
    fn the_input_that_changed_is_named_with_both_values() {
        let built = fixture::inputs();
        let mut wanted = built.clone();
        wanted.precision = Precision::Bf16;
        wanted.fingerprint = Fingerprint::default()
            .with("library", "1.3.0")
            .with("sm", "90");
        wanted.recipe = Fingerprint::default();
        wanted.options.tf32 = false;
        let frames = wanted.shapes[0]
            .axes
            .get_mut(&Axis::Frames)
            .expect("one axis");
        frames.max = 3000;
        assert_eq!(
            shown(&built, &wanted),
            [
                "precision: fp16 → bf16",
                "shapes.any: frames 8/64/400 → frames 8/64/3000",
                "options.tf32: true → false",
                "backend.library: 1.2.3 → 1.3.0",
                "backend.sm: none → 90",
                "recipe.half: 1 → none",
            ]
        );
    }

    #[test]
    fn an_engine_is_stale_when_its_library_changed() {
        let built = fixture::inputs();
        let mut here = Here {
            host: built.host.clone(),
            backends: BTreeMap::from([(built.backend, vec![built.fingerprint.clone()])]),
        };
        assert_eq!(here.stale(&built), []);
        let other = Fingerprint::default().with("library", "2.0.0");
        here.backends.insert(built.backend, vec![other.clone()]);
        assert_eq!(here.stale(&built).len(), 1);
        assert!(is_of_another_library(&here.stale(&built)));
        let devices = vec![other, built.fingerprint.clone()];
        here.backends.insert(built.backend, devices);
        assert_eq!(here.stale(&built), [], "the second device runs it");
        here.backends.clear();
        assert_eq!(
            here.stale(&built),
            [],
            "nothing is known of a backend that is not installed"
        );
        here.host = "windows-x86_64".to_owned();
        assert_eq!(here.stale(&built)[0].input, "host");
        assert!(!is_of_another_library(&here.stale(&built)));
    }

    proptest! {
        #[test]
        fn no_change_is_named_iff_nothing_changed(
            a in fixture::any_inputs(),
            other in fixture::any_inputs(),
            field in 0..fixture::FIELDS,
        ) {
            let b = fixture::with_field_of(&a, &other, field);
            prop_assert_eq!(changes(&a, &b).is_empty(), a == b);
        }
    }
}
