//! One profile file.

use super::checked::checked;
use super::{Chain, Extent, Fallback, ProfileError, ShapeSet};
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

    /// The same profile, whose every chain may move on while loading.
    #[must_use]
    pub fn falling_back(mut self) -> Self {
        let own = self
            .graphs
            .values_mut()
            .filter_map(|graph| graph.chain.as_mut());
        for chain in own.chain(std::iter::once(&mut self.chain)) {
            if chain.fallback == Fallback::Never {
                chain.fallback = Fallback::AtLoad;
            }
        }
        self
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
pub(super) const fn axes_of(graph: GraphId) -> &'static [Axis] {
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
