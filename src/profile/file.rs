//! One profile file.

use super::checked::checked;
use super::{Chain, Extent, ProfileError, ShapeSet};
use crate::ids::{Axis, GraphId, Precision};
use crate::yaml;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU16;
use std::path::Path;

/// How the graphs of a bundle are compiled and served.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Profile {
    /// Its name; the file's, without `.yaml`.
    pub name: String,
    /// One sentence for people.
    pub description: String,
    /// Threads that run flow and vocoder, each with its own sessions.
    pub lanes: NonZeroU16,
    /// Utterances the language model decodes together; the concurrency the shape sets are written for.
    pub decode_slots: NonZeroU16,
    /// Capacities of the KV cache, ascending; each is covered by a shape set of `llm`.
    pub kv_buckets: Vec<usize>,
    /// Memory needed to serve.
    pub memory: ProfileMemory,
    /// Precision of graphs that name none.
    pub precision: Precision,
    /// Backends of graphs that name none.
    pub chain: Chain,
    /// Graphs of every family; a bundle has some of them.
    pub graphs: BTreeMap<GraphId, GraphProfile>,
}

/// How one graph is compiled.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraphProfile {
    /// Precision, where it is not the profile's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<Precision>,
    /// Backends, where they are not the profile's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<Chain>,
    /// Shape ranges; one engine holds an optimisation profile for each.
    pub shapes: Vec<ShapeSet>,
}

/// Memory a profile needs, in MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileMemory {
    /// Engines and scratch.
    pub base: Memory,
    /// Each decode slot on top: its KV cache and stream state.
    pub slot: Memory,
}

/// An amount of memory, in MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// On the device.
    pub device_mib: u64,
    /// On the host.
    pub host_mib: u64,
}

impl Profile {
    /// Reads a profile from the text of `file`.
    ///
    /// # Errors
    /// [`ProfileError::Yaml`] with the place of the first thing that is wrong.
    pub fn from_yaml(file: &Path, text: &str) -> Result<Self, ProfileError> {
        yaml::parse(text).map_err(|error| ProfileError::Yaml {
            file: file.to_owned(),
            source_line: error
                .place
                .and_then(|(line, _)| text.lines().nth(line.saturating_sub(1)))
                .unwrap_or_default()
                .to_owned(),
            error,
        })
    }

    /// The profile as YAML that [`Profile::from_yaml`] reads back.
    pub fn to_yaml(&self) -> String {
        serde_yaml::to_string(self).expect("a profile has string keys and plain values only")
    }

    /// The backends of a graph.
    pub fn chain_of(&self, graph: GraphId) -> &Chain {
        self.graphs
            .get(&graph)
            .and_then(|own| own.chain.as_ref())
            .unwrap_or(&self.chain)
    }

    /// Memory needed with every slot in use.
    pub fn memory_needed(&self) -> Memory {
        let slots = u64::from(self.decode_slots.get());
        let ProfileMemory { base, slot } = self.memory;
        Memory {
            device_mib: base
                .device_mib
                .saturating_add(slot.device_mib.saturating_mul(slots)),
            host_mib: base
                .host_mib
                .saturating_add(slot.host_mib.saturating_mul(slots)),
        }
    }
}

/// The axes that the inputs of a graph depend on, in every family.
const fn axes_of(graph: GraphId) -> &'static [Axis] {
    match graph {
        GraphId::Llm => &[Axis::Batch, Axis::New, Axis::Past],
        GraphId::TextEncoder => &[Axis::Text],
        GraphId::FlowEncoder => &[Axis::Tokens],
        GraphId::FlowEstimator => &[Axis::Batch, Axis::Frames],
        GraphId::LengthRegulator | GraphId::HiftF0 | GraphId::HiftDecode => &[Axis::Frames],
        GraphId::SpeechTokenizer | GraphId::Campplus => &[Axis::Features],
    }
}

fn check_graph(graph: GraphId, profile: GraphProfile) -> Result<GraphProfile, String> {
    if profile.shapes.is_empty() {
        return Err(format!("`{graph}` needs at least one shape set"));
    }
    let mut names = BTreeSet::new();
    for set in &profile.shapes {
        let name = &set.name;
        if !names.insert(name) {
            return Err(format!("two shape sets of `{graph}` are named `{name}`"));
        }
        if let Some(axis) = axes_of(graph)
            .iter()
            .find(|axis| !set.axes.contains_key(axis))
        {
            return Err(format!(
                "shape set `{name}` of `{graph}` has no range for `{axis}`"
            ));
        }
        if let Some(axis) = set.axes.keys().find(|axis| !axes_of(graph).contains(axis)) {
            return Err(format!(
                "`{graph}` has no axis `{axis}`, shape set `{name}` gives one"
            ));
        }
    }
    Ok(profile)
}

fn check_buckets(profile: &RawProfile) -> Result<(), String> {
    let buckets = &profile.kv_buckets;
    if !buckets.is_sorted_by(|a, b| a < b) {
        return Err(format!("kv_buckets must ascend, here are {buckets:?}"));
    }
    let Some(llm) = profile.graphs.get(&GraphId::Llm) else {
        return Ok(());
    };
    let holds = |extent: &Extent, size| (extent.min..=extent.max).contains(&size);
    let uncovered = buckets.iter().find(|&&bucket| {
        !llm.shapes
            .iter()
            .any(|set| holds(&set.axes[&Axis::New], 1) && holds(&set.axes[&Axis::Past], bucket))
    });
    match uncovered {
        Some(bucket) => Err(format!(
            "no shape set of `llm` decodes in the KV bucket {bucket}"
        )),
        None => Ok(()),
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProfile {
    name: String,
    description: String,
    lanes: NonZeroU16,
    decode_slots: NonZeroU16,
    kv_buckets: Vec<usize>,
    memory: ProfileMemory,
    precision: Precision,
    chain: Chain,
    #[serde(deserialize_with = "graphs")]
    graphs: BTreeMap<GraphId, GraphProfile>,
}

impl<'de> serde::Deserialize<'de> for Profile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        checked(deserializer, |raw: RawProfile| {
            check_buckets(&raw)?;
            let RawProfile {
                name,
                description,
                lanes,
                decode_slots,
                kv_buckets,
                memory,
                precision,
                chain,
                graphs,
            } = raw;
            Ok::<_, String>(Self {
                name,
                description,
                lanes,
                decode_slots,
                kv_buckets,
                memory,
                precision,
                chain,
                graphs,
            })
        })
    }
}

fn graphs<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<GraphId, GraphProfile>, D::Error> {
    deserializer.deserialize_map(Graphs)
}

/// Reads `graphs` entry by entry, so that a check knows both the graph and its place.
struct Graphs;

impl<'de> Visitor<'de> for Graphs {
    type Value = BTreeMap<GraphId, GraphProfile>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping from graph to its profile")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut graphs = BTreeMap::new();
        while let Some(graph) = map.next_key()? {
            let profile = map.next_value_seed(OfGraph(graph))?;
            if graphs.insert(graph, profile).is_some() {
                return Err(A::Error::custom(format_args!("`{graph}` is given twice")));
            }
        }
        Ok(graphs)
    }
}

struct OfGraph(GraphId);

impl<'de> DeserializeSeed<'de> for OfGraph {
    type Value = GraphProfile;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<GraphProfile, D::Error> {
        checked(deserializer, |profile| check_graph(self.0, profile))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hint::Hint;
    use crate::ids::BackendId;
    use crate::profile::Fallback;
    use proptest::collection::{btree_map, vec};
    use proptest::option;
    use proptest::prelude::*;

    const SMALL: &str = "\
name: small
description: for tests
lanes: 1
decode_slots: 2
kv_buckets: [64]
memory:
  base: { device_mib: 0, host_mib: 100 }
  slot: { device_mib: 3, host_mib: 10 }
precision: fp32
chain: { links: [ort-cpu], fallback: never }
graphs:
  llm:
    shapes:
      - name: decode
        axes:
          batch: { min: 1, opt: 2, max: 2 }
          new: { min: 1, opt: 1, max: 1 }
          past: { min: 64, opt: 64, max: 64 }
  hift_f0:
    shapes:
      - name: any
        axes: { frames: { min: 8, opt: 64, max: 400 } }
";

    fn refused(from: &str, to: &str) -> ProfileError {
        assert!(SMALL.contains(from), "{from}");
        Profile::from_yaml(Path::new("small.yaml"), &SMALL.replace(from, to)).expect_err(to)
    }

    #[test]
    fn memory_adds_up() {
        let profile = Profile::from_yaml(Path::new("small.yaml"), SMALL).expect("valid");
        let needed = profile.memory_needed();
        assert_eq!((needed.device_mib, needed.host_mib), (6, 120));
    }

    #[test]
    fn mistakes_are_placed() {
        struct Case {
            from: &'static str,
            to: &'static str,
            line: usize,
            says: &'static str,
            nearest: Option<&'static str>,
        }
        let cases = [
            Case {
                from: "lanes: 1",
                to: "lines: 1",
                line: 3,
                says: "unknown field `lines`",
                nearest: Some("lanes"),
            },
            Case {
                from: "lanes: 1",
                to: "lanes: 0",
                line: 3,
                says: "nonzero",
                nearest: None,
            },
            Case {
                from: "  hift_f0:",
                to: "  hift_f:",
                line: 19,
                says: "unknown variant `hift_f`",
                nearest: Some("hift_f0"),
            },
            Case {
                from: "[ort-cpu]",
                to: "[ort_cpu]",
                line: 10,
                says: "unknown variant `ort_cpu`",
                nearest: Some("ort-cpu"),
            },
            Case {
                from: "[ort-cpu]",
                to: "[]",
                line: 10,
                says: "at least one link",
                nearest: None,
            },
            Case {
                from: "[ort-cpu]",
                to: "[ort-cpu, ort-cpu]",
                line: 10,
                says: "`ort-cpu` is twice",
                nearest: None,
            },
            Case {
                from: "{ min: 8, opt: 64, max: 400 }",
                to: "{ min: 8, opt: 4, max: 400 }",
                line: 22,
                says: "8, 4, 400",
                nearest: None,
            },
            Case {
                from: "batch: { min: 1, opt: 2, max: 2 }",
                to: "batch: { min: 0, opt: 2, max: 2 }",
                line: 16,
                says: "0, 2, 2",
                nearest: None,
            },
            Case {
                from: "          new: { min: 1, opt: 1, max: 1 }\n",
                to: "",
                line: 13,
                says: "no range for `new`",
                nearest: None,
            },
            Case {
                from: "axes: { frames",
                to: "axes: { text: { min: 1, opt: 1, max: 1 }, frames",
                line: 20,
                says: "has no axis `text`",
                nearest: None,
            },
            Case {
                from: "kv_buckets: [64]",
                to: "kv_buckets: [64, 128]",
                line: 1,
                says: "KV bucket 128",
                nearest: None,
            },
            Case {
                from: "kv_buckets: [64]",
                to: "kv_buckets: [64, 64]",
                line: 1,
                says: "must ascend",
                nearest: None,
            },
            Case {
                from: "  hift_f0:",
                to: "  llm:",
                line: 20,
                says: "no range for `batch`",
                nearest: None,
            },
            Case {
                from: "max: 400 } }\n",
                to: "max: 400 } }\n  hift_f0: { shapes: [{ name: a, axes: { frames: { min: 1, opt: 1, max: 1 } } }] }\n",
                line: 12,
                says: "`hift_f0` is given twice",
                nearest: None,
            },
        ];
        for Case {
            from,
            to,
            line,
            says,
            nearest,
        } in cases
        {
            let error = refused(from, to);
            let shown = error.to_string();
            assert!(shown.contains(says), "{to}: {shown}");
            assert!(
                shown.starts_with(&format!("small.yaml:{line}:")),
                "{to}: {shown}"
            );
            let hint = nearest.map(|word| format!("did you mean `{word}`?"));
            assert_eq!(error.hint().as_deref(), hint.as_deref(), "{to}: {shown}");
        }
    }

    #[test]
    fn the_offending_line_is_shown() {
        let shown = refused("opt: 64, max: 400", "opt: 64, maxi: 400").to_string();
        let mark = shown
            .lines()
            .last()
            .expect("three lines")
            .find('^')
            .expect("marked");
        let line = shown.lines().nth(1).expect("three lines");
        assert_eq!(&line[mark..mark + 4], "maxi", "{shown}");
    }

    fn extent() -> impl Strategy<Value = Extent> {
        (1usize..50, 0usize..50, 0usize..5000).prop_map(|(min, more, rest)| Extent {
            min,
            opt: min + more,
            max: min + more + rest,
        })
    }

    fn chain() -> impl Strategy<Value = Chain> {
        let links = proptest::sample::subsequence(BackendId::ALL.to_vec(), 1..=4).prop_shuffle();
        let fallback = prop_oneof![
            Just(Fallback::Never),
            Just(Fallback::AtLoad),
            Just(Fallback::AtRun)
        ];
        (links, fallback).prop_map(|(links, fallback)| Chain { links, fallback })
    }

    fn precision() -> impl Strategy<Value = Precision> {
        proptest::sample::select(Precision::ALL)
    }

    fn graph_profile(graph: GraphId) -> impl Strategy<Value = GraphProfile> {
        let axes = axes_of(graph);
        let sets = btree_map("\\PC{0,12}", vec(extent(), axes.len()), 1..4);
        (option::of(precision()), option::of(chain()), sets).prop_map(
            move |(precision, chain, sets)| GraphProfile {
                precision,
                chain,
                shapes: sets
                    .into_iter()
                    .map(|(name, extents)| ShapeSet {
                        name,
                        axes: axes.iter().copied().zip(extents).collect(),
                    })
                    .collect(),
            },
        )
    }

    fn profile() -> impl Strategy<Value = Profile> {
        let graphs = proptest::sample::subsequence(GraphId::ALL.to_vec(), 0..=9)
            .prop_flat_map(|ids| {
                ids.into_iter()
                    .map(|id| graph_profile(id).prop_map(move |own| (id, own)))
                    .collect::<Vec<_>>()
            })
            .prop_map(|entries| entries.into_iter().collect());
        let memory = || {
            (any::<u64>(), any::<u64>()).prop_map(|(device_mib, host_mib)| Memory {
                device_mib,
                host_mib,
            })
        };
        let memory = (memory(), memory()).prop_map(|(base, slot)| ProfileMemory { base, slot });
        let texts = (".*", ".*");
        let numbers = (any::<NonZeroU16>(), any::<NonZeroU16>());
        (texts, numbers, memory, precision(), chain(), graphs).prop_map(
            |((name, description), (lanes, decode_slots), memory, precision, chain, graphs)| {
                Profile {
                    name,
                    description,
                    lanes,
                    decode_slots,
                    kv_buckets: Vec::new(),
                    memory,
                    precision,
                    chain,
                    graphs,
                }
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_profile_reads_back_from_its_yaml(profile in profile()) {
            let text = profile.to_yaml();
            let read = Profile::from_yaml(Path::new("written.yaml"), &text);
            prop_assert_eq!(read.map_err(|error| error.to_string()), Ok(profile), "{}", text);
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC*") {
            let _ = Profile::from_yaml(Path::new("any.yaml"), &text);
        }
    }
}
