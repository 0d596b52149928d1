//! Who waits, who is next, and who finds no place.

use super::error::{JobError, Refused};
use super::speaker::{Recording, SpeakerError};
use super::stream::Job;
use crate::bundle::Voice;
use crate::deploy::WarmRun;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// How much is admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests that wait or are being spoken; one more is refused.
    pub places: usize,
}

/// How many requests there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Load {
    /// Being spoken.
    pub running: usize,
    /// Waiting.
    pub waiting: usize,
    /// Both at most.
    pub places: usize,
}

/// Whether a lane can speak.
#[derive(Debug, Clone)]
pub enum Readiness {
    /// Its speaker is being opened and made warm.
    Opening,
    /// It can.
    Ready,
    /// Its speaker could not be opened, or its device was lost.
    Down(Arc<SpeakerError>),
    /// It admits nothing more, and speaks what it admitted before.
    Closed,
}

/// What a lane is asked to do.
#[derive(Debug)]
pub(super) enum Work {
    Speak(Job),
    Hear(Recording, Answer<Voice>),
    WarmUp(Answer<Vec<WarmRun>>),
}

/// Where the outcome is waited for.
pub(super) type Answer<T> = oneshot::Sender<Result<T, JobError>>;

/// Work in the order it came.
#[derive(Debug)]
pub(super) struct Queue {
    limits: Limits,
    state: Mutex<State>,
    changed: Condvar,
    /// Why nothing can be done any more, once that is so.
    lost: watch::Sender<Option<Arc<SpeakerError>>>,
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<Work>,
    /// Whether the work taken last was a recording.
    heard_last: bool,
    running: usize,
    open: bool,
    readiness: Readiness,
    /// Moving average of the time a request takes.
    usual: Duration,
}

/// What a request is taken to last before there was one.
const FIRST_GUESS: Duration = Duration::from_secs(1);
/// How much of the average the latest request makes up: one part in this many.
const AVERAGED: u32 = 8;
/// A client is asked to come back within this.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

impl Queue {
    pub(super) fn new(limits: Limits) -> Self {
        let state = State {
            waiting: VecDeque::with_capacity(limits.places),
            heard_last: false,
            running: 0,
            open: true,
            readiness: Readiness::Opening,
            usual: FIRST_GUESS,
        };
        Self {
            limits,
            state: Mutex::new(state),
            changed: Condvar::new(),
            lost: watch::Sender::new(None),
        }
    }

    /// Puts work at the end of the queue, if there is a place.
    pub(super) fn admit(&self, work: Work) -> Result<(), Refused> {
        let mut state = self.lock();
        if !state.open {
            return Err(Refused::Closed);
        }
        if let Readiness::Down(reason) = &state.readiness {
            return Err(Refused::Down(Arc::clone(reason)));
        }
        state.forget_withdrawn();
        let taken = state.running + state.waiting.len();
        if taken >= self.limits.places {
            return Err(Refused::Busy {
                places: self.limits.places,
                retry_after: state.wait_of(1),
            });
        }
        state.waiting.push_back(work);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for work and takes it; `None` when the queue is closed and empty.
    pub(super) fn take(&self) -> Option<Work> {
        let mut state = self.lock();
        loop {
            state.forget_withdrawn();
            if let Some(work) = state.next() {
                state.running += 1;
                return Some(work);
            }
            if !state.open {
                return None;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The work taken last is done, after this time.
    pub(super) fn done(&self, took: Duration) {
        let mut state = self.lock();
        state.running -= 1;
        state.usual = (state.usual * (AVERAGED - 1) + took) / AVERAGED;
    }

    pub(super) fn set_readiness(&self, readiness: Readiness) {
        self.lock().readiness = readiness;
    }

    /// Nothing can be done any more, for this reason.
    pub(super) fn lose(&self, reason: Arc<SpeakerError>) {
        self.set_readiness(Readiness::Down(Arc::clone(&reason)));
        self.lost.send_replace(Some(reason));
    }

    /// Hears of the loss.
    pub(super) fn losses(&self) -> watch::Receiver<Option<Arc<SpeakerError>>> {
        self.lost.subscribe()
    }

    pub(super) fn readiness(&self) -> Readiness {
        let state = self.lock();
        match &state.readiness {
            Readiness::Opening | Readiness::Ready if !state.open => Readiness::Closed,
            readiness => readiness.clone(),
        }
    }

    pub(super) fn load(&self) -> Load {
        let mut state = self.lock();
        state.forget_withdrawn();
        Load {
            running: state.running,
            waiting: state.waiting.len(),
            places: self.limits.places,
        }
    }

    /// Admits nothing more.
    pub(super) fn close(&self) {
        self.lock().open = false;
        self.changed.notify_all();
    }

    /// Whether nothing more is admitted.
    pub(super) fn is_closed(&self) -> bool {
        !self.lock().open
    }

    /// Forgets everything that waits; whoever waits for it hears so.
    pub(super) fn abandon(&self) {
        self.lock().waiting.clear();
    }

    /// No code between lock and unlock can panic half-way through a change, so a poisoned lock is a sound one.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The oldest request; a recording goes first, for whoever sent it has a text to be spoken after it. Never two recordings
    /// in a row, so that texts are not held up.
    fn next(&mut self) -> Option<Work> {
        let is_next = |work: &Work| matches!(work, Work::Hear(..)) != self.heard_last;
        let at = self.waiting.iter().position(is_next).unwrap_or(0);
        let work = self.waiting.remove(at)?;
        self.heard_last = matches!(work, Work::Hear(..));
        Some(work)
    }

    fn forget_withdrawn(&mut self) {
        self.waiting.retain(|work| match work {
            Work::Speak(job) => !job.is_withdrawn(),
            Work::Hear(_, answer) => !answer.is_closed(),
            Work::WarmUp(answer) => !answer.is_closed(),
        });
    }

    /// Time until `places` requests have ended, in whole seconds.
    fn wait_of(&self, places: u32) -> Duration {
        let wait = (self.usual * places).min(LONGEST_WAIT);
        Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(FIRST_GUESS)
    }
}
