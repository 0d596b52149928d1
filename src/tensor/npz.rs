//! Numpy archives of named tensors: recorded references, inputs and outputs of single runs.

use super::{DType, Shape, ShapeError, Tensor, ViewError};
use crate::hint::{Class, Hint};
use half::{bf16, f16};
use npyz::npz::{NpzArchive, NpzWriter};
use npyz::{NpyHeader, Order, WriterBuilder};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read};
use std::path::{Path, PathBuf};

/// Why an archive was not read or not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NpzError {
    /// The file or one of its members could not be read.
    #[error("cannot read {} as a numpy archive", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A member has an element type no graph has, or columns first.
    #[error("`{name}` of {} is stored as {stored}, which no graph takes", path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// The member.
        name: String,
        /// Element type and order, in numpy's words.
        stored: String,
    },
    /// A member's shape is none.
    #[error("`{name}` of {} has no usable shape", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The member.
        name: String,
        /// Why.
        #[source]
        source: Box<ShapeError>,
    },
    /// A member has too few or too many bytes.
    #[error("`{name}` of {} is cut or too long", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// The member.
        name: String,
        /// Why.
        #[source]
        source: Box<ViewError>,
    },
    /// The archive could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Reads every array of an `.npz` file: little-endian, row-major, of an element type graphs have.
///
/// # Errors
/// [`NpzError`] naming the file and the member that does not fit.
pub fn read_npz(path: &Path) -> Result<BTreeMap<String, Tensor>, NpzError> {
    let unreadable = |source| NpzError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(unreadable)?;
    let mut archive = NpzArchive::new(BufReader::new(file)).map_err(unreadable)?;
    let names: Vec<String> = archive.array_names().map(str::to_owned).collect();
    let mut tensors = BTreeMap::new();
    for name in names {
        let Some(array) = archive.by_name(&name).map_err(unreadable)? else {
            continue;
        };
        let header = array.header().clone();
        let (dtype, shape) = stored_as(path, &name, &header)?;
        let mut bytes = Vec::new();
        let expected = shape.elements() * dtype.size();
        // One byte more than there should be, so that a longer member is seen and a bomb is not unpacked.
        let mut member = array.into_inner().take(expected as u64 + 1);
        member.read_to_end(&mut bytes).map_err(unreadable)?;
        let tensor =
            Tensor::from_bytes(dtype, shape, &bytes).map_err(|source| NpzError::Length {
                path: path.to_owned(),
                name: name.clone(),
                source: Box::new(source),
            })?;
        tensors.insert(name, tensor);
    }
    Ok(tensors)
}

/// Writes an `.npz` file that numpy loads. Numpy has no bf16: such tensors are written as f32, which holds them exactly.
///
/// # Errors
/// [`NpzError::Write`].
pub fn write_npz<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
) -> Result<(), NpzError> {
    let write = || {
        let mut archive = NpzWriter::new(BufWriter::new(File::create(path)?));
        for (name, tensor) in tensors {
            match tensor.dtype() {
                DType::F32 => append(&mut archive, name, tensor, elements::<f32>(tensor)),
                DType::F16 => append(&mut archive, name, tensor, elements::<f16>(tensor)),
                DType::Bf16 => append(
                    &mut archive,
                    name,
                    tensor,
                    elements::<bf16>(tensor).map(f32::from),
                ),
                DType::I32 => append(&mut archive, name, tensor, elements::<i32>(tensor)),
                DType::I64 => append(&mut archive, name, tensor, elements::<i64>(tensor)),
                DType::U8 => append(&mut archive, name, tensor, elements::<u8>(tensor)),
                DType::Bool => {
                    let flags = tensor.bytes().iter().map(|byte| *byte != 0);
                    append(&mut archive, name, tensor, flags)
                }
            }?;
        }
        archive.zip_writer().finish().map_err(io::Error::other)?;
        Ok(())
    };
    write().map_err(|source| NpzError::Write {
        path: path.to_owned(),
        source,
    })
}

fn elements<T: super::Element>(tensor: &Tensor) -> impl Iterator<Item = T> {
    let elements = tensor.elements::<T>().expect("asked by its own type");
    elements.iter().copied()
}

fn append<T: npyz::AutoSerialize>(
    archive: &mut NpzWriter<BufWriter<File>>,
    name: &str,
    tensor: &Tensor,
    values: impl Iterator<Item = T>,
) -> io::Result<()> {
    let shape = tensor.shape();
    let dims: Vec<u64> = shape.dims().iter().map(|&size| size as u64).collect();
    let mut array = archive
        .array(name, zip::write::FileOptions::default())?
        .default_dtype()
        .shape(&dims)
        .begin_nd()?;
    array.extend(values)?;
    array.finish()
}

fn stored_as(path: &Path, name: &str, header: &NpyHeader) -> Result<(DType, Shape), NpzError> {
    let dtype = dtype_from_header(header).ok_or_else(|| NpzError::Layout {
        path: path.to_owned(),
        name: name.to_owned(),
        stored: stored_in_words(header),
    })?;
    let dims: Vec<usize> = header
        .shape()
        .iter()
        .map(|&dim| usize::try_from(dim).unwrap_or(usize::MAX))
        .collect();
    let shape = Shape::checked(&dims).map_err(|source| NpzError::Shape {
        path: path.to_owned(),
        name: name.to_owned(),
        source: Box::new(source),
    })?;
    Ok((dtype, shape))
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

fn stored_in_words(header: &NpyHeader) -> String {
    format!("{} in {:?} order", header.dtype().descr(), header.order())
}

impl Hint for NpzError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Layout { .. } => Some(
                "store it with numpy.savez as float32, float16, int32, int64, bool or uint8".into(),
            ),
            Self::Read { .. } | Self::Length { .. } | Self::Shape { .. } => {
                Some("numpy.savez writes such archives".into())
            }
            Self::Write { .. } => None,
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Write { .. } => Class::Failed,
            _ => Class::Input,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::data_path;

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

    #[test]
    fn what_is_written_reads_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out.npz");
        let mut tensors = read_npz(&data_path("golden/types.npz")).expect("an archive");
        let shape = Shape::new(&[2, 0, 3]);
        tensors.insert("none".to_owned(), Tensor::zeros(DType::I64, shape));
        let brain = [bf16::from_f32(1.5), bf16::from_f32(-2.0)];
        let brain = Tensor::from_elements(Shape::new(&[2]), &brain).expect("fills");
        let named = tensors
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor))
            .chain([("brain", &brain)]);
        write_npz(&path, named).expect("written");
        let mut read = read_npz(&path).expect("an archive");
        let brain = read.remove("brain").expect("there");
        assert_eq!(brain.elements::<f32>(), Ok(&[1.5, -2.0][..]));
        assert!(read.keys().eq(tensors.keys()));
        for (name, tensor) in &tensors {
            assert_eq!(tensor.dtype(), read[name].dtype(), "{name}");
            assert_eq!(tensor.shape(), read[name].shape(), "{name}");
            assert_eq!(tensor.bytes(), read[name].bytes(), "{name}");
        }
    }
}
