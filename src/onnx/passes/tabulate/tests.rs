use super::*;
use crate::onnx::builder::{Attribute, GraphBuilder};
use crate::onnx::evaluate::{EvaluateError, NoEvaluator};
use crate::onnx::file::ModelFile;
use crate::onnx::proto::NodeProto;
use crate::tensor::{Shape, Tensor};
use prost::bytes::Bytes;
use std::path::Path;

/// Gives `width` elements per row by a formula, and keeps the model it was given.
struct Formula {
    width: usize,
    element: fn(row: &[f32], at: usize, column: usize) -> f32,
    model: std::cell::RefCell<Vec<u8>>,
}

impl Formula {
    fn new(width: usize, element: fn(&[f32], usize, usize) -> f32) -> Self {
        Self {
            width,
            element,
            model: std::cell::RefCell::default(),
        }
    }
}

impl Evaluator for Formula {
    fn evaluate(
        &self,
        model: &[u8],
        _folder: Option<&Path>,
        inputs: &[Tensor],
    ) -> Result<Vec<Vec<Tensor>>, EvaluateError> {
        *self.model.borrow_mut() = model.to_vec();
        let runs = inputs.iter().map(|input| {
            let values = input.elements::<f32>()?;
            let cells =
                (0..values.len()).flat_map(|at| (0..self.width).map(move |column| (at, column)));
            let elements: Vec<f32> = cells
                .map(|(at, column)| (self.element)(values, at, column))
                .collect();
            let shape = Shape::new(&[values.len(), self.width]);
            Ok(vec![Tensor::from_elements(shape, &elements)?])
        });
        runs.collect()
    }
}

const WIDTH: usize = 6;

/// What a modulated norm is made of: a vector per row, split in two, over a value of its own.
fn modulated() -> GraphBuilder {
    let split = [("axis", Attribute::Int(1))];
    GraphBuilder::new()
        .input("x", DType::F32, &["batch", "3"])
        .input("t", DType::F32, &["batch"])
        .constant("axes", &[1], &[1i64])
        .constant("w1", &[1, 8], &[0.5f32; 8])
        .constant("w2", &[8, 6], &[0.25f32; 48])
        .constant("halves", &[2], &[3i64, 3])
        .node("Unsqueeze", &["t", "axes"], &["column"])
        .node("MatMul", &["column", "w1"], &["hidden"])
        .node("Sin", &["hidden"], &["active"])
        .node("MatMul", &["active", "w2"], &["both"])
        .node_with("Split", &["both", "halves"], &["scale", "shift"], &split)
        .node("Mul", &["x", "scale"], &["scaled"])
        .node("Add", &["scaled", "shift"], &["y"])
        .output("y", DType::F32, &["batch", "3"])
}

fn pass() -> Tabulate {
    Tabulate {
        input: "t".to_owned(),
        values: vec![0.0, 0.25],
    }
}

fn tabulated(builder: &GraphBuilder, evaluator: &dyn Evaluator) -> (Graph, Report) {
    let mut graph = Graph::of(&builder.read());
    let mut report = Report::default();
    for pass in [&pass() as &dyn Pass, &super::super::DeadCode] {
        pass.run(&mut graph, evaluator, &mut report)
            .expect("can be rewritten");
    }
    (graph, report)
}

fn lines(graph: &Graph) -> Vec<String> {
    let nodes = graph.proto().node.iter();
    nodes
        .map(|node| {
            format!(
                "{}({})->{}",
                node.op_type(),
                node.input.join(","),
                node.output.join(",")
            )
        })
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn by_row(values: &[f32], at: usize, column: usize) -> f32 {
    values[at] + column as f32
}

#[test]
fn one_table_stands_for_all_slices_of_a_vector() {
    let evaluator = Formula::new(WIDTH, by_row);
    let (graph, report) = tabulated(&modulated(), &evaluator);
    assert_eq!(
        lines(&graph),
        [
            "Reshape(t,t__column_shape)->t__column",
            "Mul(t__column,t__signs)->t__signed",
            "Sub(t__signed,t__values)->t__offset",
            "Abs(t__offset)->t__distance",
            "ArgMin(t__distance)->t__row",
            "Gather(both__table,t__row)->both",
            "Split(both,halves)->scale,shift",
            "Mul(x,scale)->scaled",
            "Add(scaled,shift)->y",
        ]
    );
    assert_eq!(report.tables, 1);
    assert_eq!(
        graph.proto().node[5].name(),
        "/both",
        "islands go by node names"
    );
    let table = graph
        .proto()
        .initializer
        .iter()
        .find(|tensor| tensor.name() == "both__table")
        .expect("named above");
    let raw = table.raw_data.as_ref().expect("raw data");
    let (fours, _) = raw.as_chunks::<4>();
    let elements: Vec<f32> = fours
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect();
    assert_eq!(table.dims, [3, 6]);
    assert_eq!(
        elements[WIDTH..2 * WIDTH],
        [0.25, 1.25, 2.25, 3.25, 4.25, 5.25]
    );
    assert!(
        elements[2 * WIDTH..].iter().all(|value| value.is_nan()),
        "{elements:?}"
    );
}

#[test]
fn only_the_part_behind_the_input_is_evaluated() {
    let evaluator = Formula::new(WIDTH, by_row);
    tabulated(&modulated(), &evaluator);
    let bytes = Bytes::from(evaluator.model.take());
    let part = ModelFile::from_bytes("part.onnx", bytes).expect("a model");
    let names: Vec<&str> = part.graph().node.iter().map(NodeProto::op_type).collect();
    assert_eq!(names, ["Unsqueeze", "MatMul", "Sin", "MatMul"]);
    assert_eq!(part.graph().input.len(), 1);
    assert_eq!(part.graph().initializer.len(), 3);
    assert_eq!(part.graph().output[0].name(), "both");
}

#[test]
fn what_would_not_pay_stays() {
    fn wide(values: &[f32], at: usize, _: usize) -> f32 {
        values[at]
    }
    fn mixed(values: &[f32], at: usize, _: usize) -> f32 {
        values[at] - values.iter().sum::<f32>()
    }
    let cases = [
        (
            "tables larger than their constants",
            Formula::new(500, wide),
        ),
        ("rows that depend on each other", Formula::new(WIDTH, mixed)),
    ];
    for (case, evaluator) in cases {
        let mut graph = Graph::of(&modulated().read());
        let before = graph.proto().clone();
        let mut report = Report::default();
        pass()
            .run(&mut graph, &evaluator, &mut report)
            .expect("nothing to do");
        assert!(*graph.proto() == before, "{case}");
        assert_eq!(report.tables, 0, "{case}");
    }
}

#[test]
fn tables_are_left_as_they_are() {
    let evaluator = Formula::new(WIDTH, by_row);
    let (mut graph, _) = tabulated(&modulated(), &evaluator);
    let once = graph.proto().clone();
    let mut report = Report::default();
    pass()
        .run(&mut graph, &evaluator, &mut report)
        .expect("its own result");
    assert!(*graph.proto() == once, "not the same graph twice");
    assert_eq!(report.tables, 0);
}

#[test]
fn a_graph_without_the_input_or_an_evaluator_is_refused() {
    let mut graph = Graph::of(&modulated().read());
    let other = Tabulate {
        input: "x".to_owned(),
        ..pass()
    };
    let error = other.run(&mut graph, &NoEvaluator, &mut Report::default());
    assert!(
        matches!(error, Err(OnnxError::Parameter { ref name, .. }) if name == "x"),
        "{error:?}"
    );
    let error = pass().run(&mut graph, &NoEvaluator, &mut Report::default());
    assert!(
        matches!(error, Err(OnnxError::Evaluate { ref input, .. }) if input == "t"),
        "{error:?}"
    );
}
