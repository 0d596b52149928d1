//! What each graph was given and gave in FP32, to be asked again of its twin.

use super::rehearsal::{Spoken, heard_by};
use super::tap::Ear;
use super::{QualifyError, Rehearsal};
use crate::ids::GraphId;
use crate::pipeline::NEEDED;
use crate::tensor::{Tensor, TensorView};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// One run of a graph.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) inputs: Vec<Tensor>,
    pub(super) outputs: Vec<Tensor>,
}

/// What was said in FP32, and the runs it took.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) spoken: Vec<Spoken>,
    pub(super) runs: BTreeMap<GraphId, Vec<Run>>,
}

/// Runs of one graph kept per utterance: the prefill and some decoding, or every step of the solver.
const KEPT: usize = 16;

type Reel = Arc<Mutex<(Vec<Run>, usize)>>;

impl Recording {
    /// Speaks every request in FP32.
    pub(super) fn make(rehearsal: &Rehearsal<'_>) -> Result<Self, QualifyError> {
        let reels: BTreeMap<GraphId, Reel> = NEEDED.map(|graph| (graph, Reel::default())).into();
        let spoken = rehearsal.speak(
            |graph| {
                let loaded = rehearsal.exported(graph)?;
                Ok(heard_by(loaded, None, recorder(&reels[&graph])))
            },
            || {
                (rehearsal.say)("speaking in fp32");
                for reel in reels.values() {
                    reel.lock().unwrap_or_else(PoisonError::into_inner).1 = KEPT;
                }
            },
            &Arc::default(),
        )?;
        let runs = reels.into_iter().map(|(graph, reel)| {
            let mut reel = reel.lock().unwrap_or_else(PoisonError::into_inner);
            (graph, std::mem::take(&mut reel.0))
        });
        Ok(Self {
            spoken,
            runs: runs.collect(),
        })
    }
}

impl Recording {
    /// F0 of every utterance.
    pub(super) fn pitches(&self) -> Arc<[Tensor]> {
        self.spoken
            .iter()
            .map(|spoken| spoken.pitch.clone())
            .collect()
    }
}

fn recorder(reel: &Reel) -> Arc<Ear> {
    let reel = Arc::clone(reel);
    Arc::new(move |inputs, outputs, _| {
        let mut reel = reel.lock().unwrap_or_else(PoisonError::into_inner);
        let (runs, room) = &mut *reel;
        if *room == 0 {
            return;
        }
        *room -= 1;
        let copies = |views: &[TensorView<'_>]| -> Option<Vec<Tensor>> {
            views
                .iter()
                .map(|view| Tensor::copy_of(*view).ok())
                .collect()
        };
        if let (Some(inputs), Some(outputs)) = (copies(inputs), copies(outputs)) {
            runs.push(Run { inputs, outputs });
        }
    })
}
