//! Features of a recording to speech tokens and to a speaker's embedding.

use super::error::{OpenError, SpeechError};
use super::graph::{ContractError, open_session};
use super::synth::Graphs;
use crate::backend::{Bindings, Lane, OutputSlot, Session};
use crate::bundle::EMBEDDING_WIDTH;
use crate::ids::GraphId;
use crate::tensor::{DType, Dim, Port, Shape, Tensor, TensorView};

/// The two graphs that hear a recording, on one lane.
///
/// Both are used as their authors exported them: their tensors have names of their own, so that the contract is about
/// order, element types and fixed dimensions.
#[derive(Debug)]
pub struct PromptStage {
    tokenizer: Box<dyn Session>,
    speaker: Box<dyn Session>,
}

/// One tensor of the contract: element types it may have, and dimensions, `None` where they depend on the recording.
struct Expected {
    dtypes: &'static [DType],
    dims: &'static [Option<usize>],
    /// As `onnx/README.md` writes it.
    text: &'static str,
}

const WHISPER_MEL: Expected = Expected {
    dtypes: &[DType::F32],
    dims: &[Some(1), Some(128), None],
    text: "f32 [1, 128, features]",
};
const LENGTH: Expected = Expected {
    dtypes: &[DType::I32],
    dims: &[Some(1)],
    text: "i32 [1]",
};
const TOKENS: Expected = Expected {
    dtypes: &[DType::I32, DType::I64],
    dims: &[Some(1), None],
    text: "i32 or i64 [1, tokens]",
};
const FBANK: Expected = Expected {
    dtypes: &[DType::F32],
    dims: &[Some(1), None, Some(80)],
    text: "f32 [1, features, 80]",
};
const EMBEDDING: Expected = Expected {
    dtypes: &[DType::F32],
    dims: &[Some(1), Some(EMBEDDING_WIDTH)],
    text: "f32 [1, 192]",
};

impl PromptStage {
    /// The graphs the stage runs.
    pub const GRAPHS: [GraphId; 2] = [GraphId::SpeechTokenizer, GraphId::Campplus];

    /// Opens both graphs.
    ///
    /// # Errors
    /// [`OpenError`] when one is missing, does not fit, or opens no session.
    pub fn open(graphs: &Graphs, lane: &Lane) -> Result<Self, OpenError> {
        let open = |graph, inputs: &[Expected], output: &Expected| {
            let loaded = graphs.get(&graph).ok_or(OpenError::MissingGraph(graph))?;
            let signature = loaded.compiled.signature();
            check("input", inputs, &signature.inputs)
                .and_then(|()| check("output", std::slice::from_ref(output), &signature.outputs))
                .map_err(|source| OpenError::Contract { graph, source })?;
            open_session(graph, &loaded.compiled, lane)
        };
        let [tokenizer, speaker] = Self::GRAPHS;
        Ok(Self {
            tokenizer: open(tokenizer, &[WHISPER_MEL, LENGTH], &TOKENS)?,
            speaker: open(speaker, &[FBANK], &EMBEDDING)?,
        })
    }

    /// The speech tokens of a log-mel spectrogram, f32 `[1, 128, T]`; ids beyond an i32 become its largest.
    ///
    /// # Errors
    /// [`SpeechError::Run`].
    ///
    /// # Panics
    /// If the spectrogram has another rank.
    pub fn tokens(&mut self, whisper_mel: &Tensor) -> Result<Vec<i32>, SpeechError> {
        let features = whisper_mel.shape().dims()[2];
        let length = [i32::try_from(features).unwrap_or(i32::MAX)];
        let length = TensorView::of(Shape::new(&[1]), &length)?;
        let inputs = vec![whisper_mel.view(), length];
        let ids = run(GraphId::SpeechTokenizer, self.tokenizer.as_mut(), inputs)?;
        if ids.dtype() == DType::I32 {
            return Ok(ids.elements::<i32>()?.to_vec());
        }
        let ids = ids.elements::<i64>()?.iter();
        Ok(ids
            .map(|&id| i32::try_from(id).unwrap_or(i32::MAX))
            .collect())
    }

    /// The speaker's embedding `[192]` of filter banks, f32 `[1, T, 80]`, as the graph gives it: not normalised.
    ///
    /// # Errors
    /// [`SpeechError::Run`], or [`SpeechError::NotFinite`].
    pub fn embedding(&mut self, fbank: &Tensor) -> Result<Vec<f32>, SpeechError> {
        let graph = GraphId::Campplus;
        let embedding = run(graph, self.speaker.as_mut(), vec![fbank.view()])?;
        let values = embedding.elements::<f32>()?;
        if values.iter().all(|value| value.is_finite()) {
            Ok(values.to_vec())
        } else {
            Err(SpeechError::NotFinite { graph })
        }
    }
}

/// Runs once and gives the first output; the others are dropped.
fn run(
    graph: GraphId,
    session: &mut dyn Session,
    inputs: Vec<TensorView<'_>>,
) -> Result<Tensor, SpeechError> {
    let outputs = session.signature().outputs.iter();
    let outputs = outputs.map(|_| OutputSlot::Alloc(None)).collect();
    let mut io = Bindings { inputs, outputs };
    session
        .run(&mut io)
        .map_err(|source| SpeechError::Run { graph, source })?;
    match io.outputs.into_iter().next() {
        Some(OutputSlot::Alloc(Some(tensor))) => Ok(tensor),
        _ => unreachable!("a session that ran made the tensors it was asked for"),
    }
}

/// A graph may have more outputs than are used, and not more inputs than it is given.
fn check(side: &'static str, contract: &[Expected], ports: &[Port]) -> Result<(), ContractError> {
    for (index, expected) in contract.iter().enumerate() {
        let Some(port) = ports.get(index) else {
            return Err(ContractError::Missing {
                side,
                expected: expected.text.to_owned(),
                found: ports.iter().map(|port| port.name.clone()).collect(),
            });
        };
        if !expected.admits(port) {
            return Err(ContractError::Port {
                expected: expected.text.to_owned(),
                found: port.to_string(),
            });
        }
    }
    match ports.get(contract.len()) {
        Some(port) if side == "input" => Err(ContractError::Unexpected {
            side,
            found: port.to_string(),
        }),
        _ => Ok(()),
    }
}

impl Expected {
    fn admits(&self, port: &Port) -> bool {
        let fits = |(expected, found): (&Option<usize>, &Dim)| match (expected, found) {
            (Some(expected), Dim::Fixed(found)) => expected == found,
            (None, Dim::Fixed(_)) => false,
            _ => true,
        };
        self.dtypes.contains(&port.dtype)
            && self.dims.len() == port.dims.len()
            && self.dims.iter().zip(&port.dims).all(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: &str, dtype: DType, dims: &[&str]) -> Port {
        super::super::graph::port(name, dtype, dims)
    }

    #[test]
    fn graphs_of_other_authors_fit_by_order_and_type() {
        let mel = |dtype, bins| port("feats", dtype, &["1", bins, "T"]);
        let length = |dtype| port("feats_length", dtype, &["1"]);
        let encoder = |bins| {
            port(
                "input",
                DType::F32,
                &["batch_size", "sequence_length", bins],
            )
        };
        for (side, contract, ports, fits) in [
            (
                "input",
                &[WHISPER_MEL, LENGTH][..],
                vec![mel(DType::F32, "128"), length(DType::I32)],
                true,
            ),
            (
                "input",
                &[WHISPER_MEL, LENGTH],
                vec![length(DType::I32), mel(DType::F32, "128")],
                false,
            ),
            (
                "input",
                &[WHISPER_MEL, LENGTH],
                vec![mel(DType::F32, "80"), length(DType::I32)],
                false,
            ),
            (
                "input",
                &[WHISPER_MEL, LENGTH],
                vec![mel(DType::F16, "128"), length(DType::I32)],
                false,
            ),
            (
                "input",
                &[WHISPER_MEL, LENGTH],
                vec![mel(DType::F32, "128"), length(DType::I64)],
                false,
            ),
            (
                "input",
                &[WHISPER_MEL, LENGTH],
                vec![mel(DType::F32, "128")],
                false,
            ),
            ("input", &[FBANK], vec![encoder("80")], true),
            ("input", &[FBANK], vec![encoder("128")], false),
            (
                "input",
                &[FBANK],
                vec![encoder("80"), length(DType::I32)],
                false,
            ),
            (
                "input",
                &[FBANK],
                vec![port("mel", DType::F32, &["1", "80", "frames"])],
                false,
            ),
            (
                "output",
                &[TOKENS],
                vec![port("indices", DType::I64, &["1", "unk__7"])],
                true,
            ),
            (
                "output",
                &[TOKENS],
                vec![
                    port("indices", DType::I32, &["batch", "n"]),
                    length(DType::I32),
                ],
                true,
            ),
            (
                "output",
                &[TOKENS],
                vec![port("indices", DType::F32, &["1", "n"])],
                false,
            ),
            (
                "output",
                &[EMBEDDING],
                vec![port("output", DType::F32, &["batch_size", "192"])],
                true,
            ),
            (
                "output",
                &[EMBEDDING],
                vec![port("output", DType::F32, &["batch_size", "512"])],
                false,
            ),
            ("output", &[EMBEDDING], vec![], false),
        ] {
            let outcome = check(side, contract, &ports);
            assert_eq!(outcome.is_ok(), fits, "{ports:?}: {outcome:?}");
        }
    }
}
