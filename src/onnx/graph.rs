//! A graph to rewrite.

use super::error::OnnxError;
use super::external::{ExternalData, is_external};
use super::file::ModelFile;
use super::index::Index;
use super::proto::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto};
use super::walk;
use std::fmt;
use std::path::{Path, PathBuf};

/// A model that passes may change, with the data its tensors refer to.
///
/// Raw tensor data is shared with the file it came from until a pass replaces it.
#[derive(Clone)]
pub struct Graph {
    file: PathBuf,
    folder: Option<PathBuf>,
    model: ModelProto,
    external: ExternalData,
}

/// Why a graph is not well formed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphFault {
    /// Two things give a value of the same name.
    #[error("the value `{0}` has two sources")]
    Duplicate(String),
    /// A node reads a value that nothing gives.
    #[error("`{node}` reads `{value}`, which nothing gives")]
    Dangling {
        /// The node.
        node: String,
        /// The value.
        value: String,
    },
    /// A node comes before one whose output it reads, or they form a cycle.
    #[error("`{node}` reads `{value}`, which a later node gives")]
    OutOfOrder {
        /// The node.
        node: String,
        /// The value.
        value: String,
    },
    /// A graph output that nothing gives.
    #[error("the output `{0}` is given by nothing")]
    MissingOutput(String),
    /// Inputs of a node that should have one type have two.
    #[error("`{node}` reads `{first}` as {first_type} and `{second}` as {second_type}")]
    MixedTypes {
        /// The node.
        node: String,
        /// One value.
        first: String,
        /// Its type.
        first_type: &'static str,
        /// The other value.
        second: String,
        /// Its type.
        second_type: &'static str,
    },
}

impl Graph {
    /// A copy of a file's model to change; weights are shared, not copied.
    pub fn of(file: &ModelFile) -> Self {
        Self {
            file: file.path().to_owned(),
            folder: file.folder().map(Into::into),
            model: file.model().clone(),
            external: file.external().clone(),
        }
    }

    /// The file it came from, for messages.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The folder that paths of external data are relative to; `None` for a model from memory.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// The whole model.
    pub fn model(&self) -> &ModelProto {
        &self.model
    }

    /// The graph itself.
    pub fn proto(&self) -> &GraphProto {
        self.model
            .graph
            .as_ref()
            .expect("a model without a graph is not decoded")
    }

    /// The graph itself, to change.
    pub fn proto_mut(&mut self) -> &mut GraphProto {
        self.model
            .graph
            .as_mut()
            .expect("a model without a graph is not decoded")
    }

    /// Adds an operator set, where the model does not import its domain yet.
    pub fn import(&mut self, set: OperatorSetIdProto) {
        let sets = &mut self.model.opset_import;
        if sets.iter().all(|one| one.domain() != set.domain()) {
            sets.push(set);
        }
    }

    /// The data files its tensors refer to.
    pub fn external(&self) -> &ExternalData {
        &self.external
    }

    /// Whether any tensor still has its data outside the model.
    pub fn has_external(&self) -> bool {
        walk::tensors(&self.model).any(is_external)
    }

    /// The index of a well-formed graph.
    ///
    /// # Errors
    /// [`OnnxError::Graph`] with the first fault.
    pub fn index(&self) -> Result<Index, OnnxError> {
        let index = Index::of(self.proto());
        match index.faults().first() {
            None => Ok(index),
            Some(fault) => Err(self.fault(fault.clone())),
        }
    }

    /// Refuses graphs with subgraphs or local functions, which passes do not rewrite.
    ///
    /// # Errors
    /// [`OnnxError::NotFlat`].
    pub fn require_flat(&self) -> Result<(), OnnxError> {
        let refuse = |node: String, construct: &str| {
            Err(OnnxError::NotFlat {
                file: self.file.clone(),
                node,
                construct: construct.to_owned(),
            })
        };
        if let Some(function) = self.model.functions.first() {
            return refuse(function.name().to_owned(), "local function");
        }
        let with_body = self.proto().node.iter().enumerate();
        for (position, node) in with_body {
            if walk::subgraphs(node).next().is_some() {
                return refuse(node_label(node, position), node.op_type());
            }
        }
        Ok(())
    }

    /// This fault as an error that names the file.
    pub(super) fn fault(&self, fault: GraphFault) -> OnnxError {
        OnnxError::Graph {
            file: self.file.clone(),
            fault: Box::new(fault),
        }
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph")
            .field("file", &self.file)
            .field("nodes", &self.proto().node.len())
            .finish_non_exhaustive()
    }
}

/// What to call a node: its name, or operator and position where it has none.
pub fn node_label(node: &NodeProto, position: usize) -> String {
    match node.name() {
        "" => format!("{}#{position}", node.op_type()),
        name => name.to_owned(),
    }
}
