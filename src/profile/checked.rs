//! Checks that run while the YAML reader still knows the place.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// Deserialises a mapping as `R` and checks it before the reader leaves the mapping, so that a failed check is reported
/// with the mapping's line and column.
///
/// # Errors
/// The reader's error, or the check's.
pub(super) fn checked<'de, D, R, T, E>(
    deserializer: D,
    check: impl FnOnce(R) -> Result<T, E>,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    R: Deserialize<'de>,
    E: fmt::Display,
{
    deserializer.deserialize_map(Checked {
        check,
        raw: PhantomData,
    })
}

struct Checked<R, F> {
    check: F,
    raw: PhantomData<R>,
}

impl<'de, R, T, E, F> Visitor<'de> for Checked<R, F>
where
    R: Deserialize<'de>,
    E: fmt::Display,
    F: FnOnce(R) -> Result<T, E>,
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        let raw = R::deserialize(MapAccessDeserializer::new(map))?;
        (self.check)(raw).map_err(A::Error::custom)
    }
}
