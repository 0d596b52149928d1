//! Tensor shapes of up to eight dimensions, stored inline.

/// Sizes of a tensor's dimensions, outermost first.
///
/// Holds at most [`Shape::MAX_RANK`] dimensions without allocating, so a step can make one freely.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    dims: [usize; Self::MAX_RANK],
    rank: u8,
}

/// Why a list of sizes is no shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// More dimensions than any engine takes.
    #[error("{rank} dimensions, at most {} are possible", Shape::MAX_RANK)]
    Rank {
        /// Dimensions given.
        rank: usize,
    },
    /// The product of the sizes does not fit the machine's address space.
    #[error("{0:?} has more elements than memory can hold")]
    TooLarge(Vec<usize>),
}

impl Shape {
    /// TensorRT's own limit.
    pub const MAX_RANK: usize = 8;

    /// A shape known to be small: the sizes are written in the program.
    ///
    /// # Panics
    /// If there are more than eight dimensions.
    pub fn new(dims: &[usize]) -> Self {
        Self::checked(dims).expect("shapes written in the program are valid")
    }

    /// A shape from sizes that came from outside.
    ///
    /// # Errors
    /// [`ShapeError::Rank`] over eight dimensions, [`ShapeError::TooLarge`] when `isize::MAX` bytes of the widest element would not hold it.
    pub fn checked(dims: &[usize]) -> Result<Self, ShapeError> {
        if dims.len() > Self::MAX_RANK {
            return Err(ShapeError::Rank { rank: dims.len() });
        }
        let widest = 8usize;
        let bytes = dims
            .iter()
            .try_fold(widest, |product, &size| product.checked_mul(size.max(1)));
        if bytes.is_none_or(|bytes| isize::try_from(bytes).is_err()) {
            return Err(ShapeError::TooLarge(dims.to_vec()));
        }
        let mut stored = [0; Self::MAX_RANK];
        stored[..dims.len()].copy_from_slice(dims);
        let rank = u8::try_from(dims.len()).expect("at most eight");
        Ok(Self { dims: stored, rank })
    }

    /// The sizes, outermost first.
    pub fn dims(&self) -> &[usize] {
        &self.dims[..usize::from(self.rank)]
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        usize::from(self.rank)
    }

    /// Number of elements; one for a scalar.
    pub fn elements(&self) -> usize {
        self.dims().iter().product()
    }
}

impl serde::Serialize for Shape {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.dims().serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Shape {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let dims = Vec::<usize>::deserialize(deserializer)?;
        Self::checked(&dims).map_err(serde::de::Error::custom)
    }
}

impl std::fmt::Debug for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.dims())
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, size) in self.dims().iter().enumerate() {
            if index > 0 {
                f.write_str("x")?;
            }
            write!(f, "{size}")?;
        }
        if self.rank == 0 {
            f.write_str("scalar")
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_multiply() {
        for (dims, elements) in [(&[][..], 1), (&[3], 3), (&[2, 0, 4], 0), (&[2, 3, 4], 24)] {
            assert_eq!(Shape::new(dims).elements(), elements, "{dims:?}");
        }
    }

    #[test]
    fn sizes_from_outside_are_bounded() {
        assert!(matches!(
            Shape::checked(&[1; 9]),
            Err(ShapeError::Rank { rank: 9 })
        ));
        assert!(matches!(
            Shape::checked(&[usize::MAX, 2]),
            Err(ShapeError::TooLarge(_))
        ));
    }
}
