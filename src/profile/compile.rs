//! Settings of an engine build that change the engine.

use std::fmt;
use std::str::FromStr;

/// A GPU generation, as `sm_86`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComputeCapability {
    /// 8 in `sm_86`.
    pub major: u32,
    /// 6 in `sm_86`.
    pub minor: u32,
}

/// Settings of an engine build that change the engine; all of them enter the engine's key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompileOptions {
    /// Whether matrix products of FP32 tensors may round to TF32.
    pub tf32: bool,
    /// Scratch memory a tactic may use, in bytes; `None` leaves the library's own limit.
    pub workspace_bytes: Option<u64>,
    /// 0 (fast build) to 5 (fast engine); `None` leaves the library's default.
    pub optimization_level: Option<u8>,
    /// Engine loads in later minor versions of the library.
    pub version_compatible: bool,
    /// Engine runs on later GPU generations.
    pub hardware_compatible: bool,
    /// GPU generations to build for where no GPU is present; sorted, without duplicates.
    pub targets: Vec<ComputeCapability>,
}

impl Default for CompileOptions {
    fn default() -> Self {
        Self {
            tf32: true,
            workspace_bytes: None,
            optimization_level: None,
            version_compatible: false,
            hardware_compatible: false,
            targets: Vec::new(),
        }
    }
}

/// A word that names no compute capability.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a compute capability; write it as `sm_86`")]
pub struct ParseCapabilityError(pub String);

impl FromStr for ComputeCapability {
    type Err = ParseCapabilityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseCapabilityError(text.to_owned());
        let digits = text
            .strip_prefix("sm_")
            .filter(|digits| matches!(digits.len(), 2 | 3))
            .ok_or_else(wrong)?;
        let number: u32 = digits.parse().map_err(|_| wrong())?;
        let capability = Self {
            major: number / 10,
            minor: number % 10,
        };
        if capability.major < 5 {
            Err(wrong())
        } else {
            Ok(capability)
        }
    }
}

impl fmt::Display for ComputeCapability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sm_{}{}", self.major, self.minor)
    }
}

impl serde::Serialize for ComputeCapability {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for ComputeCapability {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_parse_and_print() {
        for (text, major, minor) in [("sm_75", 7, 5), ("sm_86", 8, 6), ("sm_120", 12, 0)] {
            let capability: ComputeCapability = text.parse().expect(text);
            assert_eq!(
                (capability.major, capability.minor),
                (major, minor),
                "{text}"
            );
            assert_eq!(capability.to_string(), text);
        }
        for text in ["", "86", "sm_8", "sm_+8", "sm_1200", "sm_4x", "sm_30"] {
            assert_eq!(
                text.parse::<ComputeCapability>(),
                Err(ParseCapabilityError(text.to_owned()))
            );
        }
    }
}
