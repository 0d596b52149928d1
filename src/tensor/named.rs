//! Tensors given by name, for a graph that takes them in order.

use super::{DType, Shape, Signature, Tensor};
use crate::hint::{Class, Hint};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Why named tensors are no inputs of a graph.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// An input has no tensor.
    #[error("the input `{port}` is missing; given: {}", given.join(", "))]
    Missing {
        /// The input, with type and dimensions.
        port: String,
        /// The names given.
        given: Vec<String>,
    },
    /// A tensor has another element type.
    #[error("the input `{port}` was given as {found} {shape:?}")]
    Type {
        /// The input, with type and dimensions.
        port: String,
        /// The element type given.
        found: DType,
        /// The shape given.
        shape: Shape,
    },
    /// A tensor has another shape.
    #[error("the input `{port}` was given as {found} {shape:?}: {reason}")]
    Shape {
        /// The input, with type and dimensions.
        port: String,
        /// The element type given.
        found: DType,
        /// The shape given.
        shape: Shape,
        /// Which dimension does not fit.
        reason: Box<super::SignatureError>,
    },
    /// A tensor is no input.
    #[error("`{name}` is no input of the graph, which takes {}", known.join(", "))]
    Unknown {
        /// The name given.
        name: String,
        /// The inputs there are.
        known: Vec<String>,
    },
}

impl Signature {
    /// Named tensors in the order of the graph's inputs; every input needs one, and none may be over.
    ///
    /// # Errors
    /// [`InputError`] naming the first input that does not fit.
    pub fn in_order(&self, mut named: BTreeMap<String, Tensor>) -> Result<Vec<Tensor>, InputError> {
        let given: Vec<String> = named.keys().cloned().collect();
        if let Some(name) = given.iter().find(|name| self.input_index(name).is_none()) {
            return Err(InputError::Unknown {
                name: name.clone(),
                known: self.inputs.iter().map(|port| port.name.clone()).collect(),
            });
        }
        let mut tensors = Vec::with_capacity(self.inputs.len());
        let mut taken = Self::default();
        for port in &self.inputs {
            let tensor = named
                .remove(&port.name)
                .ok_or_else(|| InputError::Missing {
                    port: port.to_string(),
                    given: given.clone(),
                })?;
            let (found, shape) = (tensor.dtype(), tensor.shape());
            if found != port.dtype {
                let port = port.to_string();
                return Err(InputError::Type { port, found, shape });
            }
            tensors.push(tensor);
            taken.inputs.push(port.clone());
            let shapes: Vec<Shape> = tensors.iter().map(Tensor::shape).collect();
            taken
                .sizes_from_inputs(&shapes)
                .map_err(|reason| InputError::Shape {
                    port: port.to_string(),
                    found,
                    shape,
                    reason: Box::new(reason),
                })?;
        }
        Ok(tensors)
    }
}

impl Hint for InputError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Type { port, .. } => {
                Some(format!("convert it in numpy: the graph takes `{port}`").into())
            }
            _ => Some("cvtrt inspect names every input with its type and dimensions".into()),
        }
    }

    fn class(&self) -> Class {
        Class::Input
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Axis;
    use crate::tensor::{Dim, Port};

    fn signature() -> Signature {
        let batch = Dim::Axis {
            axis: Axis::Batch,
            factor: 1,
            offset: 0,
        };
        let port = |name: &str, dtype, dims: &[Dim]| Port {
            name: name.to_owned(),
            dtype,
            dims: dims.to_vec(),
        };
        Signature {
            inputs: vec![
                port("x", DType::F32, &[batch.clone(), Dim::Fixed(80)]),
                port("t", DType::F32, &[batch]),
            ],
            outputs: Vec::new(),
        }
    }

    #[test]
    fn tensors_are_taken_by_name_and_misfits_are_named() {
        type Case = (&'static str, Vec<(&'static str, Tensor)>, &'static str);
        let zeros = |dtype, dims: &[usize]| Tensor::zeros(dtype, Shape::new(dims));
        let cases: [Case; 6] = [
            (
                "both",
                vec![
                    ("t", zeros(DType::F32, &[2])),
                    ("x", zeros(DType::F32, &[2, 80])),
                ],
                "",
            ),
            (
                "one",
                vec![("x", zeros(DType::F32, &[2, 80]))],
                "the input `t f32 [batch]` is missing; given: x",
            ),
            (
                "too many",
                vec![("y", zeros(DType::F32, &[2]))],
                "`y` is no input of the graph, which takes x, t",
            ),
            (
                "another type",
                vec![
                    ("x", zeros(DType::I64, &[2, 80])),
                    ("t", zeros(DType::F32, &[2])),
                ],
                "the input `x f32 [batch, 80]` was given as i64 [2, 80]",
            ),
            (
                "another rank",
                vec![
                    ("x", zeros(DType::F32, &[80])),
                    ("t", zeros(DType::F32, &[2])),
                ],
                "was given as f32 [80]: `x` has 2 dimensions, 1 were given",
            ),
            (
                "two batches",
                vec![
                    ("x", zeros(DType::F32, &[2, 80])),
                    ("t", zeros(DType::F32, &[3])),
                ],
                "the input `t f32 [batch]` was given as f32 [3]: dimension 0 of `t` is 3, expected 2",
            ),
        ];
        for (case, named, wanted) in cases {
            let named = named
                .into_iter()
                .map(|(name, tensor)| (name.to_owned(), tensor));
            match signature().in_order(named.collect()) {
                Ok(tensors) => {
                    assert_eq!((case, tensors.len()), ("both", 2));
                    assert_eq!(tensors[0].shape().dims(), [2, 80]);
                }
                Err(error) => {
                    let said = error.to_string();
                    assert!(
                        !wanted.is_empty() && said.contains(wanted),
                        "{case}: {said}"
                    );
                }
            }
        }
    }
}
