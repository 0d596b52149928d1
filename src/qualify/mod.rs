//! Half precision that is right: recorded ranges, precision plans, and the gates they must pass.
//!
//! [`calibrate()`] speaks in FP32 and records how far every value reaches. [`qualify`] chooses from that what stays in
//! FP32, asks the FP32 twin of the half-precision graph for what the graph itself gave, widens the choice until the
//! twin is near enough, and listens to the result once. No device takes part.

mod calibrate;
mod error;
mod gates;
mod islands;
mod prompter;
mod ranges;
mod recording;
mod rehearsal;
mod search;
mod tap;
mod trial;

pub use calibrate::{calibrate, keep_ranges, ranges_of};
pub use error::QualifyError;
pub use ranges::{GraphRanges, Ranges, RangesError};
pub use rehearsal::Rehearsal;

use crate::build;
use crate::cache::{Measured, PrecisionPlan, Verdict};
use crate::ids::{GraphId, Precision};
use crate::onnx::{HalfType, ModelFile};
use crate::pipeline::{NEEDED, SpeechError};
use gates::Bound;
use islands::{Forecast, Islands};
use recording::{Recording, Run};
use search::widen;
use trial::{Outcome, Trial, spread};

/// Decides for each graph what stays in FP32 where the rest becomes half, and whether that is good enough.
///
/// Graphs that no utterance runs are left out, as [`heard`] leaves them out.
///
/// # Errors
/// [`QualifyError`] where nothing could be measured. A graph that does not bear the precision is no error: its plan says
/// so.
pub fn qualify(
    rehearsal: &Rehearsal<'_>,
    graphs: &[(GraphId, Precision)],
) -> Result<Vec<PrecisionPlan>, QualifyError> {
    let graphs = heard(graphs.iter().copied());
    if graphs.is_empty() {
        return Ok(Vec::new());
    }
    let ranges = ranges_for(rehearsal, &graphs)?;
    let recording = Recording::make(rehearsal)?;
    let mut candidates = Vec::with_capacity(graphs.len());
    for (graph, precision) in graphs {
        candidates.push(Candidate::new(rehearsal, &ranges, graph, precision)?);
    }
    for candidate in &mut candidates {
        candidate.search(rehearsal, &recording)?;
    }
    listen(rehearsal, &recording, &mut candidates)?;
    candidates
        .into_iter()
        .map(|candidate| candidate.into_plan(rehearsal))
        .collect()
}

/// Those of the graphs that an utterance runs; of others, nothing can be learnt by speaking.
pub fn heard(graphs: impl IntoIterator<Item = (GraphId, Precision)>) -> Vec<(GraphId, Precision)> {
    let graphs = graphs.into_iter();
    graphs.filter(|(graph, _)| NEEDED.contains(graph)).collect()
}

/// Tightenings of a graph's own bound before the audio gate gives up.
const TIGHTENINGS: usize = 3;

/// The bundle's ranges, and where it has none for one of the graphs, new ones.
fn ranges_for(
    rehearsal: &Rehearsal<'_>,
    graphs: &[(GraphId, Precision)],
) -> Result<Ranges, QualifyError> {
    let known = ranges_of(rehearsal.bundle)?;
    for (graph, _) in graphs {
        let model = rehearsal.bundle.graph_file(*graph)?.sha256;
        if known.of(*graph, model).is_none() {
            return Ok(known.with(calibrate(rehearsal)?));
        }
    }
    Ok(known)
}

/// A graph on its way to half precision.
struct Candidate {
    graph: GraphId,
    precision: Precision,
    model: ModelFile,
    nodes: usize,
    forecast: Forecast,
    bound: Bound,
    islands: Islands,
    /// Nodes beyond those foretold that are islands; one more than that where these are too few.
    widened: usize,
    /// Runs that rank plans.
    sample: Vec<usize>,
    measured: Vec<Measured>,
    failure: Option<String>,
}

impl Candidate {
    fn new(
        rehearsal: &Rehearsal<'_>,
        ranges: &Ranges,
        graph: GraphId,
        precision: Precision,
    ) -> Result<Self, QualifyError> {
        let steps = rehearsal.bundle.manifest().flow.steps;
        let exported = ModelFile::open(&rehearsal.model(graph)?)?;
        let evaluator = build::OnBackend(rehearsal.reference);
        let model = build::prepared(graph, exported, steps, &evaluator)?;
        let digest = rehearsal.bundle.graph_file(graph)?.sha256;
        let empty = GraphRanges::new(digest);
        let ranges = ranges.of(graph, digest).unwrap_or(&empty);
        let half = HalfType::of(precision).unwrap_or(HalfType::F16);
        let forecast = islands::forecast(&model, ranges, half);
        Ok(Self {
            graph,
            precision,
            nodes: model.graph().node.len(),
            islands: forecast.islands.clone(),
            forecast,
            bound: Bound::of(graph, precision),
            widened: 0,
            sample: Vec::new(),
            measured: Vec::new(),
            failure: None,
            model,
        })
    }

    /// Widens the islands by the values that reach furthest, and by those found to overflow, until the twin keeps to the
    /// bound.
    ///
    /// A few runs rank the plans, at first from all over the recording and then those that were furthest off; the plan
    /// chosen must pass on all. Where there are no more nodes to take, the plan of the search before stays, as failed.
    fn search(
        &mut self,
        rehearsal: &Rehearsal<'_>,
        recording: &Recording,
    ) -> Result<(), QualifyError> {
        let bound = self.bound.value();
        loop {
            let Some((widened, outcome)) = self.widen(rehearsal, &recording.runs[&self.graph])?
            else {
                let (kept, nodes) = (self.islands.len(), self.nodes);
                self.failure = Some(format!(
                    "{kept} of its {nodes} nodes in fp32 are too few, and no more may stay there"
                ));
                return Ok(());
            };
            self.islands = self.forecast.widened(widened);
            self.measured = vec![Measured {
                what: format!("{} of `{}`", self.bound.what(), outcome.output),
                value: outcome.error,
                bound,
            }];
            if outcome.overflows.is_empty() && outcome.error <= bound {
                self.widened = widened;
                return Ok(());
            }
            let graph = self.model.graph();
            if !self.forecast.add_overflowing(graph, &outcome.overflows)
                || self.forecast.islands.len() > self.most_islands()
            {
                self.failure = Some(failure(&outcome, self.bound));
                return Ok(());
            }
            // Those that follow are others now.
            self.widened = 0;
        }
    }

    /// More nodes in FP32 than this, and FP32 is the simpler choice.
    fn most_islands(&self) -> usize {
        self.nodes / 2
    }

    /// One search among the nodes that follow those foretold.
    fn widen(
        &mut self,
        rehearsal: &Rehearsal<'_>,
        runs: &[Run],
    ) -> Result<Option<(usize, Outcome)>, QualifyError> {
        let most = self
            .most_islands()
            .saturating_sub(self.forecast.islands.len());
        let most = most.min(self.forecast.order.len());
        let Self {
            graph, precision, ..
        } = *self;
        let trial = Trial {
            rehearsal,
            graph,
            model: &self.model,
            precision,
            runs,
            bound: self.bound,
        };
        if self.sample.is_empty() {
            self.sample = spread(runs.len());
        }
        let (forecast, nodes) = (&self.forecast, self.nodes);
        let islands = |count| {
            let islands = forecast.widened(count);
            let kept = islands.len();
            (rehearsal.say)(&format!(
                "{graph}: {precision} with {kept} of {nodes} nodes in fp32"
            ));
            islands
        };
        widen(
            self.widened,
            most,
            self.bound.value(),
            &mut self.sample,
            |count, runs| trial.sample(&islands(count), runs),
            |count| trial.whole(&islands(count)),
        )
    }

    /// Holds the graph to a tighter bound than what it was found at, so that it needs more islands.
    fn tighten(&mut self, by: f64) {
        let found = self.measured.first().map(|found| found.value);
        self.bound = self.bound.tightened(found, by);
        self.widened += 1;
    }

    fn into_plan(self, rehearsal: &Rehearsal<'_>) -> Result<PrecisionPlan, QualifyError> {
        Ok(PrecisionPlan {
            inputs: build::precision_inputs(rehearsal.bundle, self.graph, self.precision)?,
            islands: self.islands,
            nodes: self.nodes,
            verdict: match self.failure {
                None => Verdict::Passed {
                    measured: self.measured,
                },
                Some(reason) => Verdict::Failed { reason },
            },
        })
    }
}

/// The audio gate over all candidates that shape sound; where it fails, each is held to less and searched again.
fn listen(
    rehearsal: &Rehearsal<'_>,
    recording: &Recording,
    candidates: &mut [Candidate],
) -> Result<(), QualifyError> {
    for round in 0..=TIGHTENINGS {
        let sounding = |candidate: &&mut Candidate| {
            candidate.failure.is_none() && candidate.graph != GraphId::Llm
        };
        let mut sounding: Vec<&mut Candidate> = candidates.iter_mut().filter(sounding).collect();
        if sounding.is_empty() {
            return Ok(());
        }
        let spoken = rehearsal.speak(
            |graph| match sounding.iter().find(|candidate| candidate.graph == graph) {
                None => rehearsal.exported(graph),
                Some(candidate) => {
                    let trial = Trial {
                        rehearsal,
                        graph,
                        model: &candidate.model,
                        precision: candidate.precision,
                        runs: &[],
                        bound: candidate.bound,
                    };
                    trial.load(&candidate.islands)
                }
            },
            || (rehearsal.say)("listening to it"),
            &recording.pitches(),
        );
        let spoken = match spoken {
            Err(QualifyError::Speech(SpeechError::NotFinite { graph }))
                if sounding.iter().any(|candidate| candidate.graph == graph) =>
            {
                for candidate in sounding.iter_mut().filter(|one| one.graph == graph) {
                    candidate.failure = Some("it is not finite in a whole utterance".to_owned());
                }
                continue;
            }
            spoken => spoken?,
        };
        let heard = gates::of_speech(&spoken, &recording.spoken);
        let wrong = heard.iter().find(|measured| !gates::holds(measured));
        if let Some(Measured { what, value, bound }) = wrong {
            (rehearsal.say)(&format!("{what} is {value:.1e}, above {bound:.1e}"));
        }
        for candidate in &mut sounding {
            match wrong {
                None => candidate.measured.extend(heard.clone()),
                Some(Measured { what, value, bound }) if round == TIGHTENINGS => {
                    candidate.failure = Some(format!("{what} is {value:.2e}, above {bound:.2e}"));
                }
                Some(wrong) => {
                    candidate.tighten(gates::excess(wrong));
                    candidate.search(rehearsal, recording)?;
                }
            }
        }
        if wrong.is_none() {
            return Ok(());
        }
    }
    Ok(())
}

fn failure(outcome: &Outcome, bound: Bound) -> String {
    let Outcome {
        error,
        output,
        overflows,
        errors: _,
    } = outcome;
    let mut overflows = overflows.iter();
    if let Some((value, reached)) = overflows.next() {
        let others = match overflows.len() {
            0 => String::new(),
            count => format!(", and {count} more"),
        };
        return format!("`{value}` reaches {reached:.1e} and overflows{others}");
    }
    if error.is_finite() {
        let (what, bound) = (bound.what(), bound.value());
        format!("the {what} of `{output}` is {error:.1e}, above {bound:.1e}")
    } else {
        format!("`{output}` is not finite")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_utterance_runs_is_not_rehearsed() {
        let of = |graph| (graph, Precision::Fp16);
        let graphs = [GraphId::Campplus, GraphId::Llm, GraphId::SpeechTokenizer];
        assert_eq!(heard(graphs.map(of)), [of(GraphId::Llm)]);
        assert!(heard([of(GraphId::Campplus)]).is_empty());
    }
}
