//! One archive of recordings.

use super::error::GoldenError;
use crate::tensor::{Element, Tensor, read_npz};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Recorded arrays by name, and which of them were asked for.
#[derive(Debug)]
pub struct Golden {
    path: PathBuf,
    arrays: BTreeMap<String, Tensor>,
    asked: RefCell<BTreeSet<String>>,
}

impl Golden {
    /// Reads an archive.
    ///
    /// # Errors
    /// [`GoldenError::Npz`].
    pub fn read(path: &Path) -> Result<Self, GoldenError> {
        Ok(Self {
            path: path.to_owned(),
            arrays: read_npz(path)?,
            asked: RefCell::default(),
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// An array, where there is one.
    pub fn find(&self, name: &str) -> Option<&Tensor> {
        let found = self.arrays.get(name)?;
        self.asked.borrow_mut().insert(name.to_owned());
        Some(found)
    }

    /// An array.
    ///
    /// # Errors
    /// [`GoldenError::Missing`].
    pub fn tensor(&self, name: &str) -> Result<&Tensor, GoldenError> {
        self.find(name).ok_or_else(|| GoldenError::Missing {
            path: self.path.clone(),
            name: name.to_owned(),
        })
    }

    /// The elements of an array.
    ///
    /// # Errors
    /// [`GoldenError::Missing`], or [`GoldenError::Array`] for another element type.
    pub fn elements<T: Element>(&self, name: &str) -> Result<&[T], GoldenError> {
        let tensor = self.tensor(name)?;
        tensor.elements().map_err(|_| GoldenError::Array {
            path: self.path.clone(),
            name: name.to_owned(),
            expected: T::DTYPE.to_string(),
            found: tensor.dtype().to_string(),
        })
    }

    /// An f32 array of three dimensions, the middle one of this size.
    ///
    /// # Errors
    /// As [`Self::elements`], and [`GoldenError::Array`] for another shape.
    pub(super) fn mel(&self, name: &str, bins: usize) -> Result<&Tensor, GoldenError> {
        self.elements::<f32>(name)?;
        let tensor = self.tensor(name)?;
        match tensor.shape().dims() {
            [1, found, frames] if *found == bins && *frames > 0 => Ok(tensor),
            _ => Err(GoldenError::array(
                &self.path,
                name,
                &format!("[1, {bins}, frames]"),
                tensor.shape(),
            )),
        }
    }

    /// The elements of an array that must be this many.
    ///
    /// # Errors
    /// As [`Self::elements`], and [`GoldenError::Array`] for another number.
    pub(super) fn counted<T: Element>(
        &self,
        name: &str,
        count: usize,
    ) -> Result<&[T], GoldenError> {
        let elements = self.elements(name)?;
        if elements.len() == count {
            return Ok(elements);
        }
        let found = self.tensor(name)?.shape();
        let expected = format!("{count} elements");
        Err(GoldenError::array(&self.path, name, &expected, found))
    }

    /// What stands before `suffix` in the names that end with it: the cases of the archive.
    pub(super) fn cases(&self, suffix: &str) -> Vec<String> {
        let names = self.arrays.keys();
        names
            .filter_map(|name| Some(name.strip_suffix(suffix)?.to_owned()))
            .filter(|case| !case.contains('.'))
            .collect()
    }

    /// Arrays whose names begin with `prefix`.
    pub(super) fn named(&self, prefix: &str) -> Vec<String> {
        let names = self.arrays.keys();
        names
            .filter(|name| name.starts_with(prefix))
            .cloned()
            .collect()
    }

    /// Takes note of arrays that decide nothing here.
    pub(super) fn known(&self, names: &[&str]) {
        for name in names {
            self.find(name);
        }
    }

    /// Arrays nobody asked for; a group `case.*` that was left alone as a whole is one entry.
    pub(super) fn left(&self) -> Vec<String> {
        let asked = self.asked.borrow();
        let group = |name: &str| name.split_once('.').map(|(case, _)| case.to_owned());
        let touched: BTreeSet<String> = asked.iter().filter_map(|name| group(name)).collect();
        let left = self.arrays.keys().filter(|name| !asked.contains(*name));
        let named: BTreeSet<String> = left
            .map(|name| match group(name) {
                Some(case) if !touched.contains(&case) => format!("{case}.*"),
                _ => name.clone(),
            })
            .collect();
        named.into_iter().collect()
    }
}
