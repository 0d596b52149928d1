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
    /// The header claims more than [`MAX_HEADER_BYTES`].
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
