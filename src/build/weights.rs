//! External weights: a model may take no others than its bundle lists.

use crate::bundle::GraphFile;
use crate::hint::{Class, Hint};
use crate::ids::GraphId;
use crate::onnx::{ModelFile, OnnxError};
use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

/// Why a model's weights are not those of its bundle.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The model cannot be read.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// The model names a file that is not listed.
    #[error("`{graph}` takes weights from `{file}`, which the bundle does not list")]
    Unlisted {
        /// The graph.
        graph: GraphId,
        /// The file, as the model names it.
        file: String,
    },
}

/// Refuses a graph whose model takes weights that the bundle does not list, and so nobody has checked.
///
/// # Errors
/// [`WeightsError`].
pub fn check_weights(graph: GraphId, file: &GraphFile) -> Result<(), WeightsError> {
    let GraphFile { path, data, .. } = file;
    refuse_unlisted(graph, &ModelFile::open(path)?, path, data)
}

/// As [`check_weights`], of a model that is open: `path` is its file, `data` what the bundle lists.
pub(super) fn refuse_unlisted(
    graph: GraphId,
    model: &ModelFile,
    path: &Path,
    data: &[PathBuf],
) -> Result<(), WeightsError> {
    let folder = path.parent().unwrap_or(Path::new(""));
    // Compared as files, since a location may be written in more than one way.
    let listed: Vec<PathBuf> = data
        .iter()
        .filter_map(|file| fs::canonicalize(file).ok())
        .collect();
    let is_listed = |location: &str| {
        fs::canonicalize(folder.join(location)).is_ok_and(|path| listed.contains(&path))
    };
    let mut named = model.external().files().map(|(location, _)| location);
    match named.find(|location| !is_listed(location)) {
        Some(location) => Err(WeightsError::Unlisted {
            graph,
            file: location.to_owned(),
        }),
        None => Ok(()),
    }
}

impl Hint for WeightsError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Onnx(error) => error.hint(),
            Self::Unlisted { .. } => {
                Some("list it under the graph's `data` and under `files`, or export again".into())
            }
        }
    }

    fn class(&self) -> Class {
        Class::Input
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Digest;
    use crate::onnx::builder::GraphBuilder;
    use crate::tensor::DType;

    #[test]
    fn weights_that_the_bundle_does_not_list_are_refused() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let weights = folder.path().join("m.data");
        fs::write(&weights, [0; 16]).expect("writable");
        let model = folder.path().join("m.onnx");
        let graph = GraphBuilder::new()
            .external_constant("w", &[4], "m.data", 0, 16)
            .node("Relu", &["w"], &["y"])
            .output("y", DType::F32, &["4"]);
        fs::write(&model, graph.encode()).expect("writable");
        let mut file = GraphFile {
            path: model,
            data: vec![weights],
            sha256: Digest::of(b""),
        };
        check_weights(GraphId::HiftF0, &file).expect("it is listed");
        file.data.clear();
        let error = check_weights(GraphId::HiftF0, &file).expect_err("it is not");
        assert!(
            matches!(&error, WeightsError::Unlisted { graph: GraphId::HiftF0, file } if file == "m.data"),
            "{error:?}"
        );
        assert_eq!(error.class(), Class::Input);
    }
}
