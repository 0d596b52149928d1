//! Moving down a chain while it serves.

use super::{
    Bindings, CompiledGraph, Footprint, Lane, LinkError, LoadError, Recovery, RunError, Session,
    open_at,
};
use crate::cuda::Gpu;
use crate::ids::BackendId;
use crate::tensor::Signature;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// What became of a graph's links while it served; clones are the same list, which all sessions share.
#[derive(Debug, Clone, Default)]
pub struct Falls(Arc<Mutex<Vec<Fall>>>);

/// A link that failed at run time, and the one that took its work.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Fall {
    /// The link that failed.
    pub from: BackendId,
    /// The link that took over.
    pub to: BackendId,
    /// [`Recovery::Call`] where it took one call, [`Recovery::Link`] where it took a lane for good.
    pub recovery: Recovery,
    /// Why, the last time.
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
    lane: Lane,
    at: usize,
    session: Box<dyn Session>,
    /// A lower rung that took single calls.
    detour: Option<(usize, Box<dyn Session>)>,
}

impl Falls {
    /// Every kind of fall so far, in the order of their first times.
    pub fn list(&self) -> Vec<Fall> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The backend that a lane which began with `first` is on now.
    pub fn lands_on(&self, first: BackendId) -> BackendId {
        let falls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let for_good = falls.iter().filter(|fall| fall.recovery == Recovery::Link);
        for_good.fold(first, |at, fall| if fall.from == at { fall.to } else { at })
    }

    fn record(&self, from: BackendId, to: BackendId, recovery: Recovery, reason: &str) {
        tracing::warn!(%from, %to, ?recovery, reason, "the next link takes over");
        let mut falls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = falls
            .iter_mut()
            .find(|fall| (fall.from, fall.to, fall.recovery) == (from, to, recovery));
        match known {
            Some(fall) => {
                fall.times += 1;
                reason.clone_into(&mut fall.reason);
            }
            None => falls.push(Fall {
                from,
                to,
                recovery,
                reason: reason.to_owned(),
                times: 1,
            }),
        }
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
        Self {
            rungs,
            first,
            falls,
        }
    }

    /// The first rung from `from` on that opens for the lane; records the fall from the rung `fallen`.
    fn open_from(
        &self,
        from: usize,
        lane: &Lane,
        fallen: BackendId,
        recovery: Recovery,
        reason: &str,
    ) -> Option<(usize, Box<dyn Session>)> {
        for (at, rung) in self.rungs.iter().enumerate().skip(from) {
            let opened = rung.get(self.signature()).and_then(|graph| {
                open_at(self.placement(), &graph, lane).map_err(|error| error.to_string())
            });
            match opened {
                Ok(session) => {
                    self.falls.record(fallen, rung.backend, recovery, reason);
                    return Some((at, session));
                }
                Err(reason) => {
                    tracing::warn!(backend = %rung.backend, reason, "link passed over");
                }
            }
        }
        None
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
                if graph.signature() == signature {
                    Ok(graph)
                } else {
                    Err("it takes and gives other tensors than the links before it".to_owned())
                }
            })
            .clone()
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
        let (at, session) = match Arc::clone(&self.first).open(lane) {
            Ok(session) => (0, session),
            Err(error) => {
                let (from, reason) = (self.rungs[0].backend, error.to_string());
                let below = self.open_from(1, lane, from, Recovery::Link, &reason);
                below.ok_or(error)?
            }
        };
        Ok(Box::new(LadderSession {
            ladder: self,
            lane: lane.clone(),
            at,
            session,
            detour: None,
        }))
    }
}

impl LadderSession {
    /// Gives the rung up for good; false where none below it opens.
    fn descend(&mut self, reason: &str) -> bool {
        let from = self.ladder.rungs[self.at].backend;
        let below = match self.detour.take() {
            Some((at, session)) => {
                let to = self.ladder.rungs[at].backend;
                self.ladder.falls.record(from, to, Recovery::Link, reason);
                Some((at, session))
            }
            None => self
                .ladder
                .open_from(self.at + 1, &self.lane, from, Recovery::Link, reason),
        };
        let Some((at, session)) = below else {
            return false;
        };
        (self.at, self.session) = (at, session);
        true
    }

    /// Has the rungs below run one call.
    fn run_below(&mut self, io: &mut Bindings<'_>, failed: RunError) -> Result<(), RunError> {
        let (from, reason) = (self.ladder.rungs[self.at].backend, failed.to_string());
        let mut next = self.at + 1;
        loop {
            let below = match self.detour.take() {
                Some((at, session)) if at >= next => {
                    let to = self.ladder.rungs[at].backend;
                    self.ladder.falls.record(from, to, Recovery::Call, &reason);
                    Some((at, session))
                }
                _ => self
                    .ladder
                    .open_from(next, &self.lane, from, Recovery::Call, &reason),
            };
            // The first failure says what was asked for.
            let Some((at, mut session)) = below else {
                return Err(failed);
            };
            match session.run(io) {
                Ok(()) => {
                    self.detour = Some((at, session));
                    return Ok(());
                }
                Err(error) if matches!(error.recovery(), Recovery::Call | Recovery::Link) => {
                    next = at + 1;
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
            match error.recovery() {
                Recovery::Caller | Recovery::Process => return Err(error),
                Recovery::Call => return self.run_below(io, error),
                Recovery::Link if self.descend(&error.to_string()) => {}
                Recovery::Link => return Err(error),
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

impl fmt::Debug for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rung")
            .field("backend", &self.backend)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
