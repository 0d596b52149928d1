//! What a replay found, case by case.

use super::error::{CaseError, ParityError};
use super::gate::Gate;
use super::golden::Golden;
use super::set::Stage;
use crate::compare::compare;
use crate::tensor::{Shape, Tensor, TensorView};
use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;

/// One case.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Row {
    /// The stage.
    pub stage: Stage,
    /// The file it was recorded in.
    pub file: String,
    /// The case, as its array is named.
    pub case: String,
    /// Shape of what was recorded; of a list of texts, its length.
    pub shape: Option<Shape>,
    /// Largest absolute difference; of what must be equal, how many differ.
    pub max_abs_error: Option<f64>,
    /// Norm of the difference over the norm of the recording.
    pub relative_l2: Option<f64>,
    /// What it was judged by.
    pub tolerance: Option<Gate>,
    /// The judgement.
    pub result: Verdict,
    /// Why it failed or was skipped.
    pub reason: Option<String>,
}

/// The judgement on one case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Within tolerance.
    Pass,
    /// Out of tolerance, or the stage failed.
    Fail,
    /// Not replayed.
    Skip,
}

/// Every row of a replay.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Report {
    /// Cases within tolerance.
    pub passed: usize,
    /// Cases that were not.
    pub failed: usize,
    /// Cases that were not replayed.
    pub skipped: usize,
    /// One row per case.
    pub rows: Vec<Row>,
}

/// Rows as they come.
pub(super) struct Rows<'a> {
    stage: Stage,
    file: String,
    found: Vec<Row>,
    each: &'a mut dyn FnMut(&Row),
}

impl Row {
    /// Whether the case was replayed and is not as recorded.
    pub fn is_failed(&self) -> bool {
        self.result == Verdict::Fail
    }
}

impl<'a> Rows<'a> {
    pub(super) fn new(each: &'a mut dyn FnMut(&Row)) -> Self {
        Self {
            stage: Stage::Unknown,
            file: String::new(),
            found: Vec::new(),
            each,
        }
    }

    /// The next rows come from this file.
    pub(super) fn begin(&mut self, stage: Stage, path: &Path) {
        self.stage = stage;
        self.file = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
    }

    /// Judges values against the recording of the same name.
    pub(super) fn compare(&mut self, golden: &Golden, case: &str, gate: Gate, got: &[f32]) {
        if let Some(want) = golden.find(case) {
            self.judge(case, gate, got, want);
        }
    }

    /// Judges values against a recording.
    pub(super) fn judge(&mut self, case: &str, gate: Gate, got: &[f32], want: &Tensor) {
        let mut row = self.row(case);
        row.shape = Some(want.shape());
        row.tolerance = Some(gate);
        let got = TensorView::of(want.shape(), got).map_err(|_| {
            let (got, want) = (got.len(), want.shape().elements());
            format!("{got} values, {want} were recorded")
        });
        match got.and_then(|got| compare(got, want.view()).map_err(|error| error.to_string())) {
            Err(reason) => row.reason = Some(reason),
            Ok(metrics) => {
                row.max_abs_error = Some(metrics.max_abs);
                row.relative_l2 = Some(metrics.relative_l2);
                match metrics.check(gate.tolerance()) {
                    Ok(()) => row.result = Verdict::Pass,
                    Err(error) => row.reason = Some(error.exceeded.join(", ")),
                }
            }
        }
        self.push(row);
    }

    /// Judges values that must be those recorded.
    pub(super) fn equal<T: PartialEq + std::fmt::Debug>(
        &mut self,
        case: &str,
        got: &[T],
        want: &[T],
    ) {
        let mut row = self.row(case);
        row.shape = Some(Shape::new(&[want.len()]));
        row.tolerance = Some(Gate::Equal);
        let pairs = got.iter().zip(want).enumerate();
        let mut differing = pairs.filter(|(_, (got, want))| got != want);
        let first = differing.next();
        let count =
            differing.count() + usize::from(first.is_some()) + got.len().abs_diff(want.len());
        row.max_abs_error = Some(float(count));
        row.reason = match first {
            Some((index, (got, want))) => {
                Some(format!("[{index}] is {got:?}, {want:?} was recorded"))
            }
            None if count > 0 => Some(format!(
                "{} values, {} were recorded",
                got.len(),
                want.len()
            )),
            None => None,
        };
        if count == 0 {
            row.result = Verdict::Pass;
        }
        self.push(row);
    }

    /// Lists a case that is not replayed.
    pub(super) fn skip(&mut self, case: &str, reason: impl Into<String>) {
        let mut row = self.row(case);
        row.result = Verdict::Skip;
        row.reason = Some(reason.into());
        self.push(row);
    }

    /// Lists a case whose stage failed.
    pub(super) fn fail(&mut self, case: &str, error: &(dyn Error + 'static)) {
        let mut reason = error.to_string();
        let mut below = error.source();
        while let Some(next) = below {
            if !reason.contains(&next.to_string()) {
                reason = format!("{reason}: {next}");
            }
            below = next.source();
        }
        let mut row = self.row(case);
        row.reason = Some(reason);
        self.push(row);
    }

    /// Lists a case that did not come to its end.
    pub(super) fn settle(
        &mut self,
        case: &str,
        outcome: Result<(), CaseError>,
    ) -> Result<(), ParityError> {
        match outcome {
            Ok(()) => Ok(()),
            Err(CaseError::Golden(error)) => Err(error.into()),
            Err(CaseError::Speech(error)) => {
                self.fail(case, &error);
                Ok(())
            }
        }
    }

    /// Lists what a recording holds and nobody asked for; `why` knows the reasons.
    pub(super) fn leave(&mut self, golden: &Golden, why: impl Fn(&str) -> Option<&'static str>) {
        for case in golden.left() {
            let reason = why(&case).unwrap_or("nothing in the pipeline gives it");
            self.skip(&case, reason);
        }
    }

    /// Lists every case of a recording as skipped for one reason.
    pub(super) fn leave_all(&mut self, golden: &Golden, reason: &str) {
        for case in golden.left() {
            self.skip(&case, reason);
        }
    }

    pub(super) fn finish(self, dir: &Path) -> Result<Report, ParityError> {
        let count = |verdict| {
            self.found
                .iter()
                .filter(|row| row.result == verdict)
                .count()
        };
        let report = Report {
            passed: count(Verdict::Pass),
            failed: count(Verdict::Fail),
            skipped: count(Verdict::Skip),
            rows: self.found,
        };
        if report.passed + report.failed > 0 {
            return Ok(report);
        }
        let reasons: BTreeSet<String> = report
            .rows
            .into_iter()
            .filter_map(|row| row.reason)
            .collect();
        Err(ParityError::NothingRan {
            dir: dir.to_owned(),
            reasons: reasons.into_iter().collect(),
        })
    }

    /// A row that failed until something says otherwise.
    fn row(&self, case: &str) -> Row {
        Row {
            stage: self.stage,
            file: self.file.clone(),
            case: case.to_owned(),
            shape: None,
            max_abs_error: None,
            relative_l2: None,
            tolerance: None,
            result: Verdict::Fail,
            reason: None,
        }
    }

    fn push(&mut self, row: Row) {
        (self.each)(&row);
        self.found.push(row);
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn float(count: usize) -> f64 {
    count as f64
}
