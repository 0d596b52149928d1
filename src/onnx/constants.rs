//! How far a model's constants reach from zero.

use super::external::is_external;
use super::file::ModelFile;
use super::proto::tensor_proto::DataType;
use super::types::tensor_type;
use std::collections::BTreeMap;

impl ModelFile {
    /// The greatest magnitude in every FP32 constant by name; 0 for a constant of zeros, and for an empty one.
    ///
    /// Reads all of them; one that cannot be read is left out.
    pub fn constant_magnitudes(&self) -> BTreeMap<String, f32> {
        let constants = self.graph().initializer.iter();
        let singles = constants.filter(|tensor| tensor_type(tensor) == Some(DataType::Float));
        singles
            .filter_map(|tensor| {
                let raw = if is_external(tensor) {
                    Some(self.external().slice(tensor).ok()?)
                } else {
                    tensor.raw_data.clone()
                };
                let magnitude = match &raw {
                    None => greatest(tensor.float_data.iter().copied()),
                    Some(raw) => {
                        let (values, _) = raw.as_chunks::<4>();
                        greatest(values.iter().map(|bytes| f32::from_le_bytes(*bytes)))
                    }
                };
                Some((tensor.name().to_owned(), magnitude))
            })
            .collect()
    }
}

fn greatest(values: impl Iterator<Item = f32>) -> f32 {
    values.fold(0.0, |greatest, value| value.abs().max(greatest))
}

#[cfg(test)]
mod tests {
    use crate::onnx::builder::GraphBuilder;
    use crate::tensor::DType;

    #[test]
    fn the_greatest_magnitude_is_found() {
        let file = GraphBuilder::new()
            .input("x", DType::F32, &["2"])
            .constant("mask", &[2], &[0f32, -1e10])
            .constant("eps", &[], &[1e-12f32])
            .constant("ids", &[1], &[7i64])
            .node("Add", &["x", "mask"], &["a"])
            .node("Add", &["a", "eps"], &["y"])
            .output("y", DType::F32, &["2"])
            .read();
        let found: Vec<_> = file.constant_magnitudes().into_iter().collect();
        assert_eq!(
            found,
            [("eps".to_owned(), 1e-12), ("mask".to_owned(), 1e10)]
        );
    }
}
