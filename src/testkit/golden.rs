//! Recorded references: numpy archives of named tensors.

use crate::tensor::{DType, Shape, ShapeError, Tensor, ViewError};
use npyz::npz::NpzArchive;
use npyz::{NpyHeader, Order};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

/// Why an archive was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GoldenError {
    /// The file or one of its members could not be read.
    #[error(transparent)]
    File(#[from] io::Error),
    /// A member has an element type no graph has, or columns first.
    #[error("`{name}` is stored as {stored}")]
    Layout {
        /// The member.
        name: String,
        /// Element type and order, in numpy's words.
        stored: String,
    },
    /// A member's shape is none.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A member has too few or too many bytes.
    #[error(transparent)]
    View(#[from] ViewError),
}

/// Reads every array of an `.npz` file: little-endian, row-major, of an element type graphs have.
///
/// # Errors
/// [`GoldenError`] naming the member that does not fit.
pub fn read_npz(path: &Path) -> Result<BTreeMap<String, Tensor>, GoldenError> {
    let mut archive = NpzArchive::open(path)?;
    let names: Vec<String> = archive.array_names().map(str::to_owned).collect();
    let mut tensors = BTreeMap::new();
    for name in names {
        let Some(array) = archive.by_name(&name)? else {
            continue;
        };
        let dtype =
            dtype_from_header(array.header()).ok_or_else(|| layout_error(&name, array.header()))?;
        let dims: Vec<usize> = array
            .header()
            .shape()
            .iter()
            .map(|&dim| usize::try_from(dim).unwrap_or(usize::MAX))
            .collect();
        let shape = Shape::checked(&dims)?;
        let mut bytes = Vec::new();
        array.into_inner().read_to_end(&mut bytes)?;
        tensors.insert(name, Tensor::from_bytes(dtype, shape, &bytes)?);
    }
    Ok(tensors)
}

fn dtype_from_header(header: &NpyHeader) -> Option<DType> {
    if header.order() == Order::Fortran && header.shape().len() > 1 {
        return None;
    }
    let npyz::DType::Plain(element) = header.dtype() else {
        return None;
    };
    Some(match element.to_string().as_str() {
        "<f4" => DType::F32,
        "<f2" => DType::F16,
        "<i4" => DType::I32,
        "<i8" => DType::I64,
        "|b1" => DType::Bool,
        "|u1" => DType::U8,
        _ => return None,
    })
}

fn layout_error(name: &str, header: &NpyHeader) -> GoldenError {
    GoldenError::Layout {
        name: name.to_owned(),
        stored: format!("{} in {:?} order", header.dtype().descr(), header.order()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::data_path;
    use half::f16;

    #[test]
    fn every_element_type_is_read() {
        let tensors = read_npz(&data_path("golden/types.npz")).expect("an archive");
        let ids = tensors["ids"].elements::<i32>().expect("i32");
        assert_eq!(
            (tensors["ids"].shape().dims(), ids),
            (&[2, 2][..], &[1, -2, 3, 4][..])
        );
        assert_eq!(
            tensors["half"].elements::<f16>().expect("f16"),
            [f16::from_f32(0.5)]
        );
        assert_eq!(tensors["flag"].bytes(), [1, 0]);
        assert_eq!(tensors["scalar"].elements::<f32>().expect("f32"), [2.5]);
    }

    #[test]
    fn a_double_is_refused_by_name() {
        let error = read_npz(&data_path("golden/double.npz")).expect_err("f64 is no graph type");
        assert!(error.to_string().contains("`wide`"), "{error}");
    }
}
