//! Which engine a graph wants, and whether the cache has it.

use super::choose::{Choice, Probes, Tried, Wish};
use super::serving::newest_that_serves;
use super::wanted::{axis_limits, chain_of, precision_of};
use super::{BuildError, BuildRequest, PassedOver, PlanState, PlannedGraph, TimingsAt, rewrite};
use crate::cache::{
    Change, EngineKey, EngineStore, KeyInputs, Lookup, PrecisionPlan, Verification, changes,
};
use crate::ids::{BackendId, GraphId, Precision};
use crate::profile::{AxisLimits, ShapeSet};
use std::fmt;

/// Plans graphs one at a time, so that one can be planned again without a backend that failed on it.
#[derive(Debug)]
pub(super) struct Planner<'a> {
    request: &'a BuildRequest<'a>,
    probes: Probes<'a>,
    limits: AxisLimits,
    find: Find,
    /// Whether the plan is to load what is there: a link that runs models as exported then does without an engine, and an
    /// engine compiled with other options does as well.
    to_serve: bool,
    /// Whether a verdict against a precision holds no more.
    requalifies: bool,
}

/// How the store is asked for an engine.
type Find = fn(&EngineStore, &KeyInputs) -> Lookup;

impl<'a> Planner<'a> {
    pub(super) fn new(request: &'a BuildRequest<'a>) -> Self {
        Self {
            request,
            probes: Probes::new(request.backends),
            limits: axis_limits(request.bundle),
            find: EngineStore::lookup,
            to_serve: false,
            requalifies: false,
        }
    }

    /// For finding what is to be qualified before it is built.
    pub(super) fn to_qualify(request: &'a BuildRequest<'a>) -> Self {
        Self {
            requalifies: request.rebuild && request.verify,
            ..Self::new(request)
        }
    }

    /// As [`Self::to_qualify`], and leaves the store as it is.
    pub(super) fn to_preview(request: &'a BuildRequest<'a>) -> Self {
        Self {
            find: EngineStore::peek,
            ..Self::to_qualify(request)
        }
    }

    /// For loading what is there.
    pub(super) fn to_serve(request: &'a BuildRequest<'a>) -> Self {
        Self {
            to_serve: true,
            ..Self::new(request)
        }
    }

    /// The first link whose engine is not in quarantine. An engine that was found unfit is not built again, unless a
    /// rebuild is asked for.
    pub(super) fn plan_graph(
        &mut self,
        graph: GraphId,
        failed: &[Tried],
    ) -> Result<PlannedGraph, BuildError> {
        let mut failed = failed.to_vec();
        let mut unfit = None;
        loop {
            let mut planned = match (self.plan_link(graph, &failed), unfit.take()) {
                (Ok(planned), _) => planned,
                // The first engine says more than "every link was passed over".
                (Err(BuildError::NothingBuilds { .. }), Some(unfit)) => return Err(unfit),
                (Err(error), _) => return Err(error),
            };
            let Some(rejection) = self.rejection(&planned) else {
                return Ok(planned);
            };
            let PlannedGraph {
                backend, precision, ..
            } = planned;
            let link = PassedOver {
                backend,
                reason: rejection.said(precision),
            };
            if self.to_serve && backend.runs_models() {
                let reason = link.reason.clone();
                planned.state = PlanState::Build { reason };
                planned.passed_over.push(link);
                return Ok(planned);
            }
            failed.push(Tried {
                link,
                precision: Some(precision),
            });
            unfit = Some(rejection.into_error(graph, backend, precision));
        }
    }

    /// Why the engine that the cache has, or had, is not to be served.
    fn rejection(&self, planned: &PlannedGraph) -> Option<Rejection> {
        match planned.state.entry() {
            Some(entry) => {
                let never_ran = matches!(
                    entry.manifest().verification,
                    Verification::NotRunHere { .. }
                );
                let runs = planned.cannot_run.is_none() && !planned.backend.runs_models();
                (self.to_serve && runs && never_ran).then_some(Rejection::NeverRan)
            }
            None if self.request.rebuild => None,
            None => {
                let reason = self.request.store.rejection(&planned.inputs)?;
                Some(Rejection::Quarantined(reason))
            }
        }
    }

    fn plan_link(&mut self, graph: GraphId, failed: &[Tried]) -> Result<PlannedGraph, BuildError> {
        let request = self.request;
        let model = request.bundle.graph_file(graph)?.sha256;
        let mut notes = Vec::new();
        let shapes = self.shapes(graph, &mut notes)?;
        let wanted = precision_of(graph, request, &mut notes);
        let chain = chain_of(graph, request, &mut notes);
        let decided = self.precision_plan(graph, wanted)?;
        let unfit = decided.as_ref().and_then(PrecisionPlan::failure);
        let choice = self.probes.choose(&Wish {
            graph,
            precision: wanted,
            chain: &chain,
            options: &request.options,
            unfit,
            failed,
            to_serve: self.to_serve,
        })?;
        let Choice {
            backend,
            fingerprint,
            precision,
            options,
            run,
            passed_over,
            notes: chosen,
        } = choice;
        notes.extend(chosen);
        let precision_plan = decided.filter(|plan| plan.inputs.precision == precision);
        notes.extend(precision_plan.as_ref().and_then(kept_in_fp32));
        if matches!(request.timings, TimingsAt::File(_)) && backend != BackendId::TensorRt {
            notes.push(format!("{backend} has no use for --timing-cache"));
        }
        let inputs = KeyInputs {
            graph,
            model,
            recipe: rewrite::recipe(
                graph,
                (backend, &fingerprint),
                precision,
                request.bundle.manifest().flow.steps,
                &rewrite::islands_of(precision_plan.as_ref()),
            ),
            precision,
            // Its engines serve every shape, so one does for all profiles.
            shapes: if backend.runs_models() {
                Vec::new()
            } else {
                shapes.clone()
            },
            options,
            backend,
            fingerprint,
            host: KeyInputs::this_host(),
        };
        Ok(PlannedGraph {
            graph,
            backend,
            precision,
            wanted,
            precision_plan,
            key: Some(EngineKey::of(&inputs)),
            state: self.state_of(&inputs, run.is_ok())?,
            inputs,
            shapes,
            cannot_run: run.err(),
            passed_over,
            notes,
        })
    }

    fn precision_plan(
        &self,
        graph: GraphId,
        precision: Precision,
    ) -> Result<Option<PrecisionPlan>, BuildError> {
        if precision == Precision::Fp32 {
            return Ok(None);
        }
        let inputs = rewrite::precision_inputs(self.request.bundle, graph, precision)?;
        let decided = self.request.store.precision_plan(&inputs);
        Ok(decided.filter(|plan| !self.requalifies || plan.failure().is_none()))
    }

    fn state_of(&self, inputs: &KeyInputs, runs_here: bool) -> Result<PlanState, BuildError> {
        let request = self.request;
        if request.rebuild {
            return Ok(PlanState::Build {
                reason: "a rebuild was asked for".to_owned(),
            });
        }
        let newest = if self.to_serve {
            newest_that_serves(request.store, inputs)?
        } else {
            Lookup::Missing
        };
        let lookup = match newest {
            Lookup::Missing => (self.find)(request.store, inputs),
            newest => newest,
        };
        Ok(match lookup {
            Lookup::Found(found) => {
                let entry = found.id().to_owned();
                let open = matches!(
                    found.manifest().verification,
                    Verification::NotRunHere { .. } | Verification::Skipped
                );
                if request.verify && runs_here && open {
                    PlanState::Verify { entry, found }
                } else {
                    PlanState::Cached { entry, found }
                }
            }
            Lookup::Missing => PlanState::Build {
                reason: why_missing(request.store, inputs)?,
            },
            Lookup::Corrupt {
                corruption,
                quarantined: None,
            } => PlanState::Build {
                reason: format!("the engine is damaged: {corruption}"),
            },
            Lookup::Corrupt { corruption, .. } => PlanState::Build {
                reason: was_damaged(&corruption),
            },
        })
    }

    fn shapes(&self, graph: GraphId, notes: &mut Vec<String>) -> Result<Vec<ShapeSet>, BuildError> {
        let profile = self.request.profile;
        let (within, lowered) = profile.within(&self.limits);
        notes.extend(
            lowered
                .iter()
                .filter(|one| one.graph == graph)
                .map(ToString::to_string),
        );
        let shapes = within.graphs.get(&graph).map(|own| own.shapes.clone());
        shapes
            .filter(|sets| !sets.is_empty())
            .ok_or_else(|| BuildError::NoShapes {
                profile: profile.name.clone(),
                graph,
            })
    }
}

/// Why an engine is not to be served.
enum Rejection {
    /// It was found unfit.
    Quarantined(String),
    /// It was built where it could not run, and nothing has compared it with the reference since.
    NeverRan,
}

impl Rejection {
    fn said(&self, precision: Precision) -> String {
        match self {
            Self::Quarantined(reason) => {
                format!("its {precision} engine is in quarantine: {reason}")
            }
            Self::NeverRan => format!(
                "its {precision} engine was built elsewhere and never compared with the reference: cvtrt build does it"
            ),
        }
    }

    fn into_error(self, graph: GraphId, backend: BackendId, precision: Precision) -> BuildError {
        match self {
            Self::Quarantined(reason) => BuildError::Quarantined {
                graph,
                backend,
                precision,
                reason,
            },
            Self::NeverRan => BuildError::NeverRan {
                graph,
                backend,
                precision,
            },
        }
    }
}

/// How much of a half-precision graph is not.
fn kept_in_fp32(plan: &PrecisionPlan) -> Option<String> {
    let PrecisionPlan { islands, nodes, .. } = plan;
    (!islands.is_empty()).then(|| format!("{} of its {nodes} nodes stay in fp32", islands.len()))
}

fn was_damaged(what: &dyn fmt::Display) -> String {
    format!("the engine was damaged and is in quarantine: {what}")
}

/// Says that it was damaged, else what changed since the entry most like the one that is wanted.
fn why_missing(store: &EngineStore, inputs: &KeyInputs) -> Result<String, BuildError> {
    if let Some(damage) = store.damage_in_quarantine(inputs) {
        return Ok(was_damaged(&damage));
    }
    let nearest = store
        .entries_of(inputs.graph)?
        .into_iter()
        .filter_map(|listed| listed.entry.ok())
        .filter(|entry| {
            entry.manifest().inputs.backend == inputs.backend && entry.unfit().is_none()
        })
        .map(|entry| changes(&entry.manifest().inputs, inputs))
        .min_by_key(Vec::len);
    Ok(match nearest {
        None => "not built yet".to_owned(),
        Some(changed) => {
            let changed: Vec<String> = changed.iter().map(Change::to_string).collect();
            format!("changed since it was built: {}", changed.join(", "))
        }
    })
}
