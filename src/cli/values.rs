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

/// Bytes as people write them: `4096`, `512M`, `4G`.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit: u64 = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" | "KIB" => 1 << 10,
        "M" | "MB" | "MIB" => 1 << 20,
        "G" | "GB" | "GIB" => 1 << 30,
        other => return Err(format!("`{other}` is no unit of size; use K, M or G")),
    };
    let count: u64 = digits
        .parse()
        .map_err(|_| format!("`{text}` is no size; write it as 512M or 4G"))?;
    count
        .checked_mul(unit)
        .ok_or_else(|| format!("`{text}` is larger than any memory"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        for (text, bytes) in [
            ("4096", Ok(4096)),
            ("512M", Ok(512 << 20)),
            ("4g", Ok(4 << 30)),
            ("1KiB", Ok(1024)),
        ] {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
        for text in ["", "G", "4X", "-1", "99999999999999G", "1.5G"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
