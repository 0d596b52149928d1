//! The least a model may be served at.

use super::Served;
use crate::hint::{Class, Hint};
use crate::ids::{BackendId, GraphId, Precision, Tier};
use crate::profile::Profile;
use std::borrow::Cow;
use std::fmt;
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

/// A model is served at less than was asked for. Graphs that are served alike for the same first cause are told together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the least is {floor}: {}", self.clauses().join("; "))]
pub struct BelowFloor {
    /// The floor.
    pub floor: Floor,
    /// Each graph below it.
    pub graphs: Vec<LowGraph>,
    /// Whether no graph that speaks is served at the floor.
    pub every: bool,
}

/// A graph that is served below its floor.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LowGraph {
    /// The graph.
    pub graph: GraphId,
    /// What serves it.
    pub backend: BackendId,
    /// In which precision.
    pub precision: Precision,
    /// Why nothing better does: what failed since it was loaded, then the chain's better links in order.
    pub reasons: Vec<String>,
}

/// Characters of a cause, where graphs are told in one line.
const CAUSE_CHARS: usize = 160;
/// Causes that are told in one line.
const CAUSES: usize = 2;

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
        let speaking = served.iter().filter(|one| one.speaks());
        let below = speaking.clone().filter(|one| !self.admits(one));
        let graphs: Vec<LowGraph> = below.map(LowGraph::of).collect();
        if graphs.is_empty() {
            return Ok(());
        }
        Err(BelowFloor {
            floor: self,
            every: graphs.len() == speaking.count(),
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

impl LowGraph {
    fn of(one: &Served) -> Self {
        let Tier { backend, precision } = one.now();
        let falls = one.falls.list().into_iter();
        let falls = falls.map(|fall| format!("{}: {}", fall.from, fall.reason));
        Self {
            graph: one.graph,
            backend,
            precision,
            reasons: falls.chain(one.passed_over.iter().cloned()).collect(),
        }
    }

    /// What serves it and the first cause, if need be cut short.
    fn told(&self) -> String {
        let Self {
            backend, precision, ..
        } = self;
        let cause = self.reasons.first().map(|cause| first_of(cause));
        let cause = cause.map_or_else(String::new, |cause| format!(", {cause}"));
        format!("served by {backend} in {precision}{cause}")
    }
}

impl BelowFloor {
    /// The highest floor that the model stands on as it is.
    fn reached(&self) -> Floor {
        let backends = self.graphs.iter().map(|low| low.backend);
        Floor {
            backend: backends.min_by_key(|one| rank(*one)).expect("never empty"),
            precision: None,
        }
    }

    /// One clause for all graphs that are served alike for the same first cause, as far as a line takes them.
    fn clauses(&self) -> Vec<String> {
        let mut groups: Vec<(String, Vec<GraphId>)> = Vec::new();
        for low in &self.graphs {
            let told = low.told();
            match groups.iter_mut().find(|(known, _)| *known == told) {
                Some((_, graphs)) => graphs.push(low.graph),
                None => groups.push((told, vec![low.graph])),
            }
        }
        let is_all = self.every && groups.len() == 1;
        let left: usize = groups.iter().skip(CAUSES).map(|group| group.1.len()).sum();
        let said = groups.iter().take(CAUSES);
        let said = said.map(|(told, graphs)| format!("{} {told}", subject(graphs, is_all)));
        let rest = match left {
            0 => None,
            1 => Some("1 graph more is below it".to_owned()),
            _ => Some(format!("{left} graphs more are below it")),
        };
        said.chain(rest).collect()
    }
}

/// Graphs, with their verb.
fn subject(graphs: &[GraphId], is_all: bool) -> String {
    let names: Vec<String> = graphs.iter().map(|graph| format!("`{graph}`")).collect();
    match names.as_slice() {
        [one] => format!("{one} is"),
        _ if is_all => "every graph is".to_owned(),
        _ => format!("{} are", names.join(", ")),
    }
}

/// The first of several causes, if need be cut short.
fn first_of(causes: &str) -> String {
    let first = causes.split("; ").next().unwrap_or(causes);
    let first = first.lines().next().unwrap_or(first);
    match first.char_indices().nth(CAUSE_CHARS) {
        Some((end, _)) => format!("{}…", &first[..end]),
        None => first.to_owned(),
    }
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
        let reached = self.reached();
        let hint = format!(
            "GET /readyz and cvtrt diagnose say more; cvtrt serve --min-tier {reached} serves it as it is"
        );
        Some(hint.into())
    }

    fn class(&self) -> Class {
        Class::Unavailable
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Recovery;

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
    fn graphs_are_told_together_in_a_short_line_and_apart_in_full() {
        use BackendId::{OrtCpu, OrtCuda, TensorRtRtx};
        use GraphId::{Campplus, FlowEncoder, HiftF0, Llm};
        use Precision::Fp32;
        let of = |graph, backend| Served {
            passed_over: vec![
                format!("tensorrt: no driver; {}", "no library ".repeat(99)),
                "ort-cuda: no device".to_owned(),
            ],
            ..served(graph, backend, Fp32, Fp32)
        };
        let floor: Floor = "trt-fp16".parse().expect("a tier");
        let said = |served: &[Served]| floor.check(served).expect_err("below").to_string();
        assert_eq!(
            said(&[
                of(Llm, OrtCpu),
                of(FlowEncoder, OrtCpu),
                of(Campplus, OrtCpu)
            ]),
            "the least is trt-fp16: every graph is served by ort-cpu in fp32, tensorrt: no driver"
        );
        let mixed = [
            of(Llm, OrtCpu),
            of(FlowEncoder, OrtCuda),
            of(HiftF0, OrtCpu),
            served(GraphId::HiftDecode, TensorRtRtx, Fp32, Fp32),
        ];
        assert_eq!(
            said(&mixed),
            "the least is trt-fp16: `llm`, `hift_f0` are served by ort-cpu in fp32, tensorrt: no driver; \
             `flow_encoder` is served by ort-cuda in fp32, tensorrt: no driver"
        );
        let below = floor.check(&mixed).expect_err("below");
        assert_eq!(below.graphs[0].reasons, mixed[0].passed_over);
        assert!(
            below
                .hint()
                .is_some_and(|hint| hint.contains("--min-tier ort-cpu "))
        );
        let long = Served {
            passed_over: vec!["ü".repeat(1000)],
            ..of(Llm, OrtCpu)
        };
        assert!(said(&[long]).chars().count() < 2 * CAUSE_CHARS);
        let each = [Llm, FlowEncoder, HiftF0, GraphId::HiftDecode].map(|graph| Served {
            passed_over: vec![format!("tensorrt: `{graph}` is too large")],
            ..of(graph, OrtCpu)
        });
        assert_eq!(
            said(&each),
            "the least is trt-fp16: `llm` is served by ort-cpu in fp32, tensorrt: `llm` is too large; \
             `flow_encoder` is served by ort-cpu in fp32, tensorrt: `flow_encoder` is too large; \
             2 graphs more are below it"
        );
    }

    #[test]
    fn what_failed_since_is_the_first_cause() {
        let one = served(
            GraphId::Llm,
            BackendId::OrtCpu,
            Precision::Fp32,
            Precision::Fp32,
        );
        let (from, to) = (BackendId::OrtCuda, BackendId::OrtCpu);
        one.falls.record(from, to, Recovery::Link, "no memory");
        assert_eq!(
            LowGraph::of(&one).reasons,
            ["ort-cuda: no memory", "tensorrt: no library"]
        );
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
