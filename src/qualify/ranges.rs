//! `ranges.json`: how far every value of every graph reaches, over real inputs of the pipeline.

use crate::ids::{Digest, GraphId};
use std::collections::BTreeMap;

/// Observed ranges of a bundle's graphs; the file that `ranges` in `bundle.yaml` names.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ranges {
    /// Version of this form.
    pub format: u32,
    /// Utterances that were spoken while they were recorded, over all recordings.
    pub utterances: u64,
    /// By graph.
    pub graphs: BTreeMap<GraphId, GraphRanges>,
}

/// Observed ranges of one graph.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraphRanges {
    /// Content of the model they were recorded with, external weights included.
    pub model: Digest,
    /// Runs of the graph.
    pub runs: u64,
    /// Least and greatest element by value name; what nodes only move has the range of what it was moved from, and is
    /// not listed. Empty tensors and constants are not listed either.
    pub values: BTreeMap<String, [f32; 2]>,
}

/// Why a text holds no ranges.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RangesError {
    /// It is not JSON of this form.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// It has another form.
    #[error("format {0}, this program reads {FORMAT}")]
    Format(u32),
}

const FORMAT: u32 = 1;

impl Default for Ranges {
    fn default() -> Self {
        Self {
            format: FORMAT,
            utterances: 0,
            graphs: BTreeMap::new(),
        }
    }
}

impl Ranges {
    /// Parses a `ranges.json`.
    ///
    /// # Errors
    /// [`RangesError`].
    pub fn from_json(text: &[u8]) -> Result<Self, RangesError> {
        let ranges: Self = serde_json::from_slice(text)?;
        if ranges.format == FORMAT {
            Ok(ranges)
        } else {
            Err(RangesError::Format(ranges.format))
        }
    }

    /// The text that [`Self::from_json`] reads back.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("string keys and plain values only")
    }

    /// Adds another recording. Ranges of a graph whose model is another by now are replaced.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.utterances += other.utterances;
        for (graph, recorded) in other.graphs {
            match self.graphs.get_mut(&graph) {
                Some(known) if known.model == recorded.model => known.widen(recorded),
                _ => {
                    self.graphs.insert(graph, recorded);
                }
            }
        }
        self
    }

    /// The ranges of a graph, where they were recorded with this model.
    pub fn of(&self, graph: GraphId, model: Digest) -> Option<&GraphRanges> {
        let found = self.graphs.get(&graph);
        found.filter(|found| found.model == model)
    }
}

impl GraphRanges {
    /// Ranges of a model that has not run yet.
    pub(super) fn new(model: Digest) -> Self {
        Self {
            model,
            runs: 0,
            values: BTreeMap::new(),
        }
    }

    /// Counts one run: `observed` holds the least elements of the named values, then the greatest.
    pub(super) fn add(&mut self, names: &[String], observed: &[f32]) {
        self.runs += 1;
        let (least, greatest) = observed.split_at(observed.len() / 2);
        for (name, (&least, &greatest)) in names.iter().zip(least.iter().zip(greatest)) {
            self.include(name, [least, greatest]);
        }
    }

    /// The first value that was not finite.
    pub(super) fn not_finite(&self) -> Option<&str> {
        let wrong = |range: &[f32; 2]| range.iter().any(|end| !end.is_finite());
        let found = self.values.iter().find(|(_, range)| wrong(range));
        found.map(|(name, _)| name.as_str())
    }

    fn widen(&mut self, other: Self) {
        self.runs += other.runs;
        for (name, range) in other.values {
            self.include(&name, range);
        }
    }

    fn include(&mut self, name: &str, [least, greatest]: [f32; 2]) {
        // An empty tensor has no elements: its least is above its greatest.
        if least > greatest {
            return;
        }
        let known = self.values.entry(name.to_owned());
        let known = known.or_insert([least, greatest]);
        *known = [
            further(known[0], least, f32::min),
            further(known[1], greatest, f32::max),
        ];
    }
}

/// What is no number stays, where `min` and `max` would drop it.
fn further(known: f32, new: f32, of: fn(f32, f32) -> f32) -> f32 {
    if known.is_nan() || new.is_nan() {
        f32::NAN
    } else {
        of(known, new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(model: &[u8], values: &[(&str, [f32; 2])]) -> Ranges {
        let mut ranges = GraphRanges::new(Digest::of(model));
        for (name, [least, greatest]) in values {
            ranges.add(&[(*name).to_owned()], &[*least, *greatest]);
        }
        Ranges {
            utterances: 1,
            graphs: [(GraphId::Llm, ranges)].into(),
            ..Ranges::default()
        }
    }

    #[test]
    fn recordings_add_up_per_model() {
        let first = recorded(b"a", &[("x", [-1.0, 2.0]), ("y", [0.0, 0.5])]);
        let second = recorded(b"a", &[("x", [-3.0, 1.0]), ("z", [1.0, 1.0])]);
        let both = first.clone().with(second);
        assert_eq!(both.utterances, 2);
        let llm = both.of(GraphId::Llm, Digest::of(b"a")).expect("recorded");
        assert_eq!((llm.runs, llm.values["x"]), (4, [-3.0, 2.0]));
        assert_eq!(llm.values.len(), 3);
        assert_eq!(both.of(GraphId::Llm, Digest::of(b"b")), None);
        let other = first.with(recorded(b"b", &[("x", [0.0, 0.0])]));
        assert!(other.of(GraphId::Llm, Digest::of(b"a")).is_none());
    }

    #[test]
    fn the_text_is_read_back_and_other_forms_are_refused() {
        let ranges = recorded(b"a", &[("x", [-1e-8, 3.4e38])]);
        let text = ranges.to_json();
        assert_eq!(Ranges::from_json(&text).expect("own text"), ranges);
        let other = String::from_utf8(text)
            .expect("text")
            .replace("\"format\":1", "\"format\":2");
        assert!(matches!(
            Ranges::from_json(other.as_bytes()),
            Err(RangesError::Format(2))
        ));
        assert!(matches!(
            Ranges::from_json(b"[]"),
            Err(RangesError::Json(_))
        ));
    }

    #[test]
    fn what_is_not_finite_is_named_and_stays_so() {
        let ranges = recorded(
            b"a",
            &[("x", [0.0, 1.0]), ("x", [0.0, f32::NAN]), ("x", [0.0, 1.0])],
        );
        assert_eq!(ranges.graphs[&GraphId::Llm].not_finite(), Some("x"));
        let empty = recorded(b"a", &[("x", [f32::INFINITY, f32::NEG_INFINITY])]);
        assert!(empty.graphs[&GraphId::Llm].values.is_empty());
    }
}
