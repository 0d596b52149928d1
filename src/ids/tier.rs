//! A backend and a precision, as one word.

use super::{BackendId, Precision};
use std::fmt;
use std::str::FromStr;

/// What a whole pipeline can be forced to: `trt-fp16`, `rtx-bf16`, `ort-cuda-fp32`, `ort-cpu-fp32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tier {
    /// Who runs the graphs.
    pub backend: BackendId,
    /// In which precision.
    pub precision: Precision,
}

/// A word that names no tier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a tier; tiers read trt-fp16, rtx-fp16, ort-cuda-fp16, ort-cpu-fp32, and so on with bf16 and fp32"
)]
pub struct UnknownTier(pub String);

const PREFIXES: [(BackendId, &str); 4] = [
    (BackendId::TensorRt, "trt"),
    (BackendId::TensorRtRtx, "rtx"),
    (BackendId::OrtCuda, "ort-cuda"),
    (BackendId::OrtCpu, "ort-cpu"),
];

impl FromStr for Tier {
    type Err = UnknownTier;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownTier(text.to_owned());
        let (prefix, precision) = text.rsplit_once('-').ok_or_else(unknown)?;
        let (backend, _) = PREFIXES
            .iter()
            .find(|(_, known)| *known == prefix)
            .ok_or_else(unknown)?;
        let precision = precision.parse().map_err(|_| unknown())?;
        if *backend == BackendId::OrtCpu && precision != Precision::Fp32 {
            return Err(unknown());
        }
        Ok(Self {
            backend: *backend,
            precision,
        })
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = PREFIXES
            .iter()
            .find_map(|(backend, prefix)| (*backend == self.backend).then_some(*prefix));
        write!(
            f,
            "{}-{}",
            prefix.expect("every backend has a prefix"),
            self.precision
        )
    }
}

impl serde::Serialize for Tier {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tier_parses_back() {
        for backend in BackendId::ALL {
            for precision in Precision::ALL {
                let tier = Tier {
                    backend: *backend,
                    precision: *precision,
                };
                let possible = *backend != BackendId::OrtCpu || *precision == Precision::Fp32;
                assert_eq!(
                    tier.to_string().parse::<Tier>().ok(),
                    possible.then_some(tier),
                    "{tier}"
                );
            }
        }
    }
}
