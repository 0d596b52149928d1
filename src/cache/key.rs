//! What makes an engine the one that is wanted.

use crate::ids::{BackendId, Digest, DigestHasher, Fingerprint, GraphId, Precision};
use crate::profile::{CompileOptions, ComputeCapability, ShapeSet};
use std::fmt;

/// Everything an engine depends on.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyInputs {
    /// Which graph.
    pub graph: GraphId,
    /// The model's content, external weights included.
    pub model: Digest,
    /// How the model is rewritten before it is compiled.
    pub recipe: Fingerprint,
    /// The precision it is rewritten to.
    pub precision: Precision,
    /// Shape ranges by axis; with the model they determine the range of every input.
    pub shapes: Vec<ShapeSet>,
    /// Settings of the build.
    pub options: CompileOptions,
    /// What compiles it.
    pub backend: BackendId,
    /// What of library and machine the backend says matters.
    pub fingerprint: Fingerprint,
    /// Operating system and architecture.
    pub host: String,
}

/// Names an engine by the content of its inputs.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct EngineKey(Digest);

impl EngineKey {
    /// Raised when the same inputs would mean another engine: engines rebuild.
    pub const SCHEMA: u32 = 1;

    /// The key of these inputs: SHA-256 over the schema and every fact, each part with its length in front.
    pub fn of(inputs: &KeyInputs) -> Self {
        let mut hasher = DigestHasher::default();
        hasher.update(&Self::SCHEMA.to_le_bytes());
        for (name, value) in inputs.facts() {
            for part in [&name, &value] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part.as_bytes());
            }
        }
        Self(hasher.finish())
    }

    /// The first sixteen digits, for file names and tables.
    pub fn short(&self) -> String {
        let mut digits = self.0.to_string();
        digits.truncate(16);
        digits
    }
}

impl fmt::Display for EngineKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl KeyInputs {
    /// Operating system and architecture of this program.
    pub fn this_host() -> String {
        format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
    }

    /// The inputs as named facts, in a fixed order; different inputs give different facts.
    pub fn facts(&self) -> Vec<(String, String)> {
        let Self {
            graph,
            model,
            recipe,
            precision,
            shapes,
            options,
            backend,
            fingerprint,
            host,
        } = self;
        let mut facts = vec![fact("graph", graph), fact("model", model)];
        facts.extend(prefixed("recipe", recipe));
        facts.push(fact("precision", precision));
        facts.extend(shapes.iter().map(shape_fact));
        facts.extend(option_facts(options));
        facts.push(fact("backend", backend));
        facts.extend(prefixed("backend", fingerprint));
        facts.push(fact("host", host));
        facts
    }
}

fn fact(name: &str, value: impl fmt::Display) -> (String, String) {
    (name.to_owned(), value.to_string())
}

fn prefixed(prefix: &str, facts: &Fingerprint) -> impl Iterator<Item = (String, String)> {
    facts
        .facts()
        .map(move |(name, value)| (format!("{prefix}.{name}"), value.to_owned()))
}

fn shape_fact(set: &ShapeSet) -> (String, String) {
    let ShapeSet { name, axes } = set;
    let ranges: Vec<String> = axes
        .iter()
        .map(|(axis, extent)| format!("{axis} {extent}"))
        .collect();
    (format!("shapes.{name}"), ranges.join(", "))
}

fn option_facts(options: &CompileOptions) -> [(String, String); 6] {
    let CompileOptions {
        tf32,
        workspace_bytes,
        optimization_level,
        version_compatible,
        hardware_compatible,
        targets,
    } = options;
    let targets: Vec<String> = targets.iter().map(ComputeCapability::to_string).collect();
    [
        fact("options.tf32", tf32),
        fact("options.workspace_bytes", or_default(*workspace_bytes)),
        fact(
            "options.optimization_level",
            or_default(*optimization_level),
        ),
        fact("options.version_compatible", version_compatible),
        fact("options.hardware_compatible", hardware_compatible),
        fact("options.targets", targets.join(" ")),
    ]
}

fn or_default(setting: Option<impl fmt::Display>) -> String {
    setting.map_or_else(|| "default".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_is_the_same_on_every_machine_and_day() {
        // Changes only together with `EngineKey::SCHEMA`.
        assert_eq!(
            EngineKey::of(&fixture::inputs()).to_string(),
            "64c328fe2e897b729284b7f380e92b2d520a02a5521c2ee268f4436e33913df8"
        );
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let with = |name: &str, value: &str| KeyInputs {
            fingerprint: Fingerprint::default().with(name, value),
            ..fixture::inputs()
        };
        assert_ne!(
            EngineKey::of(&with("ab", "c")),
            EngineKey::of(&with("a", "bc"))
        );
        let (recipe, fingerprint) = (with("a", "b"), with("b", "a"));
        assert_ne!(EngineKey::of(&recipe), EngineKey::of(&fingerprint));
    }

    proptest! {
        #[test]
        fn a_key_changes_iff_an_input_does(a in fixture::any_inputs(), b in fixture::any_inputs()) {
            prop_assert_eq!(EngineKey::of(&a) == EngineKey::of(&b), a == b);
            prop_assert_eq!(EngineKey::of(&a), EngineKey::of(&a.clone()));
        }

        #[test]
        fn every_single_change_changes_the_key(
            inputs in fixture::any_inputs(),
            other in fixture::any_inputs(),
            field in 0..fixture::FIELDS,
        ) {
            let changed = fixture::with_field_of(&inputs, &other, field);
            prop_assert_eq!(EngineKey::of(&inputs) == EngineKey::of(&changed), inputs == changed);
        }
    }
}
