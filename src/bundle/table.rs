//! A table of rows, mapped from a file.

use super::map::MappedFile;
use super::tensor_file::{TensorEntry, TensorFileError, widen};
use crate::tensor::DType;
use std::ops::Range;

/// Rows of equal width, f32 or f16, mapped: only the rows that are copied are read from the disk.
#[derive(Debug, Clone)]
pub struct Table {
    file: MappedFile,
    dtype: DType,
    rows: usize,
    width: usize,
    bytes: Range<usize>,
}

impl Table {
    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Values per row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Type of the stored values.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Copies row `id`, widened to f32, into `out` of [`Self::width`] values.
    ///
    /// # Errors
    /// [`TableError::NoRow`] when `id` is negative or not below [`Self::rows`], [`TableError::Width`] when `out` has
    /// another length; `out` is then unchanged.
    pub fn copy_row(&self, id: i32, out: &mut [f32]) -> Result<(), TableError> {
        if out.len() != self.width {
            return Err(TableError::Width {
                width: self.width,
                given: out.len(),
            });
        }
        let row = usize::try_from(id)
            .ok()
            .filter(|row| *row < self.rows)
            .ok_or(TableError::NoRow {
                id,
                rows: self.rows,
            })?;
        let row_bytes = self.width * self.dtype.size();
        let start = self.bytes.start + row * row_bytes;
        widen(
            self.dtype,
            &self.file.as_ref()[start..start + row_bytes],
            out,
        );
        Ok(())
    }

    /// Takes a tensor of two dimensions as a table.
    pub(super) fn new(
        file: &MappedFile,
        tensor: &'static str,
        entry: TensorEntry,
        width: usize,
        min_rows: usize,
    ) -> Result<Self, TensorFileError> {
        match entry.shape[..] {
            [rows, found] if found == width && rows >= min_rows => Ok(Self {
                file: file.clone(),
                dtype: entry.dtype,
                rows,
                width,
                bytes: entry.bytes,
            }),
            _ => Err(TensorFileError::Shape {
                tensor,
                found: entry.shape,
                expected: format!("[rows, {width}] with at least {min_rows} rows"),
            }),
        }
    }
}

/// Why a row cannot be copied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The table has no such row.
    #[error("the table has no row {id}: it has {rows}")]
    NoRow {
        /// The row asked for.
        id: i32,
        /// Rows there are.
        rows: usize,
    },
    /// The destination does not fit a row.
    #[error("a row has {width} values, the destination {given}")]
    Width {
        /// Values per row.
        width: usize,
        /// Values in the destination.
        given: usize,
    },
}
