//! Shape ranges: by axis as a user writes them, by input as a builder takes them.

use super::checked::checked;
use crate::ids::Axis;
use crate::tensor::{AxisSizes, Shape, Signature, SignatureError};
use std::collections::BTreeMap;
use std::fmt;

/// The range of one axis: `1 ≤ min ≤ opt ≤ max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
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

impl Extent {
    /// The part of the range that is at most `limit`, or `None` where nothing is.
    pub fn at_most(self, limit: usize) -> Option<Self> {
        (self.min <= limit).then(|| Self {
            min: self.min,
            opt: self.opt.min(limit),
            max: self.max.min(limit),
        })
    }

    /// Whether the axis has one size only.
    pub fn is_fixed(self) -> bool {
        self.min == self.max
    }

    fn check(self) -> Result<Self, String> {
        let Self { min, opt, max } = self;
        if 1 <= min && min <= opt && opt <= max {
            Ok(self)
        } else {
            Err(format!(
                "a range needs 1 ≤ min ≤ opt ≤ max, here are {min}, {opt}, {max}"
            ))
        }
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.min, self.opt, self.max)
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExtent {
    min: usize,
    opt: usize,
    max: usize,
}

impl<'de> serde::Deserialize<'de> for Extent {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        checked(deserializer, |RawExtent { min, opt, max }: RawExtent| {
            Self { min, opt, max }.check()
        })
    }
}
