//! `manifest.json`: what an entry is.

use super::{EngineKey, KeyInputs, ManifestFault};
use crate::ids::Digest;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path};
use std::time::Duration;

/// What an entry is: inputs, files, and what the build found.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`EngineKey::SCHEMA`] of the version that wrote it.
    pub schema: u32,
    /// The key of `inputs`.
    pub key: EngineKey,
    /// Everything the engine depends on, in clear.
    pub inputs: KeyInputs,
    /// The files, the engine itself first.
    pub files: Vec<EngineFile>,
    /// When it was built, in seconds since 1970.
    pub built_at_unix: u64,
    /// How long the build took, in milliseconds.
    pub build_ms: u64,
    /// The version of cvtrt that built it.
    pub cvtrt: String,
    /// Inputs and outputs.
    pub signature: SignatureText,
    /// What the backend said about the engine.
    pub report: serde_json::Value,
    /// Whether it computes what the FP32 reference does.
    pub verification: Verification,
}

/// One file of an entry.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineFile {
    /// Its name inside the entry.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its content.
    pub sha256: Digest,
}

/// Inputs and outputs as text: `mel f32 [1, 80, frames]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignatureText {
    /// Inputs, in the graph's order.
    pub inputs: Vec<String>,
    /// Outputs, in the graph's order.
    pub outputs: Vec<String>,
}

/// Whether an engine computes what the FP32 reference does.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "result", rename_all = "snake_case", deny_unknown_fields)]
pub enum Verification {
    /// It ran and stayed within the tolerance.
    Passed {
        /// Every run.
        runs: Vec<CheckedRun>,
    },
    /// This machine cannot run it.
    NotRunHere {
        /// Why.
        reason: String,
    },
    /// It ran, and is not fit to serve; its entry is in quarantine.
    Failed {
        /// What is wrong with it.
        reason: String,
    },
    /// It was not asked for.
    Skipped,
}

/// One run of an engine beside the reference.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckedRun {
    /// The shape set and which end of it.
    pub shapes: String,
    /// Largest absolute difference over all outputs.
    pub max_abs_error: f64,
    /// Largest relative error of an output: the L2 norm of its difference over that of the reference.
    pub max_rel_error: f64,
}

/// What a build knows about the engine it made.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildRecord {
    /// How long the build took.
    pub build_time: Duration,
    /// Inputs and outputs.
    pub signature: SignatureText,
    /// What the backend said about the engine.
    pub report: serde_json::Value,
    /// Whether it computes what the FP32 reference does.
    pub verification: Verification,
}

/// Larger than the report of any engine.
const MAX_BYTES: u64 = 64 << 20;

impl Manifest {
    /// The manifest's own file name.
    pub const FILE: &'static str = "manifest.json";

    /// Reads a manifest and checks what can be checked without the files it names.
    ///
    /// # Errors
    /// [`ManifestFault`].
    pub fn read(path: &Path) -> Result<Self, ManifestFault> {
        let file = File::open(path).map_err(ManifestFault::Read)?;
        let mut text = Vec::new();
        let read = file.take(MAX_BYTES + 1).read_to_end(&mut text);
        let bytes = read.map_err(ManifestFault::Read)? as u64;
        if bytes > MAX_BYTES {
            return Err(ManifestFault::TooLarge { bytes });
        }
        Self::from_json(&text)
    }

    /// Reads a manifest from JSON, as [`Manifest::read`] does.
    ///
    /// # Errors
    /// [`ManifestFault`].
    pub fn from_json(text: &[u8]) -> Result<Self, ManifestFault> {
        #[derive(serde::Deserialize)]
        struct Versioned {
            schema: u32,
        }
        let Versioned { schema } = serde_json::from_slice(text).map_err(ManifestFault::Json)?;
        if schema != EngineKey::SCHEMA {
            return Err(ManifestFault::Schema { found: schema });
        }
        let manifest: Self = serde_json::from_slice(text).map_err(ManifestFault::Json)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The manifest as JSON that [`Manifest::from_json`] reads back.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("string keys and plain values only")
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files
            .iter()
            .fold(0, |sum: u64, file| sum.saturating_add(file.bytes))
    }

    fn check(&self) -> Result<(), ManifestFault> {
        let expected = EngineKey::of(&self.inputs);
        if self.key != expected {
            return Err(ManifestFault::Key {
                expected,
                found: self.key,
            });
        }
        if self.files.is_empty() {
            return Err(ManifestFault::FileName(String::new()));
        }
        let mut names = BTreeSet::new();
        match self
            .files
            .iter()
            .find(|file| !is_plain(&file.name) || !names.insert(&file.name))
        {
            Some(wrong) => Err(ManifestFault::FileName(wrong.name.clone())),
            None => Ok(()),
        }
    }
}

impl Verification {
    /// The largest absolute difference seen; `None` where nothing ran.
    pub fn max_abs_error(&self) -> Option<f64> {
        match self {
            Self::Passed { runs } => runs.iter().map(|run| run.max_abs_error).reduce(f64::max),
            Self::NotRunHere { .. } | Self::Failed { .. } | Self::Skipped => None,
        }
    }
}

/// One component that is a name: no folder, no `..`.
fn is_plain(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!(
        (components.next(), components.next()),
        (Some(Component::Normal(only)), None) if only == name
    )
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use proptest::prelude::*;

    fn manifest(inputs: KeyInputs) -> Manifest {
        Manifest {
            schema: EngineKey::SCHEMA,
            key: EngineKey::of(&inputs),
            inputs,
            files: vec![EngineFile {
                name: "engine.plan".to_owned(),
                bytes: 3,
                sha256: Digest::of(b"abc"),
            }],
            built_at_unix: 1_700_000_000,
            build_ms: 12,
            cvtrt: "0.1.0".to_owned(),
            signature: fixture::record().signature,
            report: serde_json::Value::Null,
            verification: Verification::Passed {
                runs: vec![CheckedRun {
                    shapes: "any min".to_owned(),
                    max_abs_error: 0.25,
                    max_rel_error: 0.5,
                }],
            },
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let good = manifest(fixture::inputs());
        let mut other_key = good.clone();
        other_key.inputs.host.push('x');
        let mut other_schema = good.clone();
        other_schema.schema += 1;
        assert!(matches!(
            Manifest::from_json(&other_key.to_json()),
            Err(ManifestFault::Key { .. })
        ));
        assert!(matches!(
            Manifest::from_json(&other_schema.to_json()),
            Err(ManifestFault::Schema { found: 2 })
        ));
    }

    #[test]
    fn a_file_outside_the_entry_is_refused() {
        for name in [
            "",
            ".",
            "..",
            "../engine",
            "a/b",
            "/etc/passwd",
            "a/",
            "./a",
        ] {
            let mut wrong = manifest(fixture::inputs());
            wrong.files[0].name = name.to_owned();
            let read = Manifest::from_json(&wrong.to_json());
            assert!(
                matches!(read, Err(ManifestFault::FileName(ref found)) if found == name),
                "{name}: {read:?}"
            );
        }
        let mut twice = manifest(fixture::inputs());
        twice.files.push(twice.files[0].clone());
        assert!(Manifest::from_json(&twice.to_json()).is_err());
        twice.files.clear();
        assert!(Manifest::from_json(&twice.to_json()).is_err());
    }

    proptest! {
        #[test]
        fn a_manifest_reads_back(inputs in fixture::any_inputs()) {
            let written = manifest(inputs);
            let read = Manifest::from_json(&written.to_json()).map_err(|fault| fault.to_string());
            prop_assert_eq!(read, Ok(written));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            prop_assert!(Manifest::from_json(&bytes).is_err());
        }

        #[test]
        fn a_damaged_manifest_is_refused_or_still_consistent(
            at in 0usize..10_000,
            byte: u8,
            cut: bool,
        ) {
            let mut text = manifest(fixture::inputs()).to_json();
            let at = at % text.len();
            text[at] = byte;
            if cut {
                text.truncate(at);
            }
            if let Ok(read) = Manifest::from_json(&text) {
                prop_assert_eq!(read.key, EngineKey::of(&read.inputs));
            }
        }
    }
}
