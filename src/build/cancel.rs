//! Stopping a build from outside.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Asks a build to stop; clones ask the same build.
#[derive(Clone, Default)]
pub struct Cancel {
    shared: Arc<Shared>,
}

/// Listens until dropped.
#[must_use]
pub(super) struct Listening {
    shared: Arc<Shared>,
    number: u64,
}

#[derive(Default)]
struct Shared {
    cancelled: AtomicBool,
    listeners: Mutex<Listeners>,
}

#[derive(Default)]
struct Listeners {
    calls: BTreeMap<u64, Box<dyn Fn() + Send>>,
    next: u64,
}

impl Cancel {
    /// Asks to stop; safe to call from a signal handler's thread, and more than once.
    pub fn cancel(&self) {
        self.shared.cancelled.store(true, Ordering::SeqCst);
        // Called without the lock, which a listener that ends its listening takes.
        let calls = std::mem::take(&mut self.shared.listeners().calls);
        for call in calls.into_values() {
            call();
        }
    }

    /// Whether it was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.shared.cancelled.load(Ordering::SeqCst)
    }

    /// Calls `listener` when asked to stop, at once where that has happened, until the result is dropped.
    pub(super) fn on_cancel(&self, listener: impl Fn() + Send + 'static) -> Listening {
        let mut listeners = self.shared.listeners();
        let number = listeners.next;
        listeners.next += 1;
        if self.is_cancelled() {
            listener();
        } else {
            listeners.calls.insert(number, Box::new(listener));
        }
        Listening {
            shared: Arc::clone(&self.shared),
            number,
        }
    }
}

impl Shared {
    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.shared.listeners().calls.remove(&self.number);
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancel")
            .field("cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn only_those_that_still_listen_are_called() {
        let cancel = Cancel::default();
        let (sender, heard) = channel();
        let call = |name: &'static str| {
            let sender = sender.clone();
            move || sender.send(name).expect("the test listens")
        };
        let over = cancel.on_cancel(call("over"));
        let waiting = cancel.on_cancel(call("waiting"));
        drop(over);
        cancel.cancel();
        cancel.cancel();
        let late = cancel.on_cancel(call("late"));
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), ["waiting", "late"]);
        drop((waiting, late));
    }
}
