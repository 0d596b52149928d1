//! The safetensors container, read from bytes nobody vouches for.

use crate::tensor::DType;
use half::f16;
use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use std::ops::Range;

/// Where each tensor of a safetensors file lies.
#[derive(Debug)]
pub(super) struct TensorIndex {
    metadata: Metadata,
    data_start: usize,
}

/// One tensor's type, shape and place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TensorEntry {
    pub(super) dtype: DType,
    pub(super) shape: Vec<usize>,
    /// Within the whole file; `shape` times the size of `dtype`, exactly.
    pub(super) bytes: Range<usize>,
}

/// Why a safetensors file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TensorFileError {
    /// The header claims more than `MAX_HEADER_BYTES`.
    #[error("the header claims {claimed} bytes, at most {MAX_HEADER_BYTES} are read")]
    HeaderTooLarge {
        /// Bytes claimed.
        claimed: u64,
    },
    /// The tensors do not fill the file.
    #[error("the tensors end at byte {end}, the file at {len}")]
    Extent {
        /// Where the last tensor ends.
        end: u128,
        /// The file's length.
        len: usize,
    },
    /// Not a safetensors file.
    #[error("not a valid safetensors file")]
    Format(#[source] SafeTensorError),
    /// A tensor is not there.
    #[error("tensor `{tensor}` is missing")]
    Missing {
        /// The tensor.
        tensor: &'static str,
    },
    /// A tensor has a type it cannot have.
    #[error("tensor `{tensor}` is {found}, it must be {expected}")]
    DType {
        /// The tensor.
        tensor: &'static str,
        /// The type found.
        found: String,
        /// The types allowed.
        expected: &'static str,
    },
    /// A tensor has a shape it cannot have.
    #[error("tensor `{tensor}` has shape {found:?}, it must be {expected}")]
    Shape {
        /// The tensor.
        tensor: &'static str,
        /// The shape found.
        found: Vec<usize>,
        /// The shape expected.
        expected: String,
    },
    /// A tensor holds an infinity or a NaN.
    #[error("tensor `{tensor}` holds a value that is not finite at element {element}")]
    NotFinite {
        /// The tensor.
        tensor: &'static str,
        /// Row-major index of the first such value.
        element: usize,
    },
}

/// Our files hold a dozen tensors; the format itself would allow 100 MB.
const MAX_HEADER_BYTES: u64 = 1 << 20;
const LENGTH_BYTES: usize = 8;

impl TensorIndex {
    /// Reads the header of a whole file.
    pub(super) fn read(file: &[u8]) -> Result<Self, TensorFileError> {
        let format = TensorFileError::Format;
        let (length, rest) = file
            .split_first_chunk::<LENGTH_BYTES>()
            .ok_or(format(SafeTensorError::HeaderTooSmall))?;
        let claimed = u64::from_le_bytes(*length);
        if claimed > MAX_HEADER_BYTES {
            return Err(TensorFileError::HeaderTooLarge { claimed });
        }
        let header = usize::try_from(claimed)
            .ok()
            .and_then(|header_len| rest.get(..header_len))
            .ok_or(format(SafeTensorError::InvalidHeaderLength))?;
        // `SafeTensors::read_metadata` adds the last offset to the header's length unchecked.
        let metadata: Metadata = serde_json::from_slice(header)
            .map_err(|error| format(SafeTensorError::InvalidHeaderDeserialization(error)))?;
        let end = LENGTH_BYTES as u128 + header.len() as u128 + metadata.data_len() as u128;
        if end != file.len() as u128 {
            return Err(TensorFileError::Extent {
                end,
                len: file.len(),
            });
        }
        let (header_len, metadata) = SafeTensors::read_metadata(file).map_err(format)?;
        Ok(Self {
            metadata,
            data_start: LENGTH_BYTES + header_len,
        })
    }

    /// A text of the file's metadata.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.metadata
            .metadata()
            .as_ref()
            .and_then(|texts| texts.get(key))
            .map(String::as_str)
    }

    /// The names of all tensors, sorted.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names = self.metadata.offset_keys();
        names.sort_unstable();
        names
    }

    /// Type as spelled in the file, and shape.
    pub(super) fn describe(&self, tensor: &str) -> Option<(String, &[usize])> {
        let info = self.metadata.info(tensor)?;
        Some((info.dtype.to_string().to_lowercase(), &info.shape))
    }

    /// A tensor that may be absent.
    pub(super) fn find(
        &self,
        tensor: &'static str,
        allowed: Allowed,
    ) -> Result<Option<TensorEntry>, TensorFileError> {
        self.metadata
            .info(tensor)
            .map(|info| self.entry(tensor, info, allowed))
            .transpose()
    }

    /// A tensor that must be there.
    pub(super) fn get(
        &self,
        tensor: &'static str,
        allowed: Allowed,
    ) -> Result<TensorEntry, TensorFileError> {
        self.find(tensor, allowed)?
            .ok_or(TensorFileError::Missing { tensor })
    }

    fn entry(
        &self,
        tensor: &'static str,
        info: &TensorInfo,
        allowed: Allowed,
    ) -> Result<TensorEntry, TensorFileError> {
        let dtype = match (allowed, info.dtype) {
            (Allowed::Floats, Dtype::F32) => DType::F32,
            (Allowed::Floats, Dtype::F16) => DType::F16,
            (Allowed::Ids, Dtype::I32) => DType::I32,
            (_, other) => {
                return Err(TensorFileError::DType {
                    tensor,
                    found: other.to_string().to_lowercase(),
                    expected: allowed.words(),
                });
            }
        };
        let (start, end) = info.data_offsets;
        Ok(TensorEntry {
            dtype,
            shape: info.shape.clone(),
            bytes: self.data_start + start..self.data_start + end,
        })
    }
}

/// The element types a tensor may have.
#[derive(Debug, Clone, Copy)]
pub(super) enum Allowed {
    /// f32 or f16.
    Floats,
    /// i32.
    Ids,
}

impl Allowed {
    const fn words(self) -> &'static str {
        match self {
            Self::Floats => "f32 or f16",
            Self::Ids => "i32",
        }
    }
}

impl TensorEntry {
    /// Refuses any shape but `expected`.
    pub(super) fn shaped(
        self,
        tensor: &'static str,
        expected: &[usize],
    ) -> Result<Self, TensorFileError> {
        if self.shape == expected {
            return Ok(self);
        }
        Err(TensorFileError::Shape {
            tensor,
            found: self.shape,
            expected: format!("{expected:?}"),
        })
    }

    /// All values as f32, each of them finite.
    pub(super) fn floats(
        &self,
        tensor: &'static str,
        file: &[u8],
    ) -> Result<Vec<f32>, TensorFileError> {
        let bytes = &file[self.bytes.clone()];
        let mut values = vec![0.0; bytes.len() / self.dtype.size()];
        widen(self.dtype, bytes, &mut values);
        match values.iter().position(|value| !value.is_finite()) {
            Some(element) => Err(TensorFileError::NotFinite { tensor, element }),
            None => Ok(values),
        }
    }

    /// All values of an i32 tensor.
    pub(super) fn ids(&self, file: &[u8]) -> Vec<i32> {
        let (ids, _) = file[self.bytes.clone()].as_chunks::<4>();
        ids.iter().map(|id| i32::from_le_bytes(*id)).collect()
    }
}

/// Converts little-endian f32 or f16 to f32; `bytes` holds exactly `out.len()` elements.
pub(super) fn widen(dtype: DType, bytes: &[u8], out: &mut [f32]) {
    if dtype == DType::F16 {
        let (halves, _) = bytes.as_chunks::<2>();
        for (value, half) in out.iter_mut().zip(halves) {
            *value = f16::from_le_bytes(*half).to_f32();
        }
    } else {
        let (singles, _) = bytes.as_chunks::<4>();
        for (value, single) in out.iter_mut().zip(singles) {
            *value = f32::from_le_bytes(*single);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{damaged, safetensors_file, safetensors_raw, tables};
    use super::*;

    #[test]
    fn tensors_are_found_with_type_shape_and_place() {
        let file = tables();
        let index = TensorIndex::read(&file).expect("sound");
        let bias = index.get("source_bias", Allowed::Floats).expect("there");
        assert_eq!(bias.floats("source_bias", &file).expect("finite"), [0.125]);
        assert!(
            index
                .find("speaker_weight", Allowed::Floats)
                .expect("no error")
                .is_none()
        );
        assert!(matches!(
            index.get("marks", Allowed::Ids),
            Err(TensorFileError::DType {
                tensor: "marks",
                ..
            })
        ));
        assert!(matches!(
            bias.shaped("source_bias", &[2]),
            Err(TensorFileError::Shape { .. })
        ));
    }

    #[test]
    fn values_that_are_not_finite_are_named() {
        let values = [0.0, f32::NEG_INFINITY].map(f32::to_le_bytes).concat();
        let file = safetensors_file(&[("v", Dtype::F32, &[2], values)]);
        let entry = TensorIndex::read(&file).and_then(|index| index.get("v", Allowed::Floats));
        let error = entry
            .expect("sound")
            .floats("v", &file)
            .expect_err("infinite");
        assert!(matches!(
            error,
            TensorFileError::NotFinite { element: 1, .. }
        ));
    }

    #[test]
    fn damaged_files_give_errors_or_entries_inside_the_file() {
        let whole = tables();
        for file in damaged(&whole) {
            let Ok(index) = TensorIndex::read(&file) else {
                continue;
            };
            for tensor in ["text_embedding", "speech_embedding", "marks", "source_bias"] {
                if let Ok(entry) = index.get(tensor, Allowed::Floats) {
                    let elements: usize = entry.shape.iter().product();
                    assert_eq!(entry.bytes.len(), elements * entry.dtype.size());
                    assert!(entry.bytes.end <= file.len());
                }
            }
        }
    }

    #[test]
    fn absurd_sizes_are_refused() {
        let most = u64::MAX;
        let shape = 1_u64 << 58;
        let bytes = 1_u64 << 61;
        // Seven tensors of 2^61 bytes and one almost as large end just below 2^64.
        let nearly: Vec<_> = (0..8_u64)
            .map(|i| {
                let (end, len) = if i == 7 {
                    (most - 7, shape - 1)
                } else {
                    ((i + 1) * bytes, shape)
                };
                format!(
                    r#""t{i}":{{"dtype":"F64","shape":[{len}],"data_offsets":[{},{end}]}}"#,
                    i * bytes
                )
            })
            .collect();
        for header in [
            format!(r#"{{"a":{{"dtype":"F32","shape":[{most}],"data_offsets":[0,{most}]}}}}"#),
            format!(r#"{{"a":{{"dtype":"F32","shape":[{most},{most}],"data_offsets":[0,4]}}}}"#),
            format!(r#"{{"a":{{"dtype":"F64","shape":[{shape}],"data_offsets":[0,{bytes}]}}}}"#),
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#.to_owned(),
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}"#.to_owned(),
            format!("{{{}}}", nearly.join(",")),
            "[".repeat(100_000),
        ] {
            assert!(
                TensorIndex::read(&safetensors_raw(&header, &[0; 4])).is_err(),
                "{header:.200}"
            );
        }
        for claimed in [most, most - 7, 1 << 20, (1 << 20) + 1, 1 << 40] {
            let file = [&claimed.to_le_bytes()[..], b"{}"].concat();
            assert!(TensorIndex::read(&file).is_err(), "{claimed}");
        }
    }
}
