use super::*;
use crate::onnx::builder::{Attribute, GraphBuilder, tensor};
use crate::onnx::evaluate::NoEvaluator;
use crate::onnx::proto::{GraphProto, NodeProto};
use crate::tensor::DType;
use proptest::prelude::*;

fn half(islands: &[&str], half_io: &[&str]) -> Half {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Half {
        to: HalfType::F16,
        islands: Islands {
            operators: owned(islands),
            nodes: BTreeSet::new(),
        },
        half_io: owned(half_io),
    }
}

fn rewritten(builder: &GraphBuilder, pass: &Half) -> (Graph, Report) {
    let mut graph = Graph::of(&builder.read());
    let mut report = Report::default();
    pass.run(&mut graph, &NoEvaluator, &mut report)
        .expect("can be rewritten");
    (graph, report)
}

/// One line per node: `Operator(inputs)->outputs`, a conversion with its target.
fn lines(graph: &GraphProto) -> Vec<String> {
    let line = |node: &NodeProto| {
        let to = node.attribute.iter().find(|held| held.name() == "to");
        let to = to.map(
            |to| match DataType::try_from(i32::try_from(to.i()).expect("small")) {
                Ok(DataType::Float) => " f32",
                Ok(DataType::Float16) => " f16",
                other => panic!("{other:?}"),
            },
        );
        format!(
            "{}({})->{}{}",
            node.op_type(),
            node.input.join(","),
            node.output.join(","),
            to.unwrap_or_default()
        )
    };
    graph.node.iter().map(line).collect()
}

fn constant_type(graph: &GraphProto, name: &str) -> DataType {
    let found = graph.initializer.iter().find(|held| held.name() == name);
    DataType::try_from(found.expect(name).data_type()).expect("known")
}

#[test]
fn conversions_stand_at_the_edges() {
    let builder = GraphBuilder::new()
        .input("x", DType::F32, &["2"])
        .constant("w", &[2], &[1f32, 2.0])
        .node("Mul", &["x", "w"], &["a"])
        .node("Softmax", &["a"], &["b"])
        .node("Add", &["b", "x"], &["y"])
        .output("y", DType::F32, &["2"]);
    let (graph, report) = rewritten(&builder, &half(&[], &[]));
    assert_eq!(
        lines(graph.proto()),
        [
            "Cast(x)->x__f16 f16",
            "Mul(x__f16,w)->a",
            "Softmax(a)->b",
            "Add(b,x__f16)->y__f16",
            "Cast(y__f16)->y f32",
        ]
    );
    assert_eq!(constant_type(graph.proto(), "w"), DataType::Float16);
    assert_eq!((report.casts, report.converted_constants), (2, 1));
}

#[test]
fn an_island_is_reached_once_per_value() {
    let builder = GraphBuilder::new()
        .input("x", DType::F32, &["2"])
        .constant("w", &[2], &[1f32, 2.0])
        .node("Mul", &["x", "w"], &["a"])
        .node("Softmax", &["a"], &["b"])
        .node("Softmax", &["a"], &["c"])
        .node("Pow", &["b", "w"], &["d"])
        .node("Add", &["d", "c"], &["y"])
        .output("y", DType::F32, &["2"]);
    let (graph, _) = rewritten(&builder, &half(&["Softmax", "Pow", "Add"], &[]));
    assert_eq!(
        lines(graph.proto()),
        [
            "Cast(x)->x__f16 f16",
            "Mul(x__f16,w__f16)->a",
            "Cast(a)->a__f32 f32",
            "Softmax(a__f32)->b",
            "Softmax(a__f32)->c",
            "Pow(b,w)->d",
            "Add(d,c)->y",
        ]
    );
    assert_eq!(constant_type(graph.proto(), "w"), DataType::Float);
    assert_eq!(constant_type(graph.proto(), "w__f16"), DataType::Float16);
}

#[test]
fn integers_shapes_and_scales_are_not_touched() {
    let fill = Attribute::Tensor(tensor("", &[1], &[-6e4f32]));
    let builder = GraphBuilder::new()
        .input("x", DType::F32, &["1", "1", "4"])
        .input("ids", DType::I32, &["4"])
        .constant("scales", &[3], &[1f32, 1.0, 2.0])
        .constant("start", &[], &[0f32])
        .constant("one", &[], &[1f32])
        .constant("three", &[1], &[3i64])
        .node("Shape", &["x"], &["shape"])
        .node_with("ConstantOfShape", &["shape"], &["low"], &[("value", fill)])
        .node("Max", &["x", "low"], &["m"])
        .node("Resize", &["m", "", "scales"], &["r"])
        .node_with("Cast", &["ids"], &["f"], &[("to", Attribute::Int(1))])
        .node("Range", &["start", "one", "one"], &["range"])
        .node("Add", &["f", "range"], &["g"])
        .node("Tile", &["three", "three"], &["n"])
        .output("r", DType::F32, &["1", "1", "8"])
        .output("g", DType::F32, &["4"])
        .output("n", DType::I64, &["9"]);
    let (graph, report) = rewritten(&builder, &half(&[], &[]));
    assert_eq!(
        lines(graph.proto()),
        [
            "Shape(x)->shape",
            "ConstantOfShape(shape)->low",
            "Cast(x)->x__f16 f16",
            "Max(x__f16,low)->m",
            "Resize(m,,scales)->r__f16",
            "Cast(ids)->f f16",
            "Range(start,one,one)->range",
            "Cast(range)->range__f16 f16",
            "Add(f,range__f16)->g__f16",
            "Tile(three,three)->n",
            "Cast(r__f16)->r f32",
            "Cast(g__f16)->g f32",
        ]
    );
    assert_eq!(constant_type(graph.proto(), "scales"), DataType::Float);
    assert_eq!(constant_type(graph.proto(), "three"), DataType::Int64);
    assert_eq!(report.integers_to_half, ["/f"]);
    assert_eq!(report.kept_nodes, ["/range"]);
}

#[test]
fn conversions_of_the_exporter_are_looked_through() {
    let to = |data_type: DataType| [("to", Attribute::Int(i64::from(data_type as i32)))];
    let builder = GraphBuilder::new()
        .input("past", DType::F16, &["2"])
        .input("x", DType::F32, &["2"])
        .node_with("Cast", &["past"], &["p"], &to(DataType::Float))
        .node("Add", &["p", "x"], &["s"])
        .node_with("Cast", &["s"], &["new"], &to(DataType::Float16))
        .node_with("Cast", &["new"], &["again"], &to(DataType::Float))
        .output("new", DType::F16, &["2"])
        .output("again", DType::F32, &["2"])
        .output("s", DType::F32, &["2"]);
    let (graph, _) = rewritten(&builder, &half(&[], &[]));
    assert_eq!(
        lines(graph.proto()),
        [
            "Cast(x)->x__f16 f16",
            "Add(past,x__f16)->s__f16",
            "Cast(s__f16)->new f16",
            "Cast(s__f16)->again f32",
            "Cast(s__f16)->s f32",
        ]
    );
}

#[test]
fn named_inputs_and_outputs_can_become_half() {
    let builder = GraphBuilder::new()
        .input("past", DType::F32, &["2"])
        .node("Relu", &["past"], &["new"])
        .output("new", DType::F32, &["2"]);
    let (graph, _) = rewritten(&builder, &half(&[], &["past", "new"]));
    assert_eq!(lines(graph.proto()), ["Relu(past)->new"]);
    let types = graph.types().expect("one type");
    assert_eq!(types.of("past"), Some(DataType::Float16));
    let declared = crate::onnx::types::element_type(&graph.proto().output[0]);
    assert_eq!(declared, Some(DataType::Float16));

    let mut graph = Graph::of(&builder.read());
    let error = half(&[], &["nothing"]).run(&mut graph, &NoEvaluator, &mut Report::default());
    assert!(matches!(error, Err(OnnxError::Parameter { ref name, .. }) if name == "nothing"));
}

#[test]
fn constants_beyond_half_are_refused_by_name() {
    let builder = GraphBuilder::new()
        .input("x", DType::F32, &["2"])
        .constant("fits", &[], &[-6e4f32])
        .constant("mask", &[2], &[-1e10f32, 7e4])
        .constant("island_only", &[], &[1e10f32])
        .node("Add", &["x", "fits"], &["a"])
        .node("Add", &["a", "mask"], &["b"])
        .node("Mul", &["b", "island_only"], &["y"])
        .output("y", DType::F32, &["2"]);
    let mut graph = Graph::of(&builder.read());
    let error = half(&["Mul"], &[])
        .run(&mut graph, &NoEvaluator, &mut Report::default())
        .expect_err("mask does not fit");
    let OnnxError::Saturates { tensors, .. } = &error else {
        panic!("{error:?}");
    };
    let expected = crate::onnx::Saturation {
        tensor: "mask".to_owned(),
        values: 2,
        worst: -1e10,
    };
    assert_eq!(*tensors, [expected]);
    assert_eq!(
        error.to_string(),
        "test.onnx: constant is too large for f16: `mask` (-1e10)"
    );

    let mut graph = Graph::of(&builder.read());
    let bf16 = Half {
        to: HalfType::Bf16,
        ..half(&[], &[])
    };
    assert!(
        bf16.run(&mut graph, &NoEvaluator, &mut Report::default())
            .is_ok()
    );
}

#[test]
fn a_mistyped_island_is_refused() {
    let builder = GraphBuilder::new()
        .input("x", DType::F32, &["2"])
        .node("Relu", &["x"], &["y"])
        .output("y", DType::F32, &["2"]);
    let mut pass = half(&[], &[]);
    pass.islands.nodes.insert("/z".to_owned());
    let error = pass.run(
        &mut Graph::of(&builder.read()),
        &NoEvaluator,
        &mut Report::default(),
    );
    assert!(matches!(error, Err(OnnxError::Parameter { ref name, .. }) if name == "/z"));
    pass.islands.nodes = BTreeSet::from(["/y".to_owned()]);
    let (graph, _) = rewritten(&builder, &pass);
    assert_eq!(lines(graph.proto()), ["Relu(x)->y"]);
}

#[test]
fn unknown_operators_keep_their_types() {
    let builder = GraphBuilder::new()
        .input("x", DType::F32, &["2"])
        .node("Relu", &["x"], &["a"])
        .node("example::Strange", &["a"], &["b"])
        .node("Relu", &["b"], &["y"])
        .output("y", DType::F32, &["2"]);
    let (graph, report) = rewritten(&builder, &half(&[], &[]));
    assert_eq!(
        lines(graph.proto()),
        [
            "Cast(x)->x__f16 f16",
            "Relu(x__f16)->a",
            "Cast(a)->a__f32 f32",
            "Strange(a__f32)->b",
            "Relu(b)->y",
        ]
    );
    assert_eq!(report.kept_nodes, ["/b", "/y"]);
}

#[test]
fn movers_between_fp32_nodes_stay_in_fp32() {
    let builder = GraphBuilder::new()
        .input("t", DType::F32, &["2"])
        .input("x", DType::F32, &["2"])
        .constant("scale", &[], &[1000f32])
        .constant("axes", &[1], &[0i64])
        .node("Mul", &["t", "scale"], &["a"])
        .node("Unsqueeze", &["a", "axes"], &["b"])
        .node("Identity", &["b"], &["c"])
        .node("Sin", &["c"], &["d"])
        .node("Identity", &["d"], &["e"])
        .node("Add", &["e", "x"], &["f"])
        .node("Identity", &["f"], &["g"])
        .node("Sin", &["g"], &["y"])
        .output("y", DType::F32, &["2"]);
    let (graph, _) = rewritten(&builder, &half(&["Mul", "Sin"], &[]));
    assert_eq!(
        lines(graph.proto()),
        [
            "Mul(t,scale)->a",
            "Unsqueeze(a,axes)->b",
            "Identity(b)->c",
            "Sin(c)->d",
            "Cast(d)->d__f16 f16",
            "Identity(d__f16)->e",
            "Cast(x)->x__f16 f16",
            "Add(e,x__f16)->f",
            "Identity(f)->g",
            "Cast(g)->g__f32 f32",
            "Sin(g__f32)->y",
        ]
    );
}

#[test]
fn positions_and_indices_are_not_rounded() {
    let to_float = [("to", Attribute::Int(1))];
    let builder = GraphBuilder::new()
        .input("kpos", DType::I32, &["4"])
        .input("t", DType::F32, &["4"])
        .input("x", DType::F32, &["4"])
        .constant("frequency", &[1], &[0.5f32])
        .constant("points", &[4], &[0f32, 0.25, 0.5, 0.75])
        .constant("table", &[4], &[1f32, 2.0, 3.0, 4.0])
        .node_with("Cast", &["kpos"], &["position"], &to_float)
        .node("Mul", &["position", "frequency"], &["angle"])
        .node("Cos", &["angle"], &["cosine"])
        .node("Mul", &["x", "cosine"], &["rotated"])
        .node("Sub", &["t", "points"], &["offset"])
        .node("Abs", &["offset"], &["distance"])
        .node("ArgMin", &["distance"], &["row"])
        .node("Gather", &["table", "row"], &["found"])
        .node("Add", &["rotated", "found"], &["sum"])
        .node("Less", &["sum", "points"], &["below"])
        .node("Where", &["below", "sum", "found"], &["y"])
        .output("y", DType::F32, &["4"]);
    let (graph, report) = rewritten(&builder, &half(&[], &[]));
    assert_eq!(
        lines(graph.proto()),
        [
            "Cast(kpos)->position f32",
            "Mul(position,frequency)->angle",
            "Cos(angle)->cosine",
            "Cast(x)->x__f16 f16",
            "Cast(cosine)->cosine__f16 f16",
            "Mul(x__f16,cosine__f16)->rotated",
            "Sub(t,points)->offset",
            "Abs(offset)->distance",
            "ArgMin(distance)->row",
            "Gather(table,row)->found",
            "Add(rotated,found)->sum",
            "Less(sum,points__f16)->below",
            "Where(below,sum,found)->y__f16",
            "Cast(y__f16)->y f32",
        ]
    );
    assert_eq!(constant_type(graph.proto(), "frequency"), DataType::Float);
    assert_eq!(constant_type(graph.proto(), "table"), DataType::Float16);
    assert_eq!(report.integers_to_half, [] as [&str; 0]);
}

/// One random node: the operator, and which earlier values it reads.
type Step = (usize, usize, usize);

/// A well-formed graph over vectors of one length; every third value or so is an output.
fn random_graph(steps: &[Step], outputs: &[usize]) -> GraphBuilder {
    let mut builder = GraphBuilder::new()
        .input("x", DType::F32, &["4"])
        .input("h", DType::F16, &["4"])
        .constant("w", &[4], &[0.5f32; 4])
        .constant("v", &[4], &[half::f16::from_f32(2.0); 4]);
    let mut floats = vec!["x".to_owned(), "w".to_owned()];
    let mut halves = vec!["h".to_owned(), "v".to_owned()];
    for (at, &(operator, first, second)) in steps.iter().enumerate() {
        let name = format!("n{at}");
        let float = |pick: usize| floats[pick % floats.len()].clone();
        let to = |data_type: DataType| [("to", Attribute::Int(i64::from(data_type as i32)))];
        match operator {
            0..=3 => {
                let operator = ["Add", "Mul", "Sub", "Max"][operator];
                let (a, b) = (float(first), float(second));
                builder = builder.node(operator, &[&a, &b], &[&name]);
                floats.push(name);
            }
            4..=6 => {
                let operator = ["Softmax", "Tanh", "Identity"][operator - 4];
                builder = builder.node(operator, &[&float(first)], &[&name]);
                floats.push(name);
            }
            7 => {
                let a = float(first);
                builder = builder.node_with("Cast", &[&a], &[&name], &to(DataType::Float16));
                halves.push(name);
            }
            8 => {
                let a = halves[first % halves.len()].clone();
                builder = builder.node_with("Cast", &[&a], &[&name], &to(DataType::Float));
                floats.push(name);
            }
            9 => {
                let (a, b) = (float(first), float(second));
                let condition = format!("{name}_c");
                builder = builder.node("Less", &[&a, &b], &[&condition]).node(
                    "Where",
                    &[&condition, &a, &b],
                    &[&name],
                );
                floats.push(name);
            }
            10 => {
                let value = Attribute::Tensor(tensor("", &[4], &[0.25f32; 4]));
                builder = builder.node_with("Constant", &[], &[&name], &[("value", value)]);
                floats.push(name);
            }
            _ => {
                let a = halves[first % halves.len()].clone();
                let b = halves[second % halves.len()].clone();
                builder = builder.node("Add", &[&a, &b], &[&name]);
                halves.push(name);
            }
        }
    }
    let mut given = BTreeSet::new();
    for &pick in outputs {
        let all = floats.len() + halves.len();
        let (name, dtype) = match floats.get(pick % all) {
            Some(name) => (name, DType::F32),
            None => (&halves[pick % all - floats.len()], DType::F16),
        };
        // An output that is also an input says nothing of the rewrite.
        if name.starts_with('n') && given.insert(name.clone()) {
            builder = builder.output(name, dtype, &["4"]);
        }
    }
    builder
}

fn io(graph: &GraphProto) -> impl PartialEq + std::fmt::Debug + use<> {
    (graph.input.clone(), graph.output.clone())
}

proptest! {
    #[test]
    fn rewriting_keeps_its_promises(
        steps in prop::collection::vec((0usize..12, 0usize..64, 0usize..64), 1..24),
        outputs in prop::collection::vec(0usize..64, 1..5),
        islands in prop::sample::subsequence(vec!["Softmax", "Mul", "Where", "Identity", "Cast"], 0..4),
        to in prop::sample::select(vec![HalfType::F16, HalfType::Bf16]),
    ) {
        let builder = random_graph(&steps, &outputs);
        let pass = Half { to, ..half(&islands, &[]) };
        let mut graph = Graph::of(&builder.read());
        pass.run(&mut graph, &NoEvaluator, &mut Report::default()).expect("can be rewritten");

        prop_assert_eq!(io(graph.proto()), io(builder.model().graph.as_ref().expect("built")));
        let index = graph.index().expect("no dangling edge, in order");
        let types = graph.types().expect("one type per node");
        prop_assert_eq!(types.untyped(), &[]);
        for output in &graph.proto().output {
            prop_assert_eq!(types.of(output.name()), crate::onnx::types::element_type(output));
        }
        for node in &graph.proto().node {
            let input = node.input.first().map(String::as_str).unwrap_or_default();
            let is_output = graph.proto().output.iter().any(|output| output.name() == node.output[0]);
            let ours = [Some(DataType::Float), Some(to.data_type())];
            let (from, given) = (types.of(input), types.of(&node.output[0]));
            if node.op_type() == "Cast" && !is_output && ours.contains(&from) && ours.contains(&given) {
                prop_assert_ne!(from, given, "a conversion to the same type");
                prop_assert!(!index.consumers(&node.output[0]).is_empty(), "a conversion nobody reads");
            } else if islands.contains(&node.op_type()) && node.op_type() != "Cast" {
                prop_assert_ne!(types.of(&node.output[0]), Some(to.data_type()));
            }
        }

        let once = graph.model().clone();
        let mut report = Report::default();
        pass.run(&mut graph, &NoEvaluator, &mut report).expect("its own result");
        prop_assert_eq!(graph.model(), &once);
        prop_assert_eq!(report.converted_constants, 0);
    }
}
