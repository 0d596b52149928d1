//! Doing what was planned.

use super::cancel::Cancel;
use super::choose::Tried;
use super::inputs::Vocabulary;
use super::job::{CompileJob, Job, Message, VerifyJob};
use super::planner::Planner;
use super::process::{Said, run_job};
use super::side_by_side::{Hold, run_all};
use super::verdict::{reason_to_go_on, reject, verdict};
use super::workers::{Deadlines, Workers, need};
use super::{
    BuildError, BuildRequest, Built, Event, PassedOver, Plan, PlanState, PlannedGraph, RowState,
    TimingsAt, Watch, WorkerCommand, WorkerError, rewrite,
};
use crate::backend::EngineReport;
use crate::bundle::StatCache;
use crate::cache::{
    Begun, BuildRecord, Entry, KeyInputs, Lookup, Pending, SignatureText, Verification, Waiting,
};
use crate::ids::{BackendId, GraphId};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

/// Does what was planned, several graphs at once where they fit.
///
/// `digests` are those the plan was made with: they tell cheaply that a model is still the one its key was made of.
///
/// A backend that fails on a graph is passed over where the chain allows it, and an engine that is not fit to serve goes
/// into quarantine. After an error no further graph is begun; those that are done or come to their end stay in the
/// cache, and `watch` has heard of them.
///
/// # Errors
/// [`BuildError`]: the first graph that could not be built or verified, or [`BuildError::Cancelled`].
pub fn execute(
    plan: Plan,
    request: &BuildRequest<'_>,
    digests: &mut StatCache,
    workers: &Workers,
    cancel: &Cancel,
    watch: &mut dyn Watch,
) -> Result<Vec<Built>, BuildError> {
    let (digests, watch) = (Mutex::new(digests), Mutex::new(watch));
    let graphs = plan.graphs.into_iter();
    let tasks = graphs.map(|planned| (need(&planned, request), planned));
    let worker = workers.command.clone().on_device(request.device);
    let together = RwLock::new(());
    run_all(tasks.collect(), workers.jobs.room(), |planned, hold| {
        let mut heard = Shared(&watch);
        let mut executor = Executor {
            request,
            planner: Planner::new(request),
            digests: &digests,
            worker: &worker,
            deadlines: workers.deadlines,
            cancel,
            together: &together,
            hold,
            watch: &mut heard,
        };
        executor.graph(planned)
    })
}

/// What several graphs' threads tell one watcher.
struct Shared<'a, 'b>(&'a Mutex<&'b mut dyn Watch>);

impl Watch for Shared<'_, '_> {
    fn on(&mut self, event: Event<'_>) {
        let mut watch = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watch.on(event);
    }
}

/// Builds one graph.
struct Executor<'a, 'd> {
    request: &'a BuildRequest<'a>,
    planner: Planner<'a>,
    digests: &'a Mutex<&'d mut StatCache>,
    worker: &'a WorkerCommand,
    deadlines: Deadlines,
    cancel: &'a Cancel,
    /// Read by every job; written by one that is to have the machine to itself.
    together: &'a RwLock<()>,
    /// What the graph holds of memory and device.
    hold: &'a mut dyn Hold,
    watch: &'a mut dyn Watch,
}

impl Executor<'_, '_> {
    fn graph(&mut self, mut planned: PlannedGraph) -> Result<Built, BuildError> {
        let mut failed: Vec<Tried> = Vec::new();
        loop {
            let error = match self.carry_out(&planned) {
                Ok((state, entry)) => {
                    let built = Built::of(planned, state, &entry);
                    self.watch.on(Event::Done(&built));
                    return Ok(built);
                }
                Err(error) => error,
            };
            let Some(reason) = reason_to_go_on(&error) else {
                return Err(error);
            };
            failed.push(Tried {
                link: PassedOver {
                    backend: planned.backend,
                    reason,
                },
                // Another precision is another engine, but a backend that cannot build one fails on the graph.
                precision: verdict(&error).map(|_| planned.precision),
            });
            // The first failure says more than "every other link was passed over".
            let Ok(next) = self.planner.plan_graph(planned.graph, &failed) else {
                return Err(error);
            };
            let PassedOver { backend, reason } = &failed[failed.len() - 1].link;
            self.watch.on(Event::PassedOver {
                graph: planned.graph,
                backend: *backend,
                reason,
            });
            planned = next;
            self.hold.exchange(need(&planned, self.request));
        }
    }

    fn carry_out(&mut self, planned: &PlannedGraph) -> Result<(RowState, Entry), BuildError> {
        match &planned.state {
            PlanState::Cached { found, .. } => Ok((RowState::Cached, (**found).clone())),
            PlanState::Verify { found, .. } => self.verify_entry(planned, found),
            PlanState::Build { .. } => {
                let built = self.build(planned);
                if built.is_err() && self.request.rebuild {
                    self.tell_what_stays(planned);
                }
                built
            }
        }
    }

    /// An engine is replaced only by one that passed.
    fn tell_what_stays(&mut self, planned: &PlannedGraph) {
        if let Lookup::Found(entry) = self.request.store.peek(&planned.inputs) {
            self.watch.on(Event::Stays {
                graph: planned.graph,
                entry: entry.id(),
            });
        }
    }

    fn build(&mut self, planned: &PlannedGraph) -> Result<(RowState, Entry), BuildError> {
        let engine_file = engine_file(planned.backend);
        let store = self.request.store;
        let begun = store.begin(&planned.inputs, engine_file, self.request.rebuild)?;
        let begun = match begun {
            Begun::Busy(waiting) => self.wait(planned.graph, waiting)?,
            begun => begun,
        };
        let pending = match begun {
            Begun::Build(pending) => pending,
            Begun::Found(entry) => return Ok((RowState::Cached, *entry)),
            Begun::Busy(_) => unreachable!("waiting ends in an engine or the right to build it"),
        };
        self.check_unfit(planned)?;
        let started = Instant::now();
        let (signature, report) = self.compile(planned, &pending)?;
        let build_time = started.elapsed();
        let verified = self.verification(planned, &pending.engine_path());
        // Another model's verdict, or its refusal, says nothing of this engine.
        self.check_model(planned)?;
        let report = serde_json::to_value(report).expect("string keys and plain values only");
        let record = |verification| BuildRecord {
            build_time,
            signature,
            report,
            verification,
        };
        let verification = match verified {
            Ok(verification) => verification,
            Err(error) => {
                if let Some(reason) = verdict(&error) {
                    let to = pending.reject(record(Verification::Failed { reason }))?;
                    tracing::warn!(graph = %planned.graph, to = %to.display(), "engine goes into quarantine");
                }
                return Err(error);
            }
        };
        let entry = pending.commit(record(verification))?;
        tracing::info!(graph = %planned.graph, entry = entry.id(), ?build_time, "engine built");
        Ok((RowState::Built, entry))
    }

    /// Another builder may have found the engine unfit while this one waited for it.
    fn check_unfit(&self, planned: &PlannedGraph) -> Result<(), BuildError> {
        let BuildRequest { store, rebuild, .. } = *self.request;
        match store.rejection(&planned.inputs) {
            Some(reason) if !rebuild => Err(BuildError::Quarantined {
                graph: planned.graph,
                backend: planned.backend,
                precision: planned.precision,
                reason,
            }),
            _ => Ok(()),
        }
    }

    /// The worker read the model long after its digest went into the key.
    fn check_model(&mut self, planned: &PlannedGraph) -> Result<(), BuildError> {
        let graph = planned.graph;
        let file = self.request.bundle.graph_file(graph)?;
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        if file.content(&mut digests)? == planned.inputs.model {
            return Ok(());
        }
        Err(BuildError::ModelChanged {
            graph,
            path: file.path.clone(),
        })
    }

    fn compile(
        &mut self,
        planned: &PlannedGraph,
        pending: &Pending,
    ) -> Result<(SignatureText, EngineReport), BuildError> {
        let PlannedGraph {
            graph,
            backend,
            precision,
            ..
        } = *planned;
        self.watch.on(Event::Compiling {
            graph,
            backend,
            precision,
        });
        let file = self.request.bundle.graph_file(graph)?;
        let job = Job::Compile(CompileJob {
            graph,
            model: file.path.clone(),
            data: file.data.clone(),
            backend,
            precision,
            steps: self.request.bundle.manifest().flow.steps,
            plain_instance_norm: rewrite::lacks_instance_norm(backend, &planned.inputs.fingerprint),
            islands: rewrite::islands_of(planned.precision_plan.as_ref()),
            shapes: planned.inputs.shapes.clone(),
            options: planned.inputs.options.clone(),
            timing_cache: self.timings(planned),
            engine: pending.engine_path(),
        });
        match self.run(&job, self.deadlines.compile)? {
            Message::Compiled { signature, report } => Ok((signature, report)),
            other => Err(wrong_answer(&job, &other)),
        }
    }

    /// The file of timings that the build begins with and adds to; without one it takes longer.
    fn timings(&self, planned: &PlannedGraph) -> Option<PathBuf> {
        if planned.backend != BackendId::TensorRt {
            return None;
        }
        match &self.request.timings {
            TimingsAt::Nowhere => None,
            TimingsAt::File(path) => Some(path.clone()),
            TimingsAt::Store => {
                let KeyInputs {
                    backend,
                    fingerprint,
                    ..
                } = &planned.inputs;
                let path = self.request.store.timings_file(*backend, fingerprint);
                path.inspect_err(|error| tracing::warn!(%error, "timings are not kept"))
                    .ok()
            }
        }
    }

    fn verification(
        &mut self,
        planned: &PlannedGraph,
        engine: &Path,
    ) -> Result<Verification, BuildError> {
        if !self.request.verify {
            return Ok(Verification::Skipped);
        }
        if let Some(reason) = &planned.cannot_run {
            let reason = reason.clone();
            return Ok(Verification::NotRunHere { reason });
        }
        let PlannedGraph {
            graph,
            backend,
            precision,
            ..
        } = *planned;
        self.watch.on(Event::Verifying { graph, backend });
        let file = self.request.bundle.graph_file(graph)?;
        let job = Job::Verify(VerifyJob {
            graph,
            model: file.path.clone(),
            data: file.data.clone(),
            backend,
            precision,
            // ONNX Runtime never rounds to TF32 here, whatever the options say.
            tf32: planned.inputs.options.tf32
                && matches!(backend, BackendId::TensorRt | BackendId::TensorRtRtx),
            shapes: planned.shapes.clone(),
            vocabulary: Vocabulary::of(self.request.bundle),
            host_code: planned.inputs.options.version_compatible,
            engine: engine.to_owned(),
        });
        let verified = match self.run(&job, self.deadlines.verify) {
            Err(BuildError::Worker { source, .. }) if source.is_out_of_memory() => {
                tracing::warn!(%graph, %source, "verified again, with no other job beside it");
                let _alone = self
                    .together
                    .write()
                    .unwrap_or_else(PoisonError::into_inner);
                self.run_now(&job, self.deadlines.verify)
            }
            verified => verified,
        };
        match verified? {
            Message::Verified { verification } => Ok(verification),
            other => Err(wrong_answer(&job, &other)),
        }
    }

    fn verify_entry(
        &mut self,
        planned: &PlannedGraph,
        entry: &Entry,
    ) -> Result<(RowState, Entry), BuildError> {
        let store = self.request.store;
        let verification = self.verification(planned, &entry.engine_path());
        if let Some(reason) = verification.as_ref().err().and_then(verdict) {
            // Another model's values say nothing of this engine.
            self.check_model(planned)?;
            reject(store, entry, &reason);
        }
        let verification = verification?;
        let entry = store.record_verification(entry, verification);
        Ok((RowState::Verified, entry))
    }

    fn run(&mut self, job: &Job, deadline: Duration) -> Result<Message, BuildError> {
        let _beside_others = self.together.read().unwrap_or_else(PoisonError::into_inner);
        self.run_now(job, deadline)
    }

    fn run_now(&mut self, job: &Job, deadline: Duration) -> Result<Message, BuildError> {
        let graph = job.graph();
        let watch = &mut *self.watch;
        let mut said = |said: Said<'_>| {
            watch.on(match said {
                Said::Log(line) => Event::Log { graph, line },
                Said::Step { phase, done, total } => Event::Step {
                    graph,
                    phase,
                    done,
                    total,
                },
            });
        };
        run_job(self.worker, job, deadline, self.cancel, &mut said).map_err(|source| match source {
            WorkerError::Cancelled => BuildError::Cancelled,
            source => BuildError::Worker {
                graph,
                task: job.task(),
                source,
            },
        })
    }

    /// Waits for another builder on a thread of its own, so that Ctrl-C is heard meanwhile.
    fn wait(&mut self, graph: GraphId, waiting: Waiting) -> Result<Begun, BuildError> {
        self.watch.on(Event::Waiting { graph });
        let (sender, receiver) = channel();
        let stopped = sender.clone();
        let _listening = self.cancel.on_cancel(move || {
            // A wait that is over no longer listens.
            let _ = stopped.send(None);
        });
        thread::spawn(move || {
            // Where the wait was cancelled, no one listens, and the right to build is given back at once.
            let _ = sender.send(Some(waiting.wait()));
        });
        match receiver.recv() {
            Ok(Some(begun)) => Ok(begun?),
            Ok(None) | Err(_) => Err(BuildError::Cancelled),
        }
    }
}

fn engine_file(backend: BackendId) -> &'static str {
    match backend {
        BackendId::TensorRt | BackendId::TensorRtRtx => "engine.plan",
        BackendId::OrtCuda | BackendId::OrtCpu => "engine.onnx",
    }
}

fn wrong_answer(job: &Job, answer: &Message) -> BuildError {
    BuildError::Worker {
        graph: job.graph(),
        task: job.task(),
        source: WorkerError::Exited {
            code: 0,
            log: vec![format!("{answer:?}")],
        },
    }
}
