//! What a library tells of a build's phases, as steps.

use crate::backend::{Progress, Step};
use crate::trt::ProgressEvent;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

/// The phases under way, each with the steps it announced.
#[derive(Debug, Default)]
pub(super) struct Phases {
    totals: Mutex<BTreeMap<String, u32>>,
}

impl Phases {
    pub(super) fn hear(
        &self,
        event: ProgressEvent<'_>,
        progress: &dyn Progress,
    ) -> ControlFlow<()> {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        let step = match event {
            ProgressEvent::Started { phase, steps, .. } => {
                totals.insert(phase.to_owned(), steps);
                Step {
                    phase,
                    done: 0,
                    total: steps,
                }
            }
            ProgressEvent::Step { phase, step } => Step {
                phase,
                done: step + 1,
                total: totals.get(phase).copied().unwrap_or(0),
            },
            ProgressEvent::Finished { phase } => {
                let total = totals.remove(phase).unwrap_or(0);
                Step {
                    phase,
                    done: total,
                    total,
                }
            }
        };
        drop(totals);
        progress.step(&step)
    }
}
