//! Recorded reference cases replayed through the pipeline: one path for tests and `cvtrt parity`.
//!
//! [`GoldenSet`] finds the recordings of a folder, [`replay`] runs what a [`Subject`] can run of them and judges every
//! result against [`Quantity::gate`]. Shapes come from the recordings. What was recorded and is not replayed is a row
//! of its own, so that nothing is passed over in silence.

mod audio;
mod e2e;
mod error;
mod flow;
mod gate;
mod golden;
mod hift;
mod llm;
mod noise;
mod report;
mod sampling;
mod set;
mod text;

pub use error::{GoldenError, ParityError};
pub use gate::{Arithmetic, Gate, Quantity};
pub use golden::Golden;
pub use llm::LlmRun;
pub use report::{Report, Row, Verdict};
pub use set::{GoldenSet, Stage};

use crate::backend::Lane;
use crate::bundle::{Bundle, Tables};
use crate::ids::{BackendId, GraphId, Precision};
use crate::pipeline::{Graphs, OpenError};
use report::Rows;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the recordings are replayed on.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The model.
    pub bundle: &'a Bundle,
    /// Its graphs, as far as they are loaded; a stage whose graphs are missing is skipped.
    pub graphs: &'a Graphs,
    /// The precision of each loaded graph; FP32 where none is given.
    pub precisions: &'a BTreeMap<GraphId, Precision>,
    /// Where sessions are opened.
    pub lane: &'a Lane,
}

/// Replays every recording of a set; `each` hears of every row as it comes.
///
/// # Errors
/// [`ParityError`]: a recording that cannot be read, a stage that does not open, or nothing that could be replayed. A
/// result that is too far off is no error here: [`Report::failed`] counts those.
pub fn replay(
    set: &GoldenSet,
    subject: &Subject<'_>,
    each: &mut dyn FnMut(&Row),
) -> Result<Report, ParityError> {
    let mut rows = Rows::new(each);
    for (stage, path) in set.files() {
        rows.begin(*stage, path);
        match stage {
            Stage::Llm => llm::replay(&Golden::read(path)?, subject, &mut rows),
            Stage::Flow => flow::replay(&Golden::read(path)?, subject, &mut rows),
            Stage::Hift => hift::replay(&Golden::read(path)?, subject, &mut rows),
            Stage::EndToEnd => e2e::replay(&Golden::read(path)?, subject, &mut rows),
            Stage::Audio => audio::replay(&Golden::read(path)?, &mut rows),
            Stage::Sampling => sampling::replay(&Golden::read(path)?, subject, &mut rows),
            Stage::Text => text::replay(path, set.vocabulary(subject.bundle)?.as_ref(), &mut rows),
            Stage::Unknown => {
                rows.skip("*", "no stage of the pipeline goes by this file's name");
                Ok(())
            }
        }?;
    }
    rows.finish(set.dir())
}

impl Subject<'_> {
    fn tables(&self) -> Result<Arc<Tables>, OpenError> {
        Ok(Arc::new(self.bundle.tables()?))
    }

    /// The coarser of the arithmetics that these graphs compute in.
    fn arithmetic(&self, graphs: &[GraphId]) -> Arithmetic {
        let exact = graphs.iter().all(|graph| {
            let backend = self.graphs.get(graph).map(|loaded| loaded.backend);
            let precision = self.precisions.get(graph).copied();
            backend == Some(BackendId::OrtCpu)
                && precision.unwrap_or(Precision::Fp32) == Precision::Fp32
        });
        if exact {
            Arithmetic::Exact
        } else {
            Arithmetic::Reduced
        }
    }
}

/// What opening a stage came to: the stage, or a reason why this bundle cannot run its recordings.
fn opened<T>(stage: Result<T, OpenError>) -> Result<Result<T, String>, OpenError> {
    match stage {
        Ok(stage) => Ok(Ok(stage)),
        Err(
            error
            @ (OpenError::Family(_) | OpenError::MissingGraph(_) | OpenError::MissingTable(_)),
        ) => Ok(Err(error.to_string())),
        Err(error) => Err(error),
    }
}
