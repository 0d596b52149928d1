//! Work of a stage that was recorded at warm-up, to be launched as one.

use crate::backend::{Place, Replay, RunError};
use crate::ids::BackendId;

/// Recorded work, by what it depends on.
#[derive(Debug)]
pub(super) struct Recordings<K> {
    kept: Vec<(Condition<K>, Replay)>,
}

/// What recorded work depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Condition<K> {
    /// The sizes at work.
    pub(super) sizes: K,
    /// How often the tensors at work came to lie elsewhere, all together.
    pub(super) moves: u64,
    /// What runs the graph, where that may change.
    pub(super) runs_on: Option<BackendId>,
}

impl<K> Default for Recordings<K> {
    fn default() -> Self {
        Self { kept: Vec::new() }
    }
}

impl<K: Copy + PartialEq> Recordings<K> {
    /// Launches the work where it was recorded under this condition; false where not. What was recorded for the same sizes
    /// under another condition will never be launched again, and goes.
    pub(super) fn launch(&mut self, condition: &Condition<K>) -> Result<bool, RunError> {
        self.kept
            .retain(|(kept, _)| kept.sizes != condition.sizes || kept == condition);
        match self.kept.iter_mut().find(|(kept, _)| kept == condition) {
            None => Ok(false),
            Some((_, replay)) => {
                replay.launch()?;
                Ok(true)
            }
        }
    }

    /// Keeps the work for this condition, where it can be recorded and was not yet.
    pub(super) fn record<E: std::fmt::Display>(
        &mut self,
        place: &Place,
        condition: Condition<K>,
        work: impl FnOnce() -> Result<(), E>,
    ) {
        let known = self.kept.iter().any(|(kept, _)| *kept == condition);
        if !known && let Some(replay) = place.record(work) {
            self.kept.push((condition, replay));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Lane;
    use crate::cuda::HostGpu;

    #[test]
    fn work_is_launched_only_under_the_condition_it_was_recorded_under() {
        let host = HostGpu::default();
        let place = Lane::on_gpu(0, &host.gpu()).expect("a stream").place();
        let mut memory = place.memory();
        memory.resize(8).expect("memory");
        let condition = Condition {
            sizes: 3,
            moves: memory.moves(),
            runs_on: Some(BackendId::TensorRt),
        };
        let mut recordings = Recordings::default();
        for _ in 0..2 {
            recordings.record(&place, condition, || memory.zero(0, 8, 8, 1));
        }
        recordings.record(
            &place,
            Condition {
                sizes: 4,
                ..condition
            },
            || memory.fetch().and(memory.zero(0, 8, 8, 1)),
        );
        assert_eq!(recordings.kept.len(), 1, "once, and nothing of the host's");
        assert!(recordings.launch(&condition).expect("launched"));
        assert_eq!(host.counts().replays, 1);

        let other = Condition {
            sizes: 4,
            ..condition
        };
        assert!(!recordings.launch(&other).expect("nothing to launch"));
        let fallen = Condition {
            runs_on: Some(BackendId::OrtCpu),
            ..condition
        };
        assert!(!recordings.launch(&fallen).expect("nothing to launch"));
        assert!(!recordings.launch(&condition).expect("nothing is left"));
        drop((recordings, memory));
        assert_eq!(host.counts().replays, 1);
    }

    #[test]
    fn nothing_is_recorded_on_the_host() {
        let place = Lane::on_host(0).place();
        let recorded = place.record(|| -> Result<(), RunError> { unreachable!("not on the host") });
        assert!(recorded.is_none());
    }
}
