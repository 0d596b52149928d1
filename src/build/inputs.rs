//! Random inputs that keep a graph's rules: ids within the vocabulary, positions that ascend, nothing masked away.

use crate::backend::OutputSlot;
use crate::bundle::{Bundle, Manifest, Table, solver_times};
use crate::ids::{Axis, GraphId};
use crate::tensor::{
    AxisSizes, DType, Dim, Element, Port, Shape, Signature, SignatureError, Tensor,
};
use half::{bf16, f16};

/// The ranges of a bundle's ids, positions and times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Vocabulary {
    /// Speech ids are below this.
    pub speech: usize,
    /// Text ids are below this.
    pub text: usize,
    /// Positions of the language model are below this.
    pub positions: usize,
    /// Steps of the flow's solver; its estimator knows no other times than theirs.
    pub steps: usize,
}

impl Vocabulary {
    /// What a bundle's graphs take. Where a graph holds the text embedding itself (v1), the first id is always one.
    pub fn of(bundle: &Bundle) -> Self {
        let Manifest { llm, flow, .. } = bundle.manifest();
        let table = bundle
            .tables()
            .ok()
            .and_then(|tables| tables.text_embedding);
        Self {
            speech: llm.speech_vocab,
            text: table.as_ref().map_or(1, Table::rows),
            positions: llm.max_positions,
            steps: flow.steps,
        }
    }
}

/// One tensor per input of `signature`, the same for the same `seed`; a graph without an id has no rules of its own.
///
/// # Errors
/// [`SignatureError`] when `sizes` lacks an axis of an input.
pub fn random_inputs(
    graph: impl Into<Option<GraphId>>,
    signature: &Signature,
    sizes: &AxisSizes,
    vocabulary: Vocabulary,
    seed: u64,
) -> Result<Vec<Tensor>, SignatureError> {
    let graph = graph.into();
    let mut random = fastrand::Rng::with_seed(seed);
    let axis = |axis| sizes.get(&axis).copied().unwrap_or(0);
    let rules = Rules {
        graph,
        vocabulary,
        past_rows: axis(Axis::Past) / 2,
        last_new: axis(Axis::New).saturating_sub(1),
        features: axis(Axis::Features),
        times: solver_times(vocabulary.steps),
    };
    signature
        .inputs
        .iter()
        .map(|port| {
            let shape = shape_of(graph, port, sizes)?;
            Ok(rules.fill(port, shape, &mut random))
        })
        .collect()
}

/// A tensor for each output whose shape the sizes decide; `None` where it depends on the data.
pub fn output_tensors(
    graph: GraphId,
    signature: &Signature,
    sizes: &AxisSizes,
) -> Vec<Option<Tensor>> {
    let known = |port| Some((port, shape_of(Some(graph), port, sizes).ok()?));
    let ports = signature.outputs.iter().map(known);
    ports
        .map(|known| known.map(|(port, shape)| Tensor::zeros(port.dtype, shape)))
        .collect()
}

/// Slots on [`output_tensors`]; where there is no tensor, the session makes one.
pub fn output_slots(tensors: &mut [Option<Tensor>]) -> Vec<OutputSlot<'_>> {
    tensors
        .iter_mut()
        .map(|known| match known {
            Some(tensor) => OutputSlot::Into(tensor.view_mut()),
            None => OutputSlot::Alloc(None),
        })
        .collect()
}

/// The shape of a port, also of a graph taken as it comes, whose dimensions have names of their own.
///
/// # Errors
/// [`SignatureError`] when `sizes` lacks one of its axes.
fn shape_of(
    graph: Option<GraphId>,
    port: &Port,
    sizes: &AxisSizes,
) -> Result<Shape, SignatureError> {
    let foreign = matches!(graph, Some(GraphId::Campplus | GraphId::SpeechTokenizer));
    if !foreign {
        return port.shape(sizes);
    }
    let mut named = port.clone();
    for (index, dim) in named.dims.iter_mut().enumerate() {
        if matches!(dim, Dim::Unknown(_)) {
            *dim = match index {
                0 => Dim::Fixed(1),
                _ => Dim::Axis {
                    axis: Axis::Features,
                    factor: 1,
                    offset: 0,
                },
            };
        }
    }
    named.shape(sizes)
}

struct Rules {
    graph: Option<GraphId>,
    vocabulary: Vocabulary,
    /// Rows of the KV cache that are real; the others are masked.
    past_rows: usize,
    /// The last of the rows fed in this call.
    last_new: usize,
    features: usize,
    /// Times of the solver, the last of which no one asks for.
    times: Vec<f32>,
}

impl Rules {
    fn fill(&self, port: &Port, shape: Shape, random: &mut fastrand::Rng) -> Tensor {
        let mut tensor = Tensor::zeros(port.dtype, shape);
        let row = shape.dims().last().copied().unwrap_or(1).max(1);
        match port.dtype {
            DType::F32 => each(&mut tensor, |at| self.float(&port.name, at % row, random)),
            DType::F16 => each(&mut tensor, |at| {
                f16::from_f32(self.float(&port.name, at % row, random))
            }),
            DType::Bf16 => each(&mut tensor, |at| {
                bf16::from_f32(self.float(&port.name, at % row, random))
            }),
            DType::I32 => each(&mut tensor, |at| {
                i32::try_from(self.integer(&port.name, at % row, row, random)).unwrap_or(i32::MAX)
            }),
            DType::I64 => each(&mut tensor, |at| {
                i64::try_from(self.integer(&port.name, at % row, row, random)).unwrap_or(i64::MAX)
            }),
            DType::Bool | DType::U8 => tensor.bytes_mut().fill(1),
        }
        tensor
    }

    /// `column` counts along the last dimension.
    fn float(&self, name: &str, column: usize, random: &mut fastrand::Rng) -> f32 {
        match name {
            "mask" | "new_valid" | "context_valid" => 1.0,
            "past_valid" if column < self.past_rows => 1.0,
            "past_valid" => 0.0,
            "t" => self.times[random.usize(..self.vocabulary.steps.max(1))],
            // Natural logarithms of magnitudes, from silence to loud.
            "mel" => random.f32() * 10.0 - 8.0,
            "source_pad" => random.f32() * 0.2 - 0.1,
            _ if self.graph == Some(GraphId::SpeechTokenizer) => random.f32() * 2.0 - 1.0,
            _ => normal(random),
        }
    }

    /// `row` is the length of the last dimension.
    fn integer(&self, name: &str, column: usize, row: usize, random: &mut fastrand::Rng) -> usize {
        match name {
            "position_ids" => (self.past_rows + column).min(self.vocabulary.positions.max(1) - 1),
            "kpos" => column,
            "qend" => row,
            "token" if self.graph == Some(GraphId::TextEncoder) => {
                random.usize(..self.vocabulary.text.max(1))
            }
            "token" | "context" => random.usize(..self.vocabulary.speech.max(1)),
            "last_index" => self.last_new,
            _ if self.graph == Some(GraphId::SpeechTokenizer) => self.features,
            _ => 0,
        }
    }
}

fn each<T: Element>(tensor: &mut Tensor, mut value: impl FnMut(usize) -> T) {
    let elements = tensor
        .elements_mut::<T>()
        .expect("the tensor was made with this type");
    for (at, element) in elements.iter_mut().enumerate() {
        *element = value(at);
    }
}

/// One draw of a normal distribution, by Box and Muller's transform.
fn normal(random: &mut fastrand::Rng) -> f32 {
    let (radius, angle) = (1.0 - random.f32(), random.f32());
    (-2.0 * radius.ln()).sqrt() * (std::f32::consts::TAU * angle).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOCABULARY: Vocabulary = Vocabulary {
        speech: 7,
        text: 5,
        positions: 40,
        steps: 10,
    };

    fn port(name: &str, dtype: DType, dims: &[&str]) -> Port {
        let dims = dims.iter().map(|dim| {
            dim.parse()
                .map_or_else(|_| Dim::from_param(dim), Dim::Fixed)
        });
        Port {
            name: name.to_owned(),
            dtype,
            dims: dims.collect(),
        }
    }

    fn drawn(graph: GraphId, ports: Vec<Port>, sizes: &[(Axis, usize)], seed: u64) -> Vec<Tensor> {
        let signature = Signature {
            inputs: ports,
            outputs: Vec::new(),
        };
        let sizes = sizes.iter().copied().collect();
        random_inputs(graph, &signature, &sizes, VOCABULARY, seed).expect("every axis has a size")
    }

    #[test]
    fn decoding_sees_half_a_cache_and_goes_on_behind_it() {
        let ports = vec![
            port("position_ids", DType::I32, &["batch", "new"]),
            port("past_valid", DType::F32, &["batch", "past"]),
            port("last_index", DType::I32, &["batch"]),
        ];
        let sizes = [(Axis::Batch, 2), (Axis::New, 3), (Axis::Past, 4)];
        let [positions, valid, last] = &drawn(GraphId::Llm, ports, &sizes, 0)[..] else {
            panic!("three inputs");
        };
        assert_eq!(positions.elements::<i32>(), Ok(&[2, 3, 4, 2, 3, 4][..]));
        assert_eq!(
            valid.elements::<f32>(),
            Ok(&[1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0][..])
        );
        assert_eq!(last.elements::<i32>(), Ok(&[2, 2][..]));
    }

    #[test]
    fn ids_stay_within_the_vocabulary_and_positions_within_the_table() {
        let token = || vec![port("token", DType::I32, &["1", "tokens"])];
        for seed in 0..20 {
            let speech = drawn(GraphId::FlowEncoder, token(), &[(Axis::Tokens, 50)], seed);
            let ids = speech[0].elements::<i32>().expect("i32");
            assert!(ids.iter().all(|id| (0..7).contains(id)), "{ids:?}");
        }
        let positions = vec![port("position_ids", DType::I32, &["batch", "new"])];
        let sizes = [(Axis::Batch, 1), (Axis::New, 50), (Axis::Past, 1)];
        let drawn = drawn(GraphId::Llm, positions, &sizes, 0);
        assert_eq!(
            drawn[0].elements::<i32>().expect("i32").iter().max(),
            Some(&39)
        );
    }

    #[test]
    fn every_key_is_visible() {
        let ports = vec![
            port("qend", DType::I32, &["batch", "frames"]),
            port("kpos", DType::I32, &["batch", "frames"]),
        ];
        let drawn = drawn(
            GraphId::FlowEstimator,
            ports,
            &[(Axis::Batch, 1), (Axis::Frames, 3)],
            0,
        );
        assert_eq!(drawn[0].elements::<i32>(), Ok(&[3, 3, 3][..]));
        assert_eq!(drawn[1].elements::<i32>(), Ok(&[0, 1, 2][..]));
    }

    #[test]
    fn the_estimator_is_asked_at_times_of_the_solver() {
        let ports = vec![port("t", DType::F32, &["batch"])];
        let drawn = drawn(GraphId::FlowEstimator, ports, &[(Axis::Batch, 40)], 0);
        let times = solver_times(10);
        let drawn = drawn[0].elements::<f32>().expect("f32");
        assert!(drawn.iter().all(|time| times[..10].contains(time)));
        assert!(
            drawn
                .iter()
                .any(|time| time.to_bits() != drawn[0].to_bits()),
            "{drawn:?}"
        );
    }

    #[test]
    fn a_seed_decides_everything() {
        let mel = || vec![port("x", DType::F32, &["1", "80", "frames"])];
        let sizes = [(Axis::Frames, 9)];
        let [a, b, c] = [1, 1, 2].map(|seed| drawn(GraphId::FlowEstimator, mel(), &sizes, seed));
        assert_eq!(a[0].bytes(), b[0].bytes());
        assert_ne!(a[0].bytes(), c[0].bytes());
        let values = a[0].elements::<f32>().expect("f32");
        assert!(
            values
                .iter()
                .all(|value| value.is_finite() && value.abs() < 8.0)
        );
    }

    #[test]
    fn a_graph_with_names_of_its_own_is_sized_by_the_contract() {
        let ports = vec![
            port("feats", DType::F32, &["N", "128", "T"]),
            port("feats_length", DType::I32, &["N"]),
        ];
        let drawn = drawn(GraphId::SpeechTokenizer, ports, &[(Axis::Features, 60)], 0);
        assert_eq!(drawn[0].shape().dims(), [1, 128, 60]);
        assert_eq!(drawn[1].elements::<i32>(), Ok(&[60][..]));
    }
}
