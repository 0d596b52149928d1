//! What a parsed network is made of, as the library sees it.

use crate::tensor::DType;
use std::collections::BTreeMap;

/// One network input or output.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TensorInfo {
    /// Tensor name.
    pub name: String,
    /// Element type, `None` where it is none of ours.
    pub dtype: Option<DType>,
    /// Sizes, outermost first; `None` where dynamic.
    pub dims: Vec<Option<usize>>,
}

/// One layer of a network, before the builder fuses it with others.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LayerInfo {
    /// Layer name; the parser makes it of the ONNX node's.
    pub name: String,
    /// `convolution`, `matrix_multiply`, …
    pub kind: String,
    /// Type of the first output, which is what a strongly typed network computes in; `None` where it is none of ours.
    pub dtype: Option<DType>,
}

/// A network as parsed.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NetworkSummary {
    /// Inputs, in the graph's order.
    pub inputs: Vec<TensorInfo>,
    /// Outputs, in the graph's order.
    pub outputs: Vec<TensorInfo>,
    /// Layers, in the network's order.
    pub layers: Vec<LayerInfo>,
}

/// How many layers of one kind compute in one type.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LayerCount {
    /// Layer kind.
    pub kind: String,
    /// Type of the first output.
    pub dtype: Option<DType>,
    /// Number of layers.
    pub count: usize,
}

impl NetworkSummary {
    /// Layers counted by kind and type, in the order of their names.
    pub fn histogram(&self) -> Vec<LayerCount> {
        let mut counts = BTreeMap::<(&str, Option<DType>), usize>::new();
        for layer in &self.layers {
            *counts.entry((&layer.kind, layer.dtype)).or_default() += 1;
        }
        counts
            .into_iter()
            .map(|((kind, dtype), count)| LayerCount {
                kind: kind.to_owned(),
                dtype,
                count,
            })
            .collect()
    }
}

impl std::fmt::Display for TensorInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` [", self.name)?;
        for (axis, size) in self.dims.iter().enumerate() {
            let comma = if axis == 0 { "" } else { ", " };
            match size {
                Some(size) => write!(f, "{comma}{size}")?,
                None => write!(f, "{comma}?")?,
            }
        }
        f.write_str("]")
    }
}
