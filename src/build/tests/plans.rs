//! What is planned, before anything is built.

use super::scripted::AMPERE;
use super::*;
use crate::cache::{PrecisionPlan, Verdict};
use std::collections::BTreeMap;

/// The plan of the bench's one graph.
fn planned(request: &BuildRequest<'_>) -> PlannedGraph {
    let plan = plan(request, &mut StatCache::in_memory());
    plan.expect("planned").graphs.remove(0)
}

#[test]
fn a_plan_says_why_an_engine_is_built() {
    let mut bench = Bench::new(Behaviour::Works, Fallback::Never);
    let reason = |bench: &Bench| {
        let plan = plan(&bench.request(), &mut StatCache::in_memory()).expect("planned");
        match &plan.graphs[0].state {
            PlanState::Build { reason } => reason.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(reason(&bench), "not built yet");
    bench.build().expect("builds");
    let sets = &mut bench.profile.graphs.get_mut(&GRAPH).expect("there").shapes;
    sets.truncate(1);
    let now = reason(&bench);
    assert!(
        now.contains("shapes.offline: frames 64/500/3000 → none"),
        "{now}"
    );
    assert!(bench.root.path().is_dir(), "planning keeps the store");
}

#[test]
fn a_refused_precision_is_open_again_where_a_rebuild_is_asked_for() {
    let bench = Bench::new(Behaviour::Works, Fallback::Never);
    let inputs = precision_inputs(&bench.bundle, GRAPH, Precision::Fp16).expect("there");
    let refused = PrecisionPlan {
        inputs,
        islands: BTreeMap::new(),
        nodes: 1,
        verdict: Verdict::Failed {
            reason: "it is not finite".to_owned(),
        },
    };
    bench.store.keep_precision_plan(&refused).expect("writable");
    let open = |rebuild, verify| {
        let request = BuildRequest {
            rebuild,
            verify,
            ..bench.request()
        };
        let plan = plan_to_qualify(&request, &mut StatCache::in_memory());
        plan.map(|plan| plan.unqualified().collect::<Vec<_>>())
    };
    for (rebuild, verify) in [(false, true), (true, false)] {
        let error = open(rebuild, verify).expect_err("the verdict holds");
        assert!(matches!(error, BuildError::Unqualified { .. }), "{error:?}");
        assert!(error.hint().is_some_and(|hint| hint.contains("--force")));
    }
    let again = open(true, true).expect("it is to be qualified again");
    assert_eq!(again, [(GRAPH, Precision::Fp16)]);
}

#[test]
fn a_preview_changes_nothing() {
    let mut bench = Bench::new(Behaviour::Works, Fallback::Never);
    let built = bench.build().expect("builds");
    let entry = built.engine.parent().expect("an entry");
    fs::remove_file(entry.join("used")).expect("noted");
    fs::remove_file(entry.join("stat.json")).expect("remembered");
    let state = |bench: &Bench| {
        let mut plan = preview(&bench.request(), &mut StatCache::in_memory()).expect("planned");
        plan.graphs.remove(0).state
    };
    let files = || fs::read_dir(entry).expect("still there").count();
    let before = files();
    assert!(matches!(state(&bench), PlanState::Cached { .. }));
    assert_eq!(files(), before, "nothing is noted");

    fs::write(&built.engine, b"damaged").expect("writable");
    let damaged = state(&bench);
    assert!(
        matches!(&damaged, PlanState::Build { reason } if reason.contains("damaged")),
        "{damaged:?}"
    );
    assert_eq!(files(), before, "it stays where it is");
}

#[test]
fn an_engine_is_built_for_the_gpu_that_is_here_unless_others_are_named() {
    let bench = Bench::new(Behaviour::HasAnAmpere, Fallback::Never);
    assert_eq!(plan_inputs(&bench).options.targets, [AMPERE]);
    let mut request = bench.request();
    request.options.targets = vec!["sm_120".parse().expect("a capability")];
    let plan = plan(&request, &mut StatCache::in_memory()).expect("planned");
    let named = &plan.graphs[0].inputs.options.targets;
    assert_eq!(*named, request.options.targets);
}

#[test]
fn a_precision_that_outranks_the_profiles_fp32_is_said() {
    let mut bench = Bench::new(Behaviour::Works, Fallback::Never);
    let own = bench.profile.graphs.get_mut(&GRAPH).expect("there");
    own.precision = Some(Precision::Fp32);
    let named = Scope::Named(vec![GRAPH]);
    let needed = Scope::Needed(vec![GRAPH]);
    let (fp16, fp32) = (Precision::Fp16, Precision::Fp32);
    let cases = [
        (
            &named,
            Some(fp16),
            fp16,
            Some("asked for by name, it is built in fp16"),
        ),
        (
            &needed,
            Some(fp16),
            fp32,
            Some("profile `rtx` keeps it in fp32"),
        ),
        (&named, Some(fp32), fp32, None),
        (&named, None, fp32, None),
    ];
    for (scope, asked, precision, said) in cases {
        let planned = planned(&BuildRequest {
            scope: scope.clone(),
            precision: asked,
            ..bench.request()
        });
        let case = format!("{scope:?} {asked:?}: {:?}", planned.notes);
        assert_eq!(planned.wanted, precision, "{case}");
        let about = planned.notes.iter().find(|note| note.contains("keeps it"));
        assert_eq!(about.is_some(), said.is_some(), "{case}");
        assert!(
            about.is_none_or(|note| note.contains(said.unwrap_or_default())),
            "{case}"
        );
    }
}

#[test]
fn a_key_is_open_until_the_precision_plan_is_made() {
    let bench = Bench::new(Behaviour::Works, Fallback::Never);
    let mut plan = preview(&bench.request(), &mut StatCache::in_memory()).expect("planned");
    let key = plan.graphs[0].key;
    assert!(key.is_some());
    plan.leave_open(&[(GRAPH, Precision::Bf16), (GraphId::Llm, Precision::Fp16)]);
    assert_eq!(plan.graphs[0].key, key, "none of them is planned");
    plan.leave_open(&[(GRAPH, Precision::Fp16)]);
    let PlannedGraph { key, state, .. } = &plan.graphs[0];
    assert_eq!(*key, None);
    assert!(
        matches!(state, PlanState::Build { reason } if reason.contains("precision plan")),
        "{state:?}"
    );
}
