//! The least a model may be served at.

use super::{Fall, Served};
use crate::hint::{Class, Hint};
use crate::ids::{BackendId, Precision, Tier};
use crate::profile::Profile;
use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::str::FromStr;

/// A backend, and perhaps a precision, below which a server is not ready: `ort-cuda`, `trt-fp16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floor {
    backend: BackendId,
    /// `None`: any will do.
    precision: Option<Precision>,
}

/// A word that names neither a tier nor a backend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a tier such as trt-fp16 nor a backend such as ort-cuda")]
pub struct UnknownFloor(pub String);

/// A model is served at less than was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the least is {floor}: {}", graphs.join("; "))]
pub struct BelowFloor {
    /// The floor.
    pub floor: Floor,
    /// Each graph below it: what serves it, and why nothing better does.
    pub graphs: Vec<String>,
}

impl Floor {
    /// The floor of a profile that names none: where it wants a GPU, the processor is below it.
    pub fn of(profile: &Profile) -> Option<Self> {
        let wanted = profile.chain.links.first()?;
        (*wanted != BackendId::OrtCpu).then_some(Self {
            backend: BackendId::OrtCuda,
            precision: None,
        })
    }

    /// Whether graphs are served at the floor or above it. Those that hear recordings run once per voice and may be below.
    ///
    /// # Errors
    /// [`BelowFloor`] with every graph that is not.
    pub fn check(self, served: &[Served]) -> Result<(), BelowFloor> {
        let below = served
            .iter()
            .filter(|one| one.speaks() && !self.admits(one))
            .map(reason);
        let graphs: Vec<String> = below.collect();
        if graphs.is_empty() {
            return Ok(());
        }
        Err(BelowFloor {
            floor: self,
            graphs,
        })
    }

    /// FP32 where the profile wants it is no lack.
    fn admits(self, one: &Served) -> bool {
        let now = one.now();
        let (found, least) = (rank(now.backend), rank(self.backend));
        let narrow = match self.precision {
            None | Some(Precision::Fp32) => true,
            Some(_) => now.precision != Precision::Fp32 || one.wanted == Precision::Fp32,
        };
        found > least || (found == least && narrow)
    }
}

/// How fast a backend is taken to be.
fn rank(backend: BackendId) -> u8 {
    match backend {
        BackendId::TensorRt | BackendId::TensorRtRtx => 2,
        BackendId::OrtCuda => 1,
        BackendId::OrtCpu => 0,
    }
}

fn reason(one: &Served) -> String {
    let Served {
        graph,
        passed_over,
        falls,
        ..
    } = one;
    let Tier { backend, precision } = one.now();
    let mut text = format!("`{graph}` is served by {backend} in {precision}");
    for better in passed_over {
        text.push_str(", ");
        text.push_str(better);
    }
    for fall in falls.list() {
        let Fall { from, reason, .. } = fall;
        write!(text, ", {from}: {reason}").expect("a string takes all");
    }
    text
}

impl FromStr for Floor {
    type Err = UnknownFloor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(Tier { backend, precision }) = text.parse() {
            return Ok(Self {
                backend,
                precision: Some(precision),
            });
        }
        let backend = text.parse().map_err(|_| UnknownFloor(text.to_owned()))?;
        Ok(Self {
            backend,
            precision: None,
        })
    }
}

impl fmt::Display for Floor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { backend, precision } = *self;
        match precision {
            None => write!(f, "{backend}"),
            Some(precision) => write!(f, "{}", Tier { backend, precision }),
        }
    }
}

impl Hint for BelowFloor {
    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(
            "cvtrt diagnose says what is missing; cvtrt serve --min-tier names another floor"
                .into(),
        )
    }

    fn class(&self) -> Class {
        Class::Unavailable
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::GraphId;

    fn served(
        graph: GraphId,
        backend: BackendId,
        precision: Precision,
        wanted: Precision,
    ) -> Served {
        Served {
            graph,
            backend,
            precision,
            wanted,
            file: "graph.onnx".into(),
            from_cache: false,
            no_engine: Some("not built yet".to_owned()),
            passed_over: vec!["tensorrt: no library".to_owned()],
            falls: crate::backend::Falls::default(),
            notes: vec![],
            at_hand: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn a_floor_is_a_backend_and_perhaps_a_precision() {
        use BackendId::{OrtCpu, OrtCuda, TensorRt, TensorRtRtx};
        use GraphId::{Campplus, HiftDecode, Llm};
        use Precision::{Bf16, Fp16, Fp32};
        let cases = [
            ("ort-cuda", served(Llm, OrtCpu, Fp32, Fp16), false),
            ("ort-cuda", served(Campplus, OrtCpu, Fp32, Fp32), true),
            ("ort-cuda", served(Llm, OrtCuda, Fp32, Fp16), true),
            ("ort-cuda-fp16", served(Llm, OrtCuda, Fp32, Fp16), false),
            (
                "ort-cuda-fp16",
                served(HiftDecode, OrtCuda, Fp32, Fp32),
                true,
            ),
            ("ort-cuda-fp16", served(Llm, OrtCuda, Bf16, Bf16), true),
            ("ort-cuda-fp16", served(Llm, TensorRt, Fp32, Fp16), true),
            ("trt-fp16", served(Llm, TensorRtRtx, Fp16, Fp16), true),
            ("trt-fp16", served(Llm, OrtCuda, Fp16, Fp16), false),
            ("ort-cpu-fp32", served(Llm, OrtCpu, Fp32, Fp16), true),
        ];
        for (floor, one, stands) in cases {
            let parsed: Floor = floor.parse().expect(floor);
            assert_eq!(parsed.to_string(), floor);
            assert_eq!(
                parsed.check(std::slice::from_ref(&one)).is_ok(),
                stands,
                "{floor}: {one:?}"
            );
        }
        assert!("gpu".parse::<Floor>().is_err());
    }

    #[test]
    fn what_is_below_is_said_with_its_reason() {
        let floor: Floor = "ort-cuda".parse().expect("a backend");
        let one = served(
            GraphId::Llm,
            BackendId::OrtCpu,
            Precision::Fp32,
            Precision::Fp16,
        );
        assert_eq!(
            floor.check(&[one]).expect_err("below").to_string(),
            "the least is ort-cuda: `llm` is served by ort-cpu in fp32, tensorrt: no library"
        );
    }
}
