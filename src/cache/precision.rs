//! What stays in FP32 where a graph is brought to a half precision: decided once per model, replayed by every build.

use super::{CacheError, EngineStore, KeyInputs, files};
use crate::ids::{Digest, DigestHasher, Fingerprint, GraphId, Precision};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

/// Everything a precision plan depends on.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrecisionInputs {
    /// Which graph.
    pub graph: GraphId,
    /// The model's content, external weights included.
    pub model: Digest,
    /// A half precision.
    pub precision: Precision,
    /// The recorded ranges; `None` where the bundle has none.
    pub ranges: Option<Digest>,
    /// How a model is rewritten where nothing stays in FP32, and the rules that choose what does.
    pub recipe: Fingerprint,
}

/// What stays in FP32, and whether the rest may be half.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrecisionPlan {
    /// What it was decided for.
    pub inputs: PrecisionInputs,
    /// Nodes that stay in FP32, and why.
    pub islands: BTreeMap<String, String>,
    /// Nodes of the graph, for comparison.
    pub nodes: usize,
    /// Whether a graph with these islands computes what the FP32 one does.
    pub verdict: Verdict,
}

/// Whether half precision is good enough.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case", deny_unknown_fields)]
pub enum Verdict {
    /// It is; what was measured, by name.
    Passed {
        /// Errors by name, each with its bound.
        measured: Vec<Measured>,
    },
    /// It is not; the plan is in quarantine, and no engine is built by it.
    Failed {
        /// Why.
        reason: String,
    },
}

/// One measurement.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// What was measured.
    pub what: String,
    /// The value.
    pub value: f64,
    /// What it had to stay within.
    pub bound: f64,
}

/// Below the store's root; the name starts with a dot as everything there that is no graph.
const FOLDER: &str = ".precision";

impl PrecisionInputs {
    /// The file of its plan.
    fn file_name(&self) -> String {
        let Self {
            graph, precision, ..
        } = self;
        let mut hasher = DigestHasher::default();
        hasher.update(&serde_json::to_vec(self).expect("string keys and plain values only"));
        format!("{graph}-{precision}-{}.json", hasher.finish().short())
    }
}

impl PrecisionPlan {
    /// Whether a model rewritten by this recipe keeps just these islands.
    fn built(&self, recipe: &Fingerprint) -> bool {
        let nodes: BTreeSet<&String> = self.islands.keys().collect();
        match recipe.get("half(islands.nodes)") {
            Some(kept) => kept == format!("{nodes:?}"),
            None => nodes.is_empty(),
        }
    }

    /// Why no engine may be built by it; `None` where one may.
    pub fn failure(&self) -> Option<&str> {
        match &self.verdict {
            Verdict::Passed { .. } => None,
            Verdict::Failed { reason } => Some(reason),
        }
    }
}

impl EngineStore {
    /// The plan decided for these inputs; `None` where there is none that can be read, so that it is decided again.
    pub fn precision_plan(&self, inputs: &PrecisionInputs) -> Option<PrecisionPlan> {
        let path = self.precision_path(inputs);
        let text = fs::read(&path).ok()?;
        match serde_json::from_slice::<PrecisionPlan>(&text) {
            Ok(plan) if plan.inputs == *inputs => Some(plan),
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "precision plan ignored");
                None
            }
        }
    }

    /// Every plan that can be read, by file name.
    pub fn precision_plans(&self) -> Vec<PrecisionPlan> {
        let Ok(entries) = fs::read_dir(self.root().join(FOLDER)) else {
            return Vec::new();
        };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort_unstable();
        let texts = paths.iter().filter_map(|path| fs::read(path).ok());
        texts
            .filter_map(|text| serde_json::from_slice(&text).ok())
            .collect()
    }

    /// The plan an engine was built by; `None` where there was none, or it is gone.
    pub fn precision_plan_of(&self, engine: &KeyInputs) -> Option<PrecisionPlan> {
        let mut plans = self.precision_plans().into_iter();
        plans.find(|plan| {
            let PrecisionInputs {
                graph,
                model,
                precision,
                ..
            } = &plan.inputs;
            (*graph, *model, *precision) == (engine.graph, engine.model, engine.precision)
                && plan.built(&engine.recipe)
        })
    }

    /// Keeps a plan, in the place of the one there was for its inputs.
    ///
    /// # Errors
    /// [`CacheError`] when the store cannot be written.
    pub fn keep_precision_plan(&self, plan: &PrecisionPlan) -> Result<(), CacheError> {
        let path = self.precision_path(&plan.inputs);
        let folder = self.root().join(FOLDER);
        let temporary = folder.join(format!(".plan-{}.tmp", std::process::id()));
        let text = serde_json::to_vec_pretty(plan).expect("string keys and plain values only");
        fs::create_dir_all(&folder)
            .and_then(|()| files::write_synced(&temporary, &text))
            .and_then(|()| fs::rename(&temporary, &path))
            .map_err(|source| {
                // Where this fails too, the next plan of this process takes its place.
                let _ = fs::remove_file(&temporary);
                CacheError::new("write", &path, source)
            })
    }

    fn precision_path(&self, inputs: &PrecisionInputs) -> PathBuf {
        self.root().join(FOLDER).join(inputs.file_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> PrecisionPlan {
        PrecisionPlan {
            inputs: PrecisionInputs {
                graph: GraphId::FlowEstimator,
                model: Digest::of(b"model"),
                precision: Precision::Fp16,
                ranges: None,
                recipe: Fingerprint::default().with("half", 1),
            },
            islands: BTreeMap::from([("/sin".to_owned(), "a phase".to_owned())]),
            nodes: 7,
            verdict: Verdict::Passed {
                measured: vec![Measured {
                    what: "mel".to_owned(),
                    value: 1e-3,
                    bound: 2e-2,
                }],
            },
        }
    }

    #[test]
    fn a_plan_is_found_by_its_inputs_only() {
        type Change = fn(&mut PrecisionInputs);
        let root = tempfile::tempdir().expect("temporary folder");
        let store = EngineStore::new(root.path());
        let kept = plan();
        assert_eq!(store.precision_plan(&kept.inputs), None);
        store.keep_precision_plan(&kept).expect("writable");
        assert_eq!(store.precision_plan(&kept.inputs), Some(kept.clone()));
        let changes: [Change; 4] = [
            |inputs| inputs.model = Digest::of(b"other"),
            |inputs| inputs.precision = Precision::Bf16,
            |inputs| inputs.ranges = Some(Digest::of(b"ranges")),
            |inputs| inputs.recipe = Fingerprint::default().with("half", 2),
        ];
        for change in changes {
            let mut inputs = kept.inputs.clone();
            change(&mut inputs);
            assert_eq!(store.precision_plan(&inputs), None, "{inputs:?}");
        }
        let failed = PrecisionPlan {
            verdict: Verdict::Failed {
                reason: "NaN".to_owned(),
            },
            ..kept
        };
        store.keep_precision_plan(&failed).expect("writable");
        let found = store.precision_plan(&failed.inputs).expect("kept");
        assert_eq!(found.failure(), Some("NaN"));
        assert_eq!(store.precision_plans(), [found]);
    }

    #[test]
    fn a_damaged_plan_is_none() {
        let root = tempfile::tempdir().expect("temporary folder");
        let store = EngineStore::new(root.path());
        let kept = plan();
        store.keep_precision_plan(&kept).expect("writable");
        fs::write(store.precision_path(&kept.inputs), b"{").expect("writable");
        assert_eq!(store.precision_plan(&kept.inputs), None);
        assert_eq!(store.precision_plans(), []);
    }
}
