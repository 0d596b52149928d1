//! Reading profiles: what is refused, where, and that everything written reads back.

use super::file::axes_of;
use super::{Chain, Extent, GraphProfile, Memory, Profile, ProfileError, ProfileMemory, ShapeSet};
use crate::hint::Hint;
use crate::ids::{BackendId, GraphId, Precision};
use crate::profile::Fallback;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use std::num::NonZeroU16;
use std::path::Path;

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
fn an_unknown_word_is_placed_and_corrected() {
    for (from, to, line, nearest) in [
        ("lanes: 1", "lines: 1", 3, "lanes"),
        ("  hift_f0:", "  hift_f:", 19, "hift_f0"),
        ("[ort-cpu]", "[ort_cpu]", 10, "ort-cpu"),
    ] {
        let error = refused(from, to);
        let shown = error.to_string();
        assert!(
            shown.starts_with(&format!("small.yaml:{line}:")),
            "{to}: {shown}"
        );
        let hint = format!("did you mean `{nearest}`?");
        assert_eq!(error.hint(), Some(hint.into()), "{to}: {shown}");
    }
}

#[test]
fn a_broken_rule_is_placed() {
    for (from, to, line, says) in [
        ("lanes: 1", "lanes: 0", 3, "nonzero"),
        ("[ort-cpu]", "[]", 10, "at least one link"),
        ("[ort-cpu]", "[ort-cpu, ort-cpu]", 10, "`ort-cpu` is twice"),
        (
            "{ min: 8, opt: 64, max: 400 }",
            "{ min: 8, opt: 4, max: 400 }",
            22,
            "8, 4, 400",
        ),
        (
            "batch: { min: 1, opt: 2, max: 2 }",
            "batch: { min: 0, opt: 2, max: 2 }",
            16,
            "0, 2, 2",
        ),
        (
            "          new: { min: 1, opt: 1, max: 1 }\n",
            "",
            13,
            "no range for `new`",
        ),
        (
            "axes: { frames",
            "axes: { text: { min: 1, opt: 1, max: 1 }, frames",
            20,
            "has no axis `text`",
        ),
        (
            "kv_buckets: [64]",
            "kv_buckets: [64, 128]",
            1,
            "KV bucket 128",
        ),
        ("kv_buckets: [64]", "kv_buckets: [64, 64]", 1, "must ascend"),
        ("  hift_f0:", "  llm:", 20, "no range for `batch`"),
        (
            "max: 400 } }\n",
            "max: 400 } }\n  hift_f0: { shapes: [{ name: a, axes: { frames: { min: 1, opt: 1, max: 1 } } }] }\n",
            12,
            "`hift_f0` is given twice",
        ),
    ] {
        let error = refused(from, to);
        let shown = error.to_string();
        assert!(shown.contains(says), "{to}: {shown}");
        assert!(
            shown.starts_with(&format!("small.yaml:{line}:")),
            "{to}: {shown}"
        );
        assert_eq!(error.hint(), None, "{to}: {shown}");
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
        |((name, description), (lanes, decode_slots), memory, precision, chain, graphs)| Profile {
            name,
            description,
            lanes,
            decode_slots,
            kv_buckets: Vec::new(),
            memory,
            precision,
            chain,
            graphs,
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
