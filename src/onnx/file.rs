//! Reading a model file.

use super::error::OnnxError;
use super::external::{ExternalData, MapError, is_external};
use super::mapping::map_file;
use super::proto::{GraphProto, ModelProto};
use super::{parts, walk};
use prost::Message;
use prost::bytes::Bytes;
use std::fmt;
use std::path::{Path, PathBuf};

/// Largest protobuf message there can be.
pub const MAX_MODEL_BYTES: u64 = (1 << 31) - 1;

/// A decoded ONNX model with its bytes and its external data.
///
/// The file and its data files are mapped; raw tensor data stays in the mapping, so that opening a large model costs
/// little more than its nodes.
#[derive(Clone)]
pub struct ModelFile {
    path: PathBuf,
    folder: Option<PathBuf>,
    bytes: Bytes,
    model: ModelProto,
    external: ExternalData,
}

impl ModelFile {
    /// Opens a model file and the data files it names.
    ///
    /// # Errors
    /// [`OnnxError::Read`], [`OnnxError::TooLarge`], [`OnnxError::TooManyParts`], [`OnnxError::Decode`],
    /// [`OnnxError::NoGraph`]; [`OnnxError::Tensor`] where external data is missing, outside the folder or too short.
    pub fn open(path: &Path) -> Result<Self, OnnxError> {
        let bytes = map_file(path).map_err(|source| OnnxError::Read {
            file: path.to_owned(),
            source,
        })?;
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        Self::decode(path.to_owned(), Some(folder), bytes)
    }

    /// Decodes a model that is in memory; `name` stands for the file in messages. It can have no external data.
    ///
    /// # Errors
    /// As [`ModelFile::open`].
    pub fn from_bytes(name: impl Into<PathBuf>, bytes: Bytes) -> Result<Self, OnnxError> {
        Self::decode(name.into(), None, bytes)
    }

    /// The same model after it was rewritten to `bytes`: what it kept of its external data lies where it lay.
    ///
    /// # Errors
    /// As [`ModelFile::open`].
    pub fn rewritten_to(&self, bytes: Bytes) -> Result<Self, OnnxError> {
        Self::decode(self.path.clone(), self.folder.clone(), bytes)
    }

    /// Where the model came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of its data files; `None` for a model from memory.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// The serialised model, without external data.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The decoded model.
    pub fn model(&self) -> &ModelProto {
        &self.model
    }

    /// The model's graph.
    pub fn graph(&self) -> &GraphProto {
        self.model
            .graph
            .as_ref()
            .expect("a model without a graph is not decoded")
    }

    /// The mapped data files.
    pub fn external(&self) -> &ExternalData {
        &self.external
    }

    fn decode(path: PathBuf, folder: Option<PathBuf>, bytes: Bytes) -> Result<Self, OnnxError> {
        if bytes.len() as u64 > MAX_MODEL_BYTES {
            return Err(OnnxError::TooLarge {
                file: path,
                bytes: bytes.len() as u64,
                limit: MAX_MODEL_BYTES,
            });
        }
        if parts::exceed_limit(&bytes) {
            return Err(OnnxError::TooManyParts {
                file: path,
                limit: parts::LIMIT,
            });
        }
        let model = match ModelProto::decode(bytes.clone()) {
            Ok(model) => model,
            Err(source) => return Err(OnnxError::Decode { file: path, source }),
        };
        if model.graph.is_none() {
            return Err(OnnxError::NoGraph { file: path });
        }
        let mut external = ExternalData::default();
        for tensor in walk::tensors(&model).filter(|tensor| is_external(tensor)) {
            external
                .admit(tensor, folder.as_deref())
                .map_err(|error| match error {
                    MapError::Fault(fault) => OnnxError::Tensor {
                        file: path.clone(),
                        tensor: tensor.name().to_owned(),
                        fault,
                    },
                    MapError::Read(file, source) => OnnxError::Read { file, source },
                })?;
        }
        Ok(Self {
            path,
            folder,
            bytes,
            model,
            external,
        })
    }
}

impl fmt::Debug for ModelFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelFile")
            .field("path", &self.path)
            .field("bytes", &self.bytes.len())
            .field("external", &self.external)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
