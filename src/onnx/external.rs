//! Weights kept outside the model file.

use super::error::TensorFault;
use super::mapping::map_file;
use super::proto::{TensorProto, tensor_proto::DataLocation};
use prost::bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The data files of one model, mapped, by the location their tensors name.
#[derive(Clone, Default)]
pub struct ExternalData {
    files: BTreeMap<String, Bytes>,
}

/// Where the bytes of one external tensor are.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reference<'a> {
    location: &'a str,
    offset: u64,
    length: Option<u64>,
}

/// Why a data file was not mapped.
#[derive(Debug)]
pub(super) enum MapError {
    Fault(TensorFault),
    Read(PathBuf, io::Error),
}

impl ExternalData {
    /// Each data file: its location relative to the model's folder, and its size in bytes.
    pub fn files(&self) -> impl Iterator<Item = (&str, usize)> {
        self.files
            .iter()
            .map(|(location, bytes)| (location.as_str(), bytes.len()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Maps the file a tensor needs, unless it is mapped already, and checks that the tensor lies inside.
    ///
    /// `folder`: the model's folder; `None` for a model without one.
    pub(super) fn admit(
        &mut self,
        tensor: &TensorProto,
        folder: Option<&Path>,
    ) -> Result<(), MapError> {
        let reference = Reference::of(tensor).map_err(MapError::Fault)?;
        let location = reference.location;
        if !self.files.contains_key(location) {
            let folder = folder
                .ok_or_else(|| MapError::Fault(TensorFault::NoFolder(location.to_owned())))?;
            let path = resolve(folder, location)?;
            let bytes = map_file(&path).map_err(|source| MapError::Read(path, source))?;
            self.files.insert(location.to_owned(), bytes);
        }
        self.slice(tensor).map(drop).map_err(MapError::Fault)
    }

    /// The bytes of an external tensor, not copied.
    ///
    /// # Errors
    /// [`TensorFault::Entry`], [`TensorFault::NoFolder`] for a file that was not mapped, [`TensorFault::Bounds`].
    pub(super) fn slice(&self, tensor: &TensorProto) -> Result<Bytes, TensorFault> {
        let Reference {
            location,
            offset,
            length,
        } = Reference::of(tensor)?;
        let file = self
            .files
            .get(location)
            .ok_or_else(|| TensorFault::NoFolder(location.to_owned()))?;
        let size = file.len() as u64;
        let length = length.unwrap_or(size.saturating_sub(offset));
        let end = offset.checked_add(length).filter(|&end| end <= size);
        let range =
            end.and_then(|end| Some(usize::try_from(offset).ok()?..usize::try_from(end).ok()?));
        range
            .map(|range| file.slice(range))
            .ok_or_else(|| TensorFault::Bounds {
                location: location.to_owned(),
                offset,
                length,
                size,
            })
    }
}

impl fmt::Debug for ExternalData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.files()).finish()
    }
}

/// Whether a tensor's bytes are outside the model file.
pub(super) fn is_external(tensor: &TensorProto) -> bool {
    tensor.data_location == Some(DataLocation::External as i32)
}

impl<'a> Reference<'a> {
    fn of(tensor: &'a TensorProto) -> Result<Self, TensorFault> {
        let entry = |key: &str| {
            let found = tensor
                .external_data
                .iter()
                .find(|entry| entry.key.as_deref() == Some(key));
            found.and_then(|entry| entry.value.as_deref())
        };
        let number = |key: &'static str| {
            let parsed = entry(key).map(str::parse::<u64>);
            parsed.transpose().map_err(|_| TensorFault::Entry(key))
        };
        Ok(Self {
            location: entry("location").ok_or(TensorFault::Entry("location"))?,
            offset: number("offset")?.unwrap_or(0),
            length: number("length")?,
        })
    }
}

/// The path of a data file, which must be inside the model's folder, also after following links.
fn resolve(folder: &Path, location: &str) -> Result<PathBuf, MapError> {
    let escape = || MapError::Fault(TensorFault::Escape(location.to_owned()));
    let mut inside = false;
    for component in Path::new(location).components() {
        match component {
            Component::CurDir => {}
            Component::Normal(_) => inside = true,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(escape());
            }
        }
    }
    if !inside {
        return Err(MapError::Fault(TensorFault::Entry("location")));
    }
    let path = folder.join(location);
    let real = |path: &Path| {
        path.canonicalize()
            .map_err(|source| MapError::Read(path.to_owned(), source))
    };
    if real(&path)?.starts_with(real(folder)?) {
        Ok(path)
    } else {
        Err(escape())
    }
}
