//! Which library it is: product, version, and the interface declarations it is driven with.

use super::sys;
use std::fmt;

/// The two products that share TensorRT's interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flavour {
    /// TensorRT proper; plans begin with `ftrt`.
    #[serde(rename = "tensorrt")]
    TensorRt,
    /// TensorRT-RTX; plans begin with `vtrt`.
    #[serde(rename = "tensorrt-rtx")]
    TensorRtRtx,
}

/// A library's version as it tells it itself.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Release {
    /// First number.
    pub major: u16,
    /// Second number.
    pub minor: u16,
    /// Third number.
    pub patch: u16,
}

/// Product and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct LibraryVersion {
    /// The product.
    pub flavour: Flavour,
    /// Its version.
    pub release: Release,
}

/// A set of interface declarations in the shim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Declarations {
    Rtx,
    V11,
    V10,
    V8,
}

impl LibraryVersion {
    /// Decodes what `getInferLibVersion` answers, or `None` where no known scheme gives that number.
    ///
    /// Up to 8.6 it is `major * 1000 + minor * 100 + patch`, from 10.0 on `major * 10000 + minor * 100 + patch`;
    /// TensorRT-RTX 1.x uses the second and so fills the gap between the two.
    pub fn decode(raw: i32) -> Option<Self> {
        let (flavour, scale) = match raw {
            1_000..=9_999 => (Flavour::TensorRt, 1_000),
            10_000..=19_999 => (Flavour::TensorRtRtx, 10_000),
            100_000..=999_999 => (Flavour::TensorRt, 10_000),
            _ => return None,
        };
        let part = |number: i32| u16::try_from(number).ok();
        Some(Self {
            flavour,
            release: Release {
                major: part(raw / scale)?,
                minor: part(raw % scale / 100)?,
                patch: part(raw % 100)?,
            },
        })
    }

    /// Whether a network computes in the types of the model. TensorRT 8.6 takes those as hints.
    pub(super) fn types_bind_the_builder(self) -> bool {
        self.declarations() != Some(Declarations::V8)
    }

    /// The declarations this library may be driven with, or `None` where its tables are not known.
    ///
    /// A minor release of TensorRT 10 and 11 only appends to its tables. RTX gives no such promise: 1.4 still mixed two
    /// majors, and nobody has compared what follows 1.7.
    pub(super) fn declarations(self) -> Option<Declarations> {
        match (self.flavour, self.release.major, self.release.minor) {
            (Flavour::TensorRtRtx, 1, 5..=7) => Some(Declarations::Rtx),
            (Flavour::TensorRt, 11, _) => Some(Declarations::V11),
            (Flavour::TensorRt, 10, _) => Some(Declarations::V10),
            (Flavour::TensorRt, 8, 6) => Some(Declarations::V8),
            _ => None,
        }
    }
}

impl Flavour {
    /// The versions [`super::TrtLibrary`] can drive, for messages.
    pub fn supported(self) -> &'static str {
        match self {
            Self::TensorRt => "8.6, 10.x or 11.x",
            Self::TensorRtRtx => "1.5 to 1.7",
        }
    }
}

impl Declarations {
    pub(super) fn code(self) -> i32 {
        match self {
            Self::Rtx => sys::CVTRT_ABI_RTX,
            Self::V11 => sys::CVTRT_ABI_V11,
            Self::V10 => sys::CVTRT_ABI_V10,
            Self::V8 => sys::CVTRT_ABI_V8,
        }
    }
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::TensorRt => "TensorRT",
            Self::TensorRtRtx => "TensorRT-RTX",
        })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl fmt::Display for LibraryVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.flavour, self.release)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Case {
        raw: i32,
        text: Option<&'static str>,
        declarations: Option<Declarations>,
    }

    #[test]
    fn versions_decode() {
        let cases = [
            (8600, Some("TensorRT 8.6.0"), Some(Declarations::V8)),
            (8601, Some("TensorRT 8.6.1"), Some(Declarations::V8)),
            (8500, Some("TensorRT 8.5.0"), None),
            (9300, Some("TensorRT 9.3.0"), None),
            (100_001, Some("TensorRT 10.0.1"), Some(Declarations::V10)),
            (101_601, Some("TensorRT 10.16.1"), Some(Declarations::V10)),
            (110_400, Some("TensorRT 11.4.0"), Some(Declarations::V11)),
            (120_000, Some("TensorRT 12.0.0"), None),
            (10_400, Some("TensorRT-RTX 1.4.0"), None),
            (10_500, Some("TensorRT-RTX 1.5.0"), Some(Declarations::Rtx)),
            (10_701, Some("TensorRT-RTX 1.7.1"), Some(Declarations::Rtx)),
            (10_800, Some("TensorRT-RTX 1.8.0"), None),
            (0, None, None),
            (-1, None, None),
            (999, None, None),
            (20_000, None, None),
            (i32::MAX, None, None),
            (i32::MIN, None, None),
        ]
        .map(|(raw, text, declarations)| Case {
            raw,
            text,
            declarations,
        });
        for case in cases {
            let version = LibraryVersion::decode(case.raw);
            let text = version.map(|version| version.to_string());
            assert_eq!(text.as_deref(), case.text, "{}", case.raw);
            let declarations = version.and_then(LibraryVersion::declarations);
            assert_eq!(declarations, case.declarations, "{}", case.raw);
        }
    }
}
