//! The folder of an upstream checkpoint, as far as its files' names tell: what an export of it needs, before anything of
//! it is read.
//!
//! `scripts/export/checkpoint.json` says which files there are; the exporter reads it, too.

use crate::hint::{Class, Hint};
use crate::ids::{Family, GraphId};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Why a folder cannot be exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// There is no such folder.
    #[error("{} is not a folder", folder.display())]
    NoFolder {
        /// What was named.
        folder: PathBuf,
    },
    /// Files are not there.
    #[error("{} is no complete checkpoint: it holds no {}", folder.display(), missing.join(", no "))]
    Missing {
        /// The folder.
        folder: PathBuf,
        /// The files, each with its alternatives: `llm.pt or llm.safetensors`.
        missing: Vec<String>,
    },
    /// The flat configuration names no family.
    #[error("{}: {reason}", file.display())]
    Family {
        /// The configuration.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The family is known, and not exported yet.
    #[error("{}: `{family}` is not exported yet; it needs {needs}", folder.display())]
    NotExported {
        /// The folder.
        folder: PathBuf,
        /// Its family.
        family: Family,
        /// What exporting it would need.
        needs: &'static str,
        /// Graphs that are exported where they are named.
        by_name: &'static [GraphId],
    },
}

impl Hint for CheckpointError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::NoFolder { .. } => {
                let files = LAYOUT.weights.iter().map(|stem| LAYOUT.file_of(stem));
                let files: Vec<String> = files.collect();
                format!("name the folder that holds {}", files.join(", ")).into()
            }
            Self::Missing { folder, .. } => format!(
                "download the files of the released model into {}, or name its folder with --model-dir",
                folder.display()
            )
            .into(),
            Self::Family { .. } => {
                let families = LAYOUT.families.keys().map(|family| family.as_str());
                let families: Vec<&str> = families.collect();
                format!("set `family` to one of {}", families.join(", ")).into()
            }
            Self::NotExported { by_name: [], .. } => {
                "name the folder of a CosyVoice2 model with --model-dir".into()
            }
            Self::NotExported {
                folder, by_name, ..
            } => {
                let graphs: Vec<&str> = by_name.iter().map(|graph| graph.as_str()).collect();
                let graphs = graphs.join(",");
                format!(
                    "cvtrt export --model-dir {} --out DIR --graphs {graphs} exports what there is",
                    folder.display()
                )
                .into()
            }
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::NoFolder { .. } | Self::Missing { .. } | Self::Family { .. } => Class::Input,
            Self::NotExported { .. } => Class::Failed,
        }
    }
}

/// Looks whether `folder` has the files that an export of `graphs` needs; none named means all of its family's.
///
/// # Errors
/// [`CheckpointError`], with everything that is missing at once.
pub fn check_checkpoint(folder: &Path, graphs: &[GraphId]) -> Result<(), CheckpointError> {
    if !folder.is_dir() {
        let folder = folder.to_owned();
        return Err(CheckpointError::NoFolder { folder });
    }
    let family = family_of(folder)?;
    let weights = match family {
        Some(family) => weights_for(folder, family, graphs)?,
        None => &LAYOUT.weights,
    };
    let configuration = family.is_none().then(|| LAYOUT.configurations());
    let lacking = weights
        .iter()
        .filter(|stem| weights_file(folder, stem).is_none())
        .map(|stem| LAYOUT.names_of(stem).collect::<Vec<_>>().join(" or "));
    let missing: Vec<String> = configuration.into_iter().chain(lacking).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(CheckpointError::Missing {
        folder: folder.to_owned(),
        missing,
    })
}

/// The stems of a checkpoint's weights, in the order of their names.
pub(super) fn weights() -> impl Iterator<Item = &'static str> {
    let mut stems: Vec<&str> = LAYOUT.weights.iter().map(String::as_str).collect();
    stems.sort_unstable();
    stems.into_iter()
}

/// The name of the file with the weights of a stem, where the folder has one.
pub(super) fn weights_file(folder: &Path, stem: &str) -> Option<String> {
    LAYOUT
        .names_of(stem)
        .find(|name| folder.join(name).is_file())
}

/// The files of a checkpoint's folder.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Layout {
    weights: Vec<String>,
    suffixes: Vec<String>,
    flat_configuration: String,
    families: BTreeMap<Family, FamilyFiles>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct FamilyFiles {
    configuration: String,
    /// What exporting the whole family needs, where it is not.
    not_exported: Option<String>,
    by_name: Option<ByName>,
}

/// Graphs that are exported where they are named, and the weights they come from.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ByName {
    graphs: Vec<GraphId>,
    weights: Vec<String>,
}

static LAYOUT: LazyLock<Layout> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../scripts/export/checkpoint.json"))
        .expect("the program's own file")
});

impl Layout {
    fn names_of<'a>(&'a self, stem: &'a str) -> impl Iterator<Item = String> + 'a {
        self.suffixes
            .iter()
            .map(move |suffix| format!("{stem}{suffix}"))
    }

    /// The name that a stem's file is released under.
    fn file_of(&self, stem: &str) -> String {
        self.names_of(stem).next().unwrap_or_default()
    }

    fn configurations(&self) -> String {
        let families = self.families.values();
        let files = families.map(|files| files.configuration.as_str());
        let files = files.chain([self.flat_configuration.as_str()]);
        files.collect::<Vec<_>>().join(" or ")
    }
}

/// What of the flat configuration says its family.
#[derive(Debug, serde::Deserialize)]
struct Flat {
    family: Family,
}

/// The family that the folder's configuration is of; `None` where there is none.
fn family_of(folder: &Path) -> Result<Option<Family>, CheckpointError> {
    let named = |(_, files): &(&Family, &FamilyFiles)| folder.join(&files.configuration).is_file();
    if let Some((family, _)) = LAYOUT.families.iter().find(named) {
        return Ok(Some(*family));
    }
    let file = folder.join(&LAYOUT.flat_configuration);
    if !file.is_file() {
        return Ok(None);
    }
    let flat = std::fs::read_to_string(&file).map_err(|error| error.to_string());
    let flat =
        flat.and_then(|text| crate::yaml::parse::<Flat>(&text).map_err(|error| error.to_string()));
    match flat {
        Ok(Flat { family }) => Ok(Some(family)),
        Err(reason) => Err(CheckpointError::Family { file, reason }),
    }
}

/// The weights that the graphs of a family come from.
fn weights_for(
    folder: &Path,
    family: Family,
    graphs: &[GraphId],
) -> Result<&'static [String], CheckpointError> {
    let layout: &'static Layout = &LAYOUT;
    let FamilyFiles {
        not_exported,
        by_name,
        ..
    } = &layout.families[&family];
    let Some(needs) = not_exported else {
        return Ok(&layout.weights);
    };
    let is_named =
        |own: &&ByName| !graphs.is_empty() && graphs.iter().all(|graph| own.graphs.contains(graph));
    if let Some(own) = by_name.as_ref().filter(is_named) {
        return Ok(&own.weights);
    }
    Err(CheckpointError::NotExported {
        folder: folder.to_owned(),
        family,
        needs,
        by_name: by_name.as_ref().map_or(&[], |own| own.graphs.as_slice()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Files of a folder, the graphs asked for, and what the error says; nothing where there is none.
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a [GraphId], &'a [&'a str]);

    #[test]
    fn everything_that_is_missing_is_said_at_once() {
        const WEIGHTS: [(&str, &str); 3] =
            [("llm.pt", ""), ("flow.safetensors", ""), ("hift.pt", "")];
        let [llm, flow, hift] = WEIGHTS;
        let cases: &[Case<'_>] = &[
            (
                &[],
                &[],
                &[
                    "cosyvoice2.yaml",
                    "config.yaml",
                    "llm.pt or llm.safetensors",
                    "flow.pt",
                    "hift.pt",
                ],
            ),
            (&[llm, flow, hift], &[], &["cosyvoice2.yaml"]),
            (&[llm, flow, hift, ("cosyvoice2.yaml", "")], &[], &[]),
            (
                &[llm, ("cosyvoice2.yaml", "")],
                &[],
                &["no flow.pt or flow.safetensors, no hift.pt"],
            ),
            (
                &[llm, flow, hift, ("config.yaml", "family: cosyvoice2\n")],
                &[],
                &[],
            ),
            (
                &[("config.yaml", "family: cosyvoice9\n")],
                &[],
                &["config.yaml", "cosyvoice9"],
            ),
            (&[("config.yaml", "[")], &[], &["config.yaml", "line"]),
            (
                &[llm, flow, hift, ("cosyvoice.yaml", "")],
                &[],
                &["`cosyvoice` is not exported yet"],
            ),
            (
                &[flow, ("cosyvoice3.yaml", "")],
                &[],
                &["`cosyvoice3` is not exported yet"],
            ),
            (
                &[flow, ("cosyvoice3.yaml", "")],
                &[GraphId::FlowEstimator],
                &[],
            ),
            (
                &[llm, ("cosyvoice3.yaml", "")],
                &[GraphId::FlowEstimator],
                &["no flow.pt"],
            ),
            (
                &[flow, ("cosyvoice3.yaml", "")],
                &[GraphId::FlowEstimator, GraphId::Llm],
                &["not exported"],
            ),
        ];
        for (files, graphs, said) in cases {
            let folder = tempfile::tempdir().expect("a temporary folder");
            for (name, content) in *files {
                fs::write(folder.path().join(name), content).expect("written");
            }
            match check_checkpoint(folder.path(), graphs) {
                Ok(()) => assert!(said.is_empty(), "{files:?}"),
                Err(error) => {
                    assert!(!said.is_empty(), "{files:?}: {error}");
                    assert!(error.hint().is_some());
                    let text = error.to_string();
                    assert!(
                        said.iter().all(|word| text.contains(word)),
                        "{files:?}: {text}"
                    );
                }
            }
        }
        let none = check_checkpoint(Path::new("no/such/folder"), &[]).expect_err("it is none");
        assert!(
            none.hint().is_some_and(|hint| hint.contains("llm.pt")),
            "{none}"
        );
    }
}
