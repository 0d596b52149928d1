//! A profile for another concurrency, or for a bundle with limits of its own.

use super::{Extent, GraphProfile, Profile, ShapeSet};
use crate::ids::{Axis, GraphId};
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU16;

/// The largest size a bundle's graph can take along an axis, as its position tables allow.
pub type AxisLimits = BTreeMap<(GraphId, Axis), usize>;

/// A range that [`Profile::within`] lowered or took out.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Lowered {
    /// The graph.
    pub graph: GraphId,
    /// The shape set's name.
    pub set: String,
    /// The axis that was too long.
    pub axis: Axis,
    /// The profile's maximum.
    pub asked: usize,
    /// The bundle's limit.
    pub limit: usize,
    /// Whether the whole set is above the limit and was left out.
    pub left_out: bool,
}

impl Profile {
    /// The profile for `requests` utterances at a time.
    ///
    /// `decode_slots` becomes `requests`, and every batch range that is open (`min < max`) grows or shrinks with it; a
    /// set whose smallest batch is then out of reach is left out. Fixed batches and all other axes stay.
    #[must_use]
    pub fn for_concurrency(&self, requests: NonZeroU16) -> Self {
        let (before, after) = (
            usize::from(self.decode_slots.get()),
            usize::from(requests.get()),
        );
        let scale = |size: usize| size.saturating_mul(after).div_ceil(before);
        let mut profile = self.clone();
        profile.decode_slots = requests;
        for own in profile.graphs.values_mut() {
            own.shapes
                .retain_mut(|set| match set.axes.get_mut(&Axis::Batch) {
                    Some(batch) if !batch.is_fixed() => {
                        let max = scale(batch.max);
                        let opt = scale(batch.opt).clamp(batch.min.min(max), max);
                        *batch = Extent {
                            min: batch.min,
                            opt,
                            max,
                        };
                        batch.min <= max
                    }
                    _ => true,
                });
        }
        profile
    }

    /// The profile within the limits of a bundle, and what was lowered for it.
    ///
    /// Maxima above a limit come down to it; sets and KV buckets wholly above it are left out.
    #[must_use]
    pub fn within(&self, limits: &AxisLimits) -> (Self, Vec<Lowered>) {
        let mut profile = self.clone();
        let mut lowered = Vec::new();
        for (graph, own) in &mut profile.graphs {
            *own = limited(*graph, own, limits, &mut lowered);
        }
        if let Some(&limit) = limits.get(&(GraphId::Llm, Axis::Past)) {
            profile.kv_buckets.retain(|&bucket| bucket <= limit);
        }
        (profile, lowered)
    }
}

impl fmt::Display for Lowered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            graph: _,
            set,
            axis,
            asked,
            limit,
            left_out,
        } = self;
        if *left_out {
            write!(
                f,
                "shape set `{set}` left out: the bundle takes {axis} up to {limit}"
            )
        } else {
            write!(
                f,
                "{axis} of `{set}` lowered from {asked} to the bundle's {limit}"
            )
        }
    }
}

fn limited(
    graph: GraphId,
    own: &GraphProfile,
    limits: &AxisLimits,
    lowered: &mut Vec<Lowered>,
) -> GraphProfile {
    let shapes = own
        .shapes
        .iter()
        .filter_map(|set| {
            let mut axes = BTreeMap::new();
            for (&axis, &extent) in &set.axes {
                let limit = limits.get(&(graph, axis)).copied().unwrap_or(usize::MAX);
                let fitting = extent.at_most(limit);
                if fitting != Some(extent) {
                    lowered.push(Lowered {
                        graph,
                        set: set.name.clone(),
                        axis,
                        asked: extent.max,
                        limit,
                        left_out: fitting.is_none(),
                    });
                }
                axes.insert(axis, fitting?);
            }
            Some(ShapeSet {
                name: set.name.clone(),
                axes,
            })
        })
        .collect();
    GraphProfile {
        precision: own.precision,
        chain: own.chain.clone(),
        shapes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Shelf;

    fn default_profile() -> Profile {
        Shelf::ready_made()
            .find("default")
            .expect("ready-made")
            .profile
    }

    fn batches(profile: &Profile, graph: GraphId) -> Vec<(String, String)> {
        profile.graphs[&graph]
            .shapes
            .iter()
            .map(|set| (set.name.clone(), set.axes[&Axis::Batch].to_string()))
            .collect()
    }

    #[test]
    fn concurrency_widens_open_batches_only() {
        let profile = default_profile();
        for (requests, decode, batched) in [
            (1, "1/1/1", None),
            (4, "1/2/4", Some("4/8/8")),
            (16, "1/8/16", Some("4/32/32")),
        ] {
            let requests = NonZeroU16::new(requests).expect("positive");
            let scaled = profile.for_concurrency(requests);
            assert_eq!(scaled.decode_slots, requests);
            let llm: BTreeMap<_, _> = batches(&scaled, GraphId::Llm).into_iter().collect();
            assert_eq!(llm["decode_256"], decode, "{requests}");
            assert_eq!(llm["prefill"], "1/1/1", "{requests}");
            let flow: BTreeMap<_, _> = batches(&scaled, GraphId::FlowEstimator)
                .into_iter()
                .collect();
            assert_eq!(
                flow.get("batched").map(String::as_str),
                batched,
                "{requests}"
            );
            assert_eq!(flow["offline"], "2/2/2", "{requests}");
            let text = scaled.to_yaml();
            Profile::from_yaml("scaled.yaml".as_ref(), &text).expect("a scaled profile is valid");
        }
    }

    #[test]
    fn more_requests_need_more_memory() {
        let profile = default_profile();
        let many = profile.for_concurrency(NonZeroU16::new(32).expect("positive"));
        assert!(many.memory_needed().device_mib > profile.memory_needed().device_mib);
    }

    #[test]
    fn limits_lower_maxima_and_leave_out_what_is_above() {
        let limits = AxisLimits::from([
            ((GraphId::FlowEncoder, Axis::Tokens), 100),
            ((GraphId::Llm, Axis::Past), 512),
        ]);
        let (profile, lowered) = default_profile().within(&limits);
        let tokens = profile.graphs[&GraphId::FlowEncoder].shapes[0].axes[&Axis::Tokens];
        assert_eq!(tokens.to_string(), "4/100/100");
        assert_eq!(profile.kv_buckets, [128, 256, 512]);
        let left_out: Vec<_> = lowered
            .iter()
            .filter(|one| one.left_out)
            .map(|one| one.set.as_str())
            .collect();
        assert_eq!(left_out, ["decode_1024", "decode_2048"]);
        Profile::from_yaml("limited.yaml".as_ref(), &profile.to_yaml()).expect("still valid");
        assert!(default_profile().within(&AxisLimits::new()).1.is_empty());
    }
}
