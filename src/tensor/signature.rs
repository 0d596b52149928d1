//! What a graph takes and gives: names, element types and dimensions that may depend on an axis.

use super::{DType, Shape};
use crate::ids::Axis;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Sizes chosen for the axes of one call or one end of an optimisation profile.
pub type AxisSizes = BTreeMap<Axis, usize>;

/// One dimension of a tensor in a signature.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Dim {
    /// Always this size.
    Fixed(usize),
    /// `factor * axis + offset`, as `480*frames+16`.
    Axis {
        /// The axis that decides.
        axis: Axis,
        /// Multiplies the axis' size, at least 1.
        factor: usize,
        /// Added after.
        offset: usize,
    },
    /// A dynamic dimension in words of another exporter.
    Unknown(String),
}

/// One input or output of a graph.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Port {
    /// The tensor's name in the graph.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Dimensions, outermost first.
    pub dims: Vec<Dim>,
}

/// The inputs and outputs of a graph, in the graph's order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Signature {
    /// Inputs.
    pub inputs: Vec<Port>,
    /// Outputs.
    pub outputs: Vec<Port>,
}

/// Why a signature and given sizes do not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// No such input or output.
    #[error("there is no tensor `{0}`")]
    NoPort(String),
    /// An axis of the port has no size.
    #[error("`{port}` depends on the axis `{axis}`, which has no size")]
    NoSize {
        /// The port.
        port: String,
        /// The axis without a size.
        axis: Axis,
    },
    /// A dimension is named in words no axis has.
    #[error("dimension {index} of `{port}` is `{name}`, which is no known axis")]
    UnknownDim {
        /// The port.
        port: String,
        /// Which dimension.
        index: usize,
        /// Its name in the file.
        name: String,
    },
    /// A shape has the wrong number of dimensions.
    #[error("`{port}` has {expected} dimensions, {found} were given")]
    Rank {
        /// The port.
        port: String,
        /// Dimensions of the port.
        expected: usize,
        /// Dimensions given.
        found: usize,
    },
    /// A size does not fit the dimension.
    #[error("dimension {index} of `{port}` is {found}, expected {expected}")]
    Size {
        /// The port.
        port: String,
        /// Which dimension.
        index: usize,
        /// What the signature asks for.
        expected: String,
        /// What was given.
        found: usize,
    },
    /// A resolved shape is no valid shape.
    #[error("`{port}`: {source}")]
    Shape {
        /// The port.
        port: String,
        /// Why.
        source: super::ShapeError,
    },
}

impl Signature {
    /// Position of an input.
    pub fn input_index(&self, name: &str) -> Option<usize> {
        self.inputs.iter().position(|port| port.name == name)
    }

    /// Position of an output.
    pub fn output_index(&self, name: &str) -> Option<usize> {
        self.outputs.iter().position(|port| port.name == name)
    }

    /// Every axis that some input depends on.
    pub fn axes(&self) -> Vec<Axis> {
        let mut axes: Vec<Axis> = self
            .inputs
            .iter()
            .flat_map(|port| &port.dims)
            .filter_map(Dim::axis)
            .collect();
        axes.sort_unstable();
        axes.dedup();
        axes
    }

    /// The axis sizes that given input shapes imply.
    ///
    /// # Errors
    /// [`SignatureError::Rank`] or [`SignatureError::Size`] where a shape contradicts the signature or another shape.
    pub fn sizes_from_inputs(&self, shapes: &[Shape]) -> Result<AxisSizes, SignatureError> {
        let mut sizes = AxisSizes::new();
        for (port, shape) in self.inputs.iter().zip(shapes) {
            port.collect_sizes(*shape, &mut sizes)?;
        }
        Ok(sizes)
    }
}

impl Port {
    /// The shape of this port for given axis sizes.
    ///
    /// # Errors
    /// [`SignatureError::NoSize`], [`SignatureError::UnknownDim`], or [`SignatureError::Shape`] when the product overflows.
    pub fn shape(&self, sizes: &AxisSizes) -> Result<Shape, SignatureError> {
        let mut dims = Vec::with_capacity(self.dims.len());
        for (index, dim) in self.dims.iter().enumerate() {
            dims.push(match dim {
                Dim::Fixed(size) => *size,
                Dim::Axis {
                    axis,
                    factor,
                    offset,
                } => {
                    let size = sizes.get(axis).ok_or_else(|| self.no_size(*axis))?;
                    size.saturating_mul(*factor).saturating_add(*offset)
                }
                Dim::Unknown(name) => {
                    return Err(SignatureError::UnknownDim {
                        port: self.name.clone(),
                        index,
                        name: name.clone(),
                    });
                }
            });
        }
        Shape::checked(&dims).map_err(|source| SignatureError::Shape {
            port: self.name.clone(),
            source,
        })
    }

    /// Whether any dimension depends on an axis or is unknown.
    pub fn is_dynamic(&self) -> bool {
        self.dims.iter().any(|dim| !matches!(dim, Dim::Fixed(_)))
    }

    fn collect_sizes(&self, shape: Shape, sizes: &mut AxisSizes) -> Result<(), SignatureError> {
        if shape.rank() != self.dims.len() {
            let (expected, found) = (self.dims.len(), shape.rank());
            return Err(SignatureError::Rank {
                port: self.name.clone(),
                expected,
                found,
            });
        }
        for (index, (dim, &found)) in self.dims.iter().zip(shape.dims()).enumerate() {
            let wrong = |expected: String| SignatureError::Size {
                port: self.name.clone(),
                index,
                expected,
                found,
            };
            match dim {
                Dim::Unknown(_) => {}
                Dim::Fixed(size) if *size == found => {}
                Dim::Fixed(size) => return Err(wrong(size.to_string())),
                Dim::Axis {
                    axis,
                    factor,
                    offset,
                } => {
                    let size = found
                        .checked_sub(*offset)
                        .filter(|rest| rest.checked_rem(*factor) == Some(0))
                        .map(|rest| rest / factor)
                        .ok_or_else(|| wrong(dim.to_string()))?;
                    let known = *sizes.entry(*axis).or_insert(size);
                    if known != size {
                        return Err(wrong(format!(
                            "{} ({dim} with {axis} = {known})",
                            known * factor + offset
                        )));
                    }
                }
            }
        }
        Ok(())
    }

    fn no_size(&self, axis: Axis) -> SignatureError {
        SignatureError::NoSize {
            port: self.name.clone(),
            axis,
        }
    }
}

impl Dim {
    /// The axis this dimension depends on.
    pub fn axis(&self) -> Option<Axis> {
        match self {
            Self::Axis { axis, .. } => Some(*axis),
            Self::Fixed(_) | Self::Unknown(_) => None,
        }
    }

    /// Reads a `dim_param`: `frames`, `480*frames+16`; anything else, other spellings too, is [`Dim::Unknown`].
    ///
    /// So every `dim_param` prints back as it was.
    pub fn from_param(text: &str) -> Self {
        parse_param(text)
            .filter(|dim| dim.to_string() == text)
            .unwrap_or_else(|| Self::Unknown(text.to_owned()))
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(size) => write!(f, "{size}"),
            Self::Unknown(name) => f.write_str(name),
            Self::Axis {
                axis,
                factor,
                offset,
            } => {
                if *factor != 1 {
                    write!(f, "{factor}*")?;
                }
                write!(f, "{axis}")?;
                if *offset != 0 {
                    write!(f, "+{offset}")
                } else {
                    Ok(())
                }
            }
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} [", self.name, self.dtype)?;
        for (index, dim) in self.dims.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{dim}")?;
        }
        f.write_str("]")
    }
}

fn parse_param(text: &str) -> Option<Dim> {
    let (scaled, offset) = match text.split_once('+') {
        Some((scaled, offset)) => (scaled, offset.parse().ok()?),
        None => (text, 0),
    };
    let (factor, axis) = match scaled.split_once('*') {
        Some((factor, axis)) => (factor.parse().ok().filter(|&factor| factor > 0)?, axis),
        None => (1, scaled),
    };
    let axis = Axis::from_str(axis).ok()?;
    Some(Dim::Axis {
        axis,
        factor,
        offset,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: &str, dims: &[&str]) -> Port {
        let dims = dims
            .iter()
            .map(|dim| {
                dim.parse()
                    .map_or_else(|_| Dim::from_param(dim), Dim::Fixed)
            })
            .collect();
        Port {
            name: name.to_owned(),
            dtype: DType::F32,
            dims,
        }
    }

    #[test]
    fn a_param_reads_and_prints_the_same() {
        for text in ["frames", "2*tokens", "480*frames+16", "frames+4"] {
            let dim = Dim::from_param(text);
            assert!(matches!(dim, Dim::Axis { .. }), "{text}");
            assert_eq!(dim.to_string(), text);
        }
        for text in [
            "",
            "T",
            "0*frames",
            "1*frames",
            "frames+0",
            "02*frames",
            "2 * frames",
            "frames+3+4",
            "frames*2",
            "+3",
        ] {
            assert_eq!(
                Dim::from_param(text),
                Dim::Unknown(text.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn shapes_follow_the_axes_and_back() {
        let signature = Signature {
            inputs: vec![
                port("mel", &["1", "80", "frames"]),
                port("source_pad", &["1", "1", "480*frames+16"]),
            ],
            outputs: vec![],
        };
        let sizes = AxisSizes::from([(Axis::Frames, 10)]);
        let shapes: Vec<Shape> = signature
            .inputs
            .iter()
            .map(|port| port.shape(&sizes).expect("sized"))
            .collect();
        assert_eq!(shapes[1].dims(), [1, 1, 4816]);
        assert_eq!(signature.sizes_from_inputs(&shapes), Ok(sizes));
    }

    #[test]
    fn contradictions_are_named() {
        let signature = Signature {
            inputs: vec![port("x", &["batch", "80"]), port("t", &["batch"])],
            outputs: vec![],
        };
        let error = signature
            .sizes_from_inputs(&[Shape::new(&[2, 80]), Shape::new(&[3])])
            .expect_err("2 against 3");
        assert!(
            matches!(error, SignatureError::Size { ref port, index: 0, found: 3, .. } if port == "t"),
            "{error}"
        );
    }
}
