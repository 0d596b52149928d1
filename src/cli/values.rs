//! Values of flags.

use std::fmt::Display;
use std::str::FromStr;

/// A count that cannot be zero.
pub(super) fn positive<T>(text: &str) -> Result<T, String>
where
    T: FromStr<Err: Display>,
{
    let is_zero = !text.is_empty() && text.bytes().all(|digit| digit == b'0');
    if is_zero {
        return Err("it must be at least 1".to_owned());
    }
    text.parse().map_err(|error: T::Err| error.to_string())
}
