//! Moving down a chain while it serves.

use super::{
    Bindings, CompiledGraph, Footprint, Lane, LinkError, LoadError, Recovery, RunError, Session,
    open_at,
};
use crate::cuda::Gpu;
use crate::ids::BackendId;
use crate::tensor::{Dim, Placement, Shape, Signature};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::Span;

/// What became of a graph's links while it served; clones are the same list, which all sessions share.
#[derive(Debug, Clone, Default)]
pub struct Falls(Arc<Mutex<FallLog>>);

#[derive(Debug, Default)]
struct FallLog {
    links: Vec<BackendId>,
    falls: Vec<Fall>,
    /// On which rung each open session is.
    standing: BTreeMap<u64, usize>,
    opened: u64,
}

/// A link that failed at run time, and the one that took its work.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Fall {
    /// The link that failed.
    pub from: BackendId,
    /// The link that took over.
    pub to: BackendId,
    /// [`Recovery::Call`] where it took one call, [`Recovery::Link`] where it took a lane for good.
    pub recovery: Recovery,
    /// Why, the last time; links between the two are named with their own reason.
    pub reason: String,
    /// How often.
    pub times: u64,
}

/// A graph on the first link of a chain, with the next ones at hand; they are loaded when they are needed.
#[derive(Debug)]
pub(super) struct Ladder {
    /// Never empty; the first one is loaded.
    rungs: Vec<Rung>,
    first: Arc<dyn CompiledGraph>,
    falls: Falls,
    /// Says in the log which graph it is.
    span: Span,
}

/// One link.
pub(super) struct Rung {
    backend: BackendId,
    load: Box<Load>,
    state: Mutex<Option<Result<Arc<dyn CompiledGraph>, String>>>,
}

/// Loads a link's graph.
pub(super) type Load = dyn Fn() -> Result<Arc<dyn CompiledGraph>, LinkError> + Send + Sync;

/// One lane's place on the ladder.
#[derive(Debug)]
struct LadderSession {
    ladder: Arc<Ladder>,
    /// Where the caller's tensors are.
    placement: Placement,
    lane: Lane,
    at: usize,
    session: Box<dyn Session>,
    /// A lower rung that took single calls.
    detour: Option<(usize, Box<dyn Session>)>,
    standing: Standing,
}

/// A session's entry in the log, for as long as it is open.
#[derive(Debug)]
struct Standing {
    log: Arc<Mutex<FallLog>>,
    session: u64,
}

/// A rung that opened, and why those passed on the way did not.
struct Opened {
    at: usize,
    session: Box<dyn Session>,
    skipped: Vec<String>,
}

impl Falls {
    /// Every kind of fall so far, in the order of their first times.
    pub fn list(&self) -> Vec<Fall> {
        self.log().falls.clone()
    }

    /// The backend that runs the graph now, for the open session that has fallen furthest; `None` without a chain.
    pub fn now(&self) -> Option<BackendId> {
        let log = self.log();
        let lowest = log.standing.values().copied().max().unwrap_or(0);
        log.links.get(lowest).copied()
    }

    fn stand(&self, at: usize) -> Standing {
        let mut log = self.log();
        log.opened += 1;
        let session = log.opened;
        log.standing.insert(session, at);
        Standing {
            log: Arc::clone(&self.0),
            session,
        }
    }

    pub(crate) fn record(&self, from: BackendId, to: BackendId, recovery: Recovery, reason: &str) {
        tracing::warn!(%from, %to, ?recovery, reason, "the next link takes over");
        let mut log = self.log();
        let known = log
            .falls
            .iter_mut()
            .find(|fall| (fall.from, fall.to, fall.recovery) == (from, to, recovery));
        match known {
            Some(fall) => {
                fall.times += 1;
                reason.clone_into(&mut fall.reason);
            }
            None => log.falls.push(Fall {
                from,
                to,
                recovery,
                reason: reason.to_owned(),
                times: 1,
            }),
        }
    }

    fn log(&self) -> MutexGuard<'_, FallLog> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    fn move_to(&self, at: usize) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.standing.insert(self.session, at);
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.standing.remove(&self.session);
    }
}

impl PartialEq for Falls {
    fn eq(&self, other: &Self) -> bool {
        self.list() == other.list()
    }
}

impl Eq for Falls {}

impl serde::Serialize for Falls {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.list().serialize(serializer)
    }
}

impl Ladder {
    /// A ladder whose first rung is loaded; `rest` are the links behind it, best first.
    pub(super) fn new(
        backend: BackendId,
        first: Arc<dyn CompiledGraph>,
        rest: Vec<Rung>,
        falls: Falls,
    ) -> Self {
        let loaded = Arc::clone(&first);
        let mut rungs = vec![Rung::new(
            backend,
            Box::new(move || Ok(Arc::clone(&loaded))),
        )];
        rungs.extend(rest);
        falls.log().links = rungs.iter().map(|rung| rung.backend).collect();
        Self {
            rungs,
            first,
            falls,
            span: Span::current(),
        }
    }

    fn open_at(
        self: Arc<Self>,
        placement: Placement,
        lane: &Lane,
    ) -> Result<Box<dyn Session>, LoadError> {
        let (at, session) = match open_at(placement, &self.first, lane) {
            Ok(session) => (0, session),
            Err(error) if error.is_lost_device() => return Err(error),
            Err(error) => match self.open_from(1, placement, lane) {
                Some(opened) => {
                    self.record(0, &opened, Recovery::Link, &error.to_string());
                    (opened.at, opened.session)
                }
                None => return Err(error),
            },
        };
        Ok(Box::new(LadderSession {
            standing: self.falls.stand(at),
            placement,
            ladder: self,
            lane: lane.clone(),
            at,
            session,
            detour: None,
        }))
    }

    /// The first rung from `from` on that opens for the lane.
    fn open_from(&self, from: usize, placement: Placement, lane: &Lane) -> Option<Opened> {
        let _graph = self.span.enter();
        let mut skipped = Vec::new();
        for (at, rung) in self.rungs.iter().enumerate().skip(from) {
            let opened = rung.get(self.signature()).and_then(|graph| {
                open_at(placement, &graph, lane).map_err(|error| error.to_string())
            });
            match opened {
                Ok(session) => {
                    return Some(Opened {
                        at,
                        session,
                        skipped,
                    });
                }
                Err(reason) => skipped.push(format!("{}: {reason}", rung.backend)),
            }
        }
        None
    }

    /// Why whoever looks from `from` on comes to `at`: what is said of every rung between the two, none of which can be
    /// loaded; `None` where one of them can, or was not tried.
    fn skipped_between(&self, from: usize, at: usize) -> Option<Vec<String>> {
        let between = self.rungs.get(from..at)?.iter();
        between.map(Rung::broken).collect()
    }

    /// The rung `from` gave its work, or its lane, to another one.
    fn record(&self, from: usize, to: &Opened, recovery: Recovery, reason: &str) {
        let _graph = self.span.enter();
        let mut reasons = vec![reason.to_owned()];
        reasons.extend(to.skipped.iter().cloned());
        let (from, to) = (self.rungs[from].backend, self.rungs[to.at].backend);
        self.falls.record(from, to, recovery, &reasons.join("; "));
    }
}

impl Rung {
    pub(super) fn new(backend: BackendId, load: Box<Load>) -> Self {
        let state = Mutex::default();
        Self {
            backend,
            load,
            state,
        }
    }

    /// The graph, loaded where it is not yet; a link that failed once is not tried again.
    fn get(&self, signature: &Signature) -> Result<Arc<dyn CompiledGraph>, String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state
            .get_or_insert_with(|| {
                let graph = (self.load)().map_err(|error| error.to_string())?;
                if stands_in(graph.signature(), signature) {
                    Ok(graph)
                } else {
                    Err("it takes and gives other tensors than the links before it".to_owned())
                }
            })
            .clone()
    }

    /// Its name and why it cannot be loaded; `None` where that is not known of it.
    fn broken(&self) -> Option<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let reason = state.as_ref()?.as_ref().err()?;
        Some(format!("{}: {reason}", self.backend))
    }

    fn loaded(&self) -> Option<Arc<dyn CompiledGraph>> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.as_ref()?.as_ref().ok().cloned()
    }
}

impl CompiledGraph for Ladder {
    fn signature(&self) -> &Signature {
        self.first.signature()
    }

    fn gpu(&self) -> Option<&Gpu> {
        self.first.gpu()
    }

    fn takes(&self, inputs: &[Shape]) -> bool {
        self.first.takes(inputs)
    }

    /// Of every rung loaded so far.
    fn footprint(&self) -> Footprint {
        let below = self.rungs.iter().skip(1).filter_map(Rung::loaded);
        below.fold(self.first.footprint(), |sum, graph| {
            let more = graph.footprint();
            Footprint {
                host_bytes: sum.host_bytes + more.host_bytes,
                device_bytes: sum.device_bytes + more.device_bytes,
                scratch_bytes: sum.scratch_bytes.max(more.scratch_bytes),
            }
        })
    }

    fn keep_kernels(&self) {
        self.first.keep_kernels();
    }

    fn open(self: Arc<Self>, lane: &Lane) -> Result<Box<dyn Session>, LoadError> {
        let placement = self.placement();
        self.open_at(placement, lane)
    }

    fn open_links(
        self: Arc<Self>,
        placement: Placement,
        lane: &Lane,
    ) -> Option<Result<Box<dyn Session>, LoadError>> {
        Some(self.open_at(placement, lane))
    }
}

impl LadderSession {
    /// The next rung that opens; one that took a call is open already.
    fn next(&mut self, from: usize) -> Option<Opened> {
        let kept = self.detour.take().and_then(|(at, session)| {
            Some(Opened {
                at,
                session,
                skipped: self.ladder.skipped_between(from, at)?,
            })
        });
        kept.or_else(|| self.ladder.open_from(from, self.placement, &self.lane))
    }

    /// Gives the rung up for good; false where none below it opens.
    fn descend(&mut self, reason: &str) -> bool {
        let Some(opened) = self.next(self.at + 1) else {
            return false;
        };
        self.ladder.record(self.at, &opened, Recovery::Link, reason);
        self.standing.move_to(opened.at);
        (self.at, self.session) = (opened.at, opened.session);
        true
    }

    /// Has the rungs below run one call.
    fn run_below(&mut self, io: &mut Bindings<'_>, failed: RunError) -> Result<(), RunError> {
        let mut reason = failed.to_string();
        let mut next = self.at + 1;
        loop {
            // The first failure says what was asked for.
            let Some(mut opened) = self.next(next) else {
                return Err(failed);
            };
            match opened.session.run(io) {
                Ok(()) => {
                    self.ladder
                        .record(self.at, &opened, Recovery::Call, &reason);
                    self.detour = Some((opened.at, opened.session));
                    return Ok(());
                }
                Err(error) if matches!(error.recovery(), Recovery::Call | Recovery::Link) => {
                    let backend = self.ladder.rungs[opened.at].backend;
                    reason = format!("{reason}; {backend}: {error}");
                    next = opened.at + 1;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Session for LadderSession {
    fn signature(&self) -> &Signature {
        self.ladder.signature()
    }

    fn run(&mut self, io: &mut Bindings<'_>) -> Result<(), RunError> {
        loop {
            let Err(error) = self.session.run(io) else {
                return Ok(());
            };
            // What cannot be recorded can still be run.
            if self
                .lane
                .stream()
                .is_some_and(|stream| stream.is_recording())
            {
                return Err(error);
            }
            match error.recovery() {
                Recovery::Call => return self.run_below(io, error),
                Recovery::Link if self.descend(&error.to_string()) => {}
                Recovery::Link | Recovery::Caller | Recovery::Process => return Err(error),
            }
        }
    }

    fn runs_on(&self) -> Option<BackendId> {
        Some(self.ladder.rungs[self.at].backend)
    }

    fn give_up(&mut self, reason: &str) -> bool {
        self.descend(reason)
    }
}

/// Whether a graph takes and gives what another one does; one may fix a size that the other leaves open.
fn stands_in(graph: &Signature, wanted: &Signature) -> bool {
    let ports = |signature: &Signature| {
        let ports = signature.inputs.iter().chain(&signature.outputs);
        ports.cloned().collect::<Vec<_>>()
    };
    let (found, wanted) = (ports(graph), ports(wanted));
    found.len() == wanted.len()
        && found.iter().zip(&wanted).all(|(found, wanted)| {
            let dims = found.dims.iter().zip(&wanted.dims);
            (&found.name, found.dtype, found.dims.len())
                == (&wanted.name, wanted.dtype, wanted.dims.len())
                && dims.clone().all(|dims| match dims {
                    (Dim::Fixed(found), Dim::Fixed(wanted)) => found == wanted,
                    _ => true,
                })
        })
}

impl fmt::Debug for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rung")
            .field("backend", &self.backend)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
