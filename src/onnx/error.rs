//! Why an ONNX file cannot be used.

use super::evaluate::EvaluateError;
use super::graph::GraphFault;
use super::proto::tensor_proto::DataType;
use crate::hint::{Class, Hint};
use std::borrow::Cow;
use std::path::PathBuf;

/// Why an ONNX file cannot be read or rewritten; every variant names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// The file, or a data file beside it, cannot be read.
    #[error("cannot read {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is larger than the format allows.
    #[error("{}: {bytes} bytes, an ONNX file has at most {limit}", file.display())]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// Its size, or the size it would have.
        bytes: u64,
        /// Largest size.
        limit: u64,
    },
    /// The bytes are no protobuf message of this kind.
    #[error("{}: not an ONNX model", file.display())]
    Decode {
        /// The file.
        file: PathBuf,
        /// What the decoder met.
        #[source]
        source: prost::DecodeError,
    },
    /// The message would take far more memory than the file.
    #[error("{}: more than {limit} nodes, tensors, names and numbers", file.display())]
    TooManyParts {
        /// The file.
        file: PathBuf,
        /// Most parts a model may have.
        limit: u64,
    },
    /// The message holds no graph.
    #[error("{}: holds no graph", file.display())]
    NoGraph {
        /// The file.
        file: PathBuf,
    },
    /// A tensor's data is not what the tensor declares.
    #[error("{}: tensor `{tensor}` cannot be read", file.display())]
    Tensor {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// Why.
        #[source]
        fault: TensorFault,
    },
    /// An input or output is not a dense tensor of a type we pass.
    #[error("{}: `{value}` is {found}, which no backend here takes as an input or output", file.display())]
    Interface {
        /// The file.
        file: PathBuf,
        /// The input or output.
        value: String,
        /// What it is.
        found: String,
    },
    /// The graph is not well formed.
    #[error("{}: the graph is not well formed", file.display())]
    Graph {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        #[source]
        fault: Box<GraphFault>,
    },
    /// The graph has a part that passes do not rewrite.
    #[error("{}: `{node}` ({construct}) cannot be rewritten", file.display())]
    NotFlat {
        /// The file.
        file: PathBuf,
        /// The node or function.
        node: String,
        /// Operator type, or `local function`.
        construct: String,
    },
    /// Constants are too large for the type they would get.
    #[error("{}: {} too large for {to}: {}", file.display(), plural(tensors.len(), "constant is", "constants are"), list(tensors))]
    Saturates {
        /// The file.
        file: PathBuf,
        /// The type.
        to: &'static str,
        /// Every tensor with such a value.
        tensors: Vec<Saturation>,
    },
    /// A part of the graph that depends on one input alone could not be computed.
    #[error("{}: what depends on `{input}` alone cannot be computed", file.display())]
    Evaluate {
        /// The file.
        file: PathBuf,
        /// The input.
        input: String,
        /// Why.
        #[source]
        source: EvaluateError,
    },
    /// A recipe names a value or node that the graph lacks, or one that cannot have the type.
    #[error("{}: `{name}` {problem}", file.display())]
    Parameter {
        /// The file.
        file: PathBuf,
        /// The name given.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// Why the data of one tensor cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TensorFault {
    /// A size is negative, or the sizes multiply to more than memory holds.
    #[error("its sizes {0:?} are no shape")]
    Dims(Vec<i64>),
    /// The element type is unknown or has no fixed size.
    #[error("its element type is {}", element_name(*.0))]
    Type(i32),
    /// The data has another length than the shape needs.
    #[error("{expected} bytes are declared, {found} are there")]
    Length {
        /// Bytes its type and sizes need.
        expected: u64,
        /// Bytes found.
        found: u64,
    },
    /// The external data names no file, or its offset or length is no number.
    #[error("its external data has no usable `{0}`")]
    Entry(&'static str),
    /// The external data is outside the model's folder.
    #[error("its external data `{0}` is outside the folder of the model")]
    Escape(String),
    /// The external data ends beyond its file.
    #[error("its external data is at {offset}+{length} of `{location}`, which has {size} bytes")]
    Bounds {
        /// File name relative to the model's folder.
        location: String,
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u64,
        /// Size of that file.
        size: u64,
    },
    /// The model came from memory, where it has no folder.
    #[error("its external data `{0}` needs a folder, and this model came from memory")]
    NoFolder(String),
}

/// A constant that does not fit a half type.
#[derive(Debug, Clone, PartialEq)]
pub struct Saturation {
    /// The tensor.
    pub tensor: String,
    /// Values that would become infinite.
    pub values: u64,
    /// The largest of them by magnitude.
    pub worst: f32,
}

impl Hint for OnnxError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Saturates { .. } => {
                Some("use --bf16, or keep the operators that read these constants in FP32".into())
            }
            Self::NoGraph { .. } | Self::Decode { .. } => {
                Some("the file may be a pointer or an incomplete download: fetch it again".into())
            }
            Self::TooLarge { .. } => Some("export the graph with external data".into()),
            _ => None,
        }
    }

    fn class(&self) -> Class {
        Class::Input
    }
}

fn element_name(code: i32) -> String {
    match DataType::try_from(code) {
        Ok(known) => known.as_str_name().to_owned(),
        Err(_) => format!("number {code}"),
    }
}

fn plural<'a>(count: usize, one: &'a str, many: &'a str) -> &'a str {
    if count == 1 { one } else { many }
}

fn list(tensors: &[Saturation]) -> String {
    let words: Vec<String> = tensors
        .iter()
        .map(|saturation| format!("`{}` ({:e})", saturation.tensor, saturation.worst))
        .collect();
    words.join(", ")
}
