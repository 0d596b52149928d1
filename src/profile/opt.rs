//! Shape ranges: by axis as a user writes them, by input as a builder takes them.

use crate::ids::Axis;
use crate::tensor::{AxisSizes, Shape, Signature, SignatureError};
use std::collections::BTreeMap;

/// The range of one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extent {
    /// Smallest size accepted.
    pub min: usize,
    /// The size to be fastest at.
    pub opt: usize,
    /// Largest size accepted.
    pub max: usize,
}

/// One range per axis, under a name: `prefill`, `decode_256`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShapeSet {
    /// Name, unique within a graph.
    pub name: String,
    /// Range of each axis the graph's inputs depend on.
    pub axes: BTreeMap<Axis, Extent>,
}

/// The range of one input.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct InputRange {
    /// The input's name.
    pub name: String,
    /// Smallest shape.
    pub min: Shape,
    /// Shape to tune for.
    pub opt: Shape,
    /// Largest shape.
    pub max: Shape,
}

/// An optimisation profile: a [`ShapeSet`] spelled out for every input of one graph, in the graph's order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct OptProfile {
    /// The shape set's name.
    pub name: String,
    /// One range per input; a static input has three equal shapes.
    pub inputs: Vec<InputRange>,
}

impl ShapeSet {
    /// Spells the ranges out for a graph.
    ///
    /// # Errors
    /// [`SignatureError::NoSize`] when an input depends on an axis without a range, [`SignatureError::UnknownDim`] when
    /// a dimension is named in words no axis has.
    pub fn resolve(&self, signature: &Signature) -> Result<OptProfile, SignatureError> {
        let ends = [
            self.sizes(|extent| extent.min),
            self.sizes(|extent| extent.opt),
            self.sizes(|extent| extent.max),
        ];
        let inputs = signature
            .inputs
            .iter()
            .map(|port| {
                let [min, opt, max] = [
                    port.shape(&ends[0])?,
                    port.shape(&ends[1])?,
                    port.shape(&ends[2])?,
                ];
                Ok(InputRange {
                    name: port.name.clone(),
                    min,
                    opt,
                    max,
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(OptProfile {
            name: self.name.clone(),
            inputs,
        })
    }

    /// One size per axis, picked from each range.
    pub fn sizes(&self, pick: impl Fn(&Extent) -> usize) -> AxisSizes {
        self.axes
            .iter()
            .map(|(axis, extent)| (*axis, pick(extent)))
            .collect()
    }
}
