//! Rewritten graphs compute what the graphs they came from do, on ONNX Runtime.

use cvtrt::backend::{Artifact, Backends, Bindings, Lane, LoadOptions, OutputSlot, Session};
use cvtrt::build::OnProcessor;
use cvtrt::bundle::solver_times;
use cvtrt::ids::{BackendId, Precision};
use cvtrt::onnx::builder::{Attribute, GraphBuilder};
use cvtrt::onnx::proto::tensor_shape_proto::dimension::Value::DimValue;
use cvtrt::onnx::proto::type_proto::Value::TensorType;
use cvtrt::onnx::{ModelFile, NoEvaluator, Rewrite, RewrittenOnnx, Tabulate};
use cvtrt::tensor::{DType, Shape, Tensor};
use cvtrt::testkit::{backend_or_skip, test_backends};
use proptest::prelude::*;
use std::path::{Path, PathBuf};

const OPTIONS: LoadOptions = LoadOptions {
    threads: 1,
    device: 0,
};
const WIDTH: usize = 4;
const VALUES: [f32; 3] = [0.0, 0.25, 0.75];

fn tables(values: &[f32]) -> Rewrite {
    Rewrite {
        tables: Some(Tabulate {
            input: "t".to_owned(),
            values: values.to_vec(),
        }),
        ..Rewrite::default()
    }
}

fn rewritten(backends: &Backends, file: &ModelFile, values: &[f32]) -> RewrittenOnnx {
    let evaluator = OnProcessor(backends);
    RewrittenOnnx::of(file, Precision::Fp32, &tables(values), &evaluator).expect("can be rewritten")
}

fn open(backends: &Backends, artifact: Artifact<'_>) -> Box<dyn Session> {
    let backend = backends.get(BackendId::OrtCpu).expect("found before");
    let loaded = backend.load(artifact, &OPTIONS).expect("loads");
    loaded.open(&Lane::on_host(0)).expect("opens")
}

fn in_memory<'a>(bytes: &'a [u8], folder: &'a Path) -> Artifact<'a> {
    Artifact::Memory { bytes, folder }
}

fn run(session: &mut dyn Session, inputs: &[Tensor]) -> Vec<Vec<f32>> {
    let outputs = session.signature().outputs.len();
    let mut bindings = Bindings {
        inputs: inputs.iter().map(Tensor::view).collect(),
        outputs: (0..outputs).map(|_| OutputSlot::Alloc(None)).collect(),
    };
    session.run(&mut bindings).expect("runs");
    let made = bindings.outputs.into_iter().map(|slot| match slot {
        OutputSlot::Alloc(Some(made)) => made.elements::<f32>().expect("floats").to_vec(),
        other => panic!("{other:?}"),
    });
    made.collect()
}

/// One random node: the operator, and which earlier values it reads.
type Step = (usize, usize, usize);

/// A graph over rows of four numbers: some depend on `t` alone, some on `x` too.
fn random_graph(steps: &[Step], outputs: &[usize]) -> GraphBuilder {
    let numbers = |count: usize, scale: f32| -> Vec<f32> {
        let signs = [0.5, -0.25, 0.125, 1.0, -0.75];
        (0..count)
            .map(|at| signs[at % signs.len()] * scale)
            .collect()
    };
    let mut builder = GraphBuilder::new()
        .input("x", DType::F32, &["batch", "4"])
        .input("t", DType::F32, &["batch"])
        .constant("axes", &[1], &[1i64])
        .constant("first", &[1, 4], &numbers(4, 1.0))
        .constant("wide", &[4, 64], &numbers(256, 0.25))
        .constant("narrow", &[64, 4], &numbers(256, 0.25))
        .constant("bias", &[4], &numbers(4, 0.5))
        .constant("halves", &[2], &[2i64, 2])
        .node("Unsqueeze", &["t", "axes"], &["column"])
        .node("MatMul", &["column", "first"], &["start"]);
    let mut values = vec!["x".to_owned(), "start".to_owned(), "bias".to_owned()];
    for (at, &(operator, first, second)) in steps.iter().enumerate() {
        let (a, b) = (
            &values[first % values.len()],
            &values[second % values.len()],
        );
        let name = format!("n{at}");
        builder = match operator {
            0..=3 => builder.node(["Add", "Mul", "Sub", "Max"][operator], &[a, b], &[&name]),
            4 | 5 => builder.node(["Tanh", "Sin"][operator - 4], &[a], &[&name]),
            6 | 7 => {
                let hidden = format!("{name}_wide");
                builder.node("MatMul", &[a, "wide"], &[&hidden]).node(
                    "MatMul",
                    &[&hidden, "narrow"],
                    &[&name],
                )
            }
            _ => {
                let parts = [format!("{name}_a"), format!("{name}_b")];
                let [left, right] = [parts[0].as_str(), parts[1].as_str()];
                let axis = || [("axis", Attribute::Int(-1))];
                builder
                    .node_with("Split", &[a, "halves"], &[left, right], &axis())
                    .node_with("Concat", &[right, left], &[&name], &axis())
            }
        };
        values.push(name);
    }
    let mut given = std::collections::BTreeSet::new();
    for &pick in outputs {
        let name = &values[pick % values.len()];
        // A sum makes every output one of rows, also where the picked value has none.
        if given.insert(name.clone()) {
            let row = format!("{name}_out");
            builder = builder.node("Add", &[name, "start"], &[&row]).output(
                &row,
                DType::F32,
                &["batch", "4"],
            );
        }
    }
    builder
}

fn inputs(rows: usize, times: &[f32]) -> [Tensor; 2] {
    let xs: Vec<f32> = (0..rows * WIDTH)
        .map(|at| f32::from(u8::try_from(at * 37 % 41).expect("small")) / 20.0 - 1.0)
        .collect();
    let times: Vec<f32> = (0..rows).map(|row| times[row % times.len()]).collect();
    [
        Tensor::from_elements(Shape::new(&[rows, WIDTH]), &xs).expect("fits"),
        Tensor::from_elements(Shape::new(&[rows]), &times).expect("fits"),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn tables_change_no_result_and_no_interface(
        steps in prop::collection::vec((0usize..9, 0usize..32, 0usize..32), 1..14),
        outputs in prop::collection::vec(0usize..32, 1..4),
    ) {
        if backend_or_skip(BackendId::OrtCpu, "tables_change_no_result_and_no_interface").is_none() {
            return Ok(());
        }
        let backends = test_backends();
        let builder = random_graph(&steps, &outputs);
        let file = builder.read();
        let once = rewritten(&backends, &file, &VALUES);
        prop_assert_eq!(&once.signature, &file.signature().expect("plain"));

        let again = ModelFile::from_bytes("again.onnx", once.bytes.clone()).expect("a model");
        let twice = rewritten(&backends, &again, &VALUES);
        prop_assert_eq!(twice.report.tables, 0);
        prop_assert!(twice.bytes == once.bytes, "not the same graph twice");

        for rows in [1, 2, 5] {
            let inputs = inputs(rows, &VALUES);
            let worst = difference(&backends, &builder.encode(), &once.bytes, &inputs);
            prop_assert!(worst <= 1e-5, "{worst} at {rows} rows");
        }
    }

    #[test]
    fn a_freed_batch_changes_no_result_and_nothing_else_of_the_interface(
        steps in prop::collection::vec((0usize..9, 0usize..32, 0usize..32), 1..14),
        outputs in prop::collection::vec(0usize..32, 1..4),
    ) {
        let name = "a_freed_batch_changes_no_result_and_nothing_else_of_the_interface";
        if backend_or_skip(BackendId::OrtCpu, name).is_none() {
            return Ok(());
        }
        let backends = test_backends();
        let free = random_graph(&steps, &outputs);
        let fixed = with_batch(free.clone(), 2);
        let rewrite = Rewrite { batch_axis: Some("batch".to_owned()), ..Rewrite::default() };
        let once = once_and_twice(&fixed.read(), &rewrite);
        prop_assert_eq!(&once.signature, &free.read().signature().expect("plain"));

        let two = inputs(2, &VALUES);
        let worst = difference(&backends, &fixed.encode(), &once.bytes, &two);
        prop_assert!(worst <= 1e-6, "{worst} at the batch of the interface");
        for rows in [1, 5] {
            let inputs = inputs(rows, &VALUES);
            let worst = difference(&backends, &free.encode(), &once.bytes, &inputs);
            prop_assert!(worst <= 1e-6, "{worst} at {rows} rows");
        }
    }

    #[test]
    fn instance_normalisation_in_primitives_gives_the_same(
        steps in prop::collection::vec((0usize..4, 0usize..16, 0usize..16), 1..8),
        more in prop::collection::vec(1usize..4, 0..3),
        epsilon in prop::sample::select(vec![1e-5f32, 1e-2]),
    ) {
        let name = "instance_normalisation_in_primitives_gives_the_same";
        if backend_or_skip(BackendId::OrtCpu, name).is_none() {
            return Ok(());
        }
        let backends = test_backends();
        let builder = normalising_graph(&steps, more.len(), epsilon);
        let rewrite = Rewrite { plain_instance_norm: true, ..Rewrite::default() };
        let file = builder.read();
        let once = once_and_twice(&file, &rewrite);
        prop_assert_eq!(&once.signature, &file.signature().expect("plain"));
        let left = ModelFile::from_bytes("once.onnx", once.bytes.clone()).expect("a model");
        let is_left = left.graph().node.iter().any(|node| node.op_type() == "InstanceNormalization");
        prop_assert!(!is_left);

        let dims = [&[2, 3, 5], &more[..]].concat();
        let count: usize = dims.iter().product();
        let elements: Vec<f32> = (0..count)
            .map(|at| f32::from(u8::try_from(at * 73 % 101).expect("small")) / 50.0 - 1.0)
            .collect();
        let x = Tensor::from_elements(Shape::new(&dims), &elements).expect("fits");
        let worst = difference(&backends, &builder.encode(), &once.bytes, &[x]);
        prop_assert!(worst <= 1e-5, "{worst}");
    }
}

/// Rewrites a model, and its result once more, which must change nothing.
fn once_and_twice(file: &ModelFile, rewrite: &Rewrite) -> RewrittenOnnx {
    let of = |file: &ModelFile| RewrittenOnnx::of(file, Precision::Fp32, rewrite, &NoEvaluator);
    let once = of(file).expect("can be rewritten");
    let again = ModelFile::from_bytes("again.onnx", once.bytes.clone()).expect("a model");
    assert!(of(&again).expect("its own result").bytes == once.bytes);
    once
}

/// The largest difference of any output of two models, beside the largest value of that output.
fn difference(backends: &Backends, want: &[u8], got: &[u8], inputs: &[Tensor]) -> f32 {
    let here = Path::new(".");
    let want = run(&mut *open(backends, in_memory(want, here)), inputs);
    let got = run(&mut *open(backends, in_memory(got, here)), inputs);
    assert_eq!(want.len(), got.len());
    let of_output = |(want, got): (&Vec<f32>, &Vec<f32>)| {
        assert_eq!(want.len(), got.len());
        let peak = want.iter().fold(1f32, |peak, value| peak.max(value.abs()));
        let pairs = want.iter().zip(got);
        // What is not a number differs from everything.
        pairs.fold(0f32, |worst, (want, got)| {
            let apart = (want - got).abs() / peak;
            if apart > worst || apart.is_nan() {
                apart
            } else {
                worst
            }
        })
    };
    want.iter().zip(&got).map(of_output).fold(0.0, f32::max)
}

/// The graph with this batch in its inputs and outputs.
fn with_batch(mut builder: GraphBuilder, batch: i64) -> GraphBuilder {
    let graph = builder.graph();
    for value in graph.input.iter_mut().chain(&mut graph.output) {
        let held = value.r#type.as_mut().and_then(|held| held.value.as_mut());
        let Some(TensorType(tensor)) = held else {
            panic!("a tensor");
        };
        let shape = tensor.shape.as_mut().expect("a shape");
        shape.dim[0].value = Some(DimValue(batch));
    }
    builder
}

/// A graph over `[2, 3, 5, …]` with normalisations in it; the last value is normalised in any case.
fn normalising_graph(steps: &[Step], more: usize, epsilon: f32) -> GraphBuilder {
    let dims = [&["batch", "3", "frames"], &["h", "w"][..more]].concat();
    let normalised = |builder: GraphBuilder, from: &str, to: &str| {
        let epsilon = [("epsilon", Attribute::Float(epsilon))];
        let inputs = [from, "scale", "bias"];
        builder.node_with("InstanceNormalization", &inputs, &[to], &epsilon)
    };
    let mut builder = GraphBuilder::new()
        .input("x", DType::F32, &dims)
        .constant("scale", &[3], &[1f32, -2.0, 0.5])
        .constant("bias", &[3], &[0f32, 1.0, -1.0]);
    let mut values = vec!["x".to_owned()];
    for (at, &(operator, first, second)) in steps.iter().enumerate() {
        let a = &values[first % values.len()];
        let b = &values[second % values.len()];
        let name = format!("n{at}");
        builder = match operator {
            0 => builder.node("Add", &[a, b], &[&name]),
            1 => builder.node("Tanh", &[a], &[&name]),
            _ => normalised(builder, a, &name),
        };
        values.push(name);
    }
    let last = values.last().expect("there is one").clone();
    normalised(builder, &last, "y").output("y", DType::F32, &dims)
}

#[test]
fn a_row_at_an_unknown_time_is_not_a_number() {
    let name = "a_row_at_an_unknown_time_is_not_a_number";
    if backend_or_skip(BackendId::OrtCpu, name).is_none() {
        return;
    }
    let backends = test_backends();
    let file = random_graph(&[(6, 1, 0), (4, 3, 0), (1, 4, 0)], &[5]).read();
    let rewritten = rewritten(&backends, &file, &VALUES);
    assert!(rewritten.report.tables > 0);
    let mut session = open(&backends, in_memory(&rewritten.bytes, Path::new(".")));
    let [out] = &run(&mut *session, &inputs(3, &[0.25, 0.5, 0.75]))[..] else {
        panic!("one output");
    };
    let nan: Vec<bool> = out
        .chunks(WIDTH)
        .map(|row| row.iter().all(|value| value.is_nan()))
        .collect();
    assert_eq!(nan, [false, true, false]);
}

#[test]
fn the_estimator_asks_tables_at_the_times_of_its_solver() {
    let name = "the_estimator_asks_tables_at_the_times_of_its_solver";
    if backend_or_skip(BackendId::OrtCpu, name).is_none() {
        return;
    }
    let backends = test_backends();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("onnx/cosyvoice2-tiny");
    let path = folder.join("flow_estimator.onnx");
    let file = ModelFile::open(&path).expect("committed");
    let times = solver_times(10);
    let rewritten = rewritten(&backends, &file, &times[..10]);
    assert!(rewritten.report.tables > 0);
    let saved = file.bytes().len() - rewritten.bytes.len();
    assert!(saved > 100_000, "{saved}");

    let signature = file.signature().expect("plain");
    let frames = 23;
    let feeds: Vec<Tensor> = signature
        .inputs
        .iter()
        .map(|port| estimator_input(&port.name, frames, &times))
        .collect();
    let want = run(&mut *open(&backends, Artifact::Onnx(&path)), &feeds);
    let got = run(
        &mut *open(&backends, in_memory(&rewritten.bytes, &folder)),
        &feeds,
    );
    let pairs = want[0].iter().zip(&got[0]);
    let worst = pairs.fold(0f32, |worst, (want, got)| worst.max((want - got).abs()));
    assert!(worst < 1e-5, "{worst}");
}

/// Two rows, at different times.
fn estimator_input(name: &str, frames: usize, times: &[f32]) -> Tensor {
    let noise = |dims: &[usize]| {
        let count: usize = dims.iter().product();
        let elements: Vec<f32> = (0..count)
            .map(|at| f32::from(u8::try_from(at * 73 % 101).expect("small")) / 50.0 - 1.0)
            .collect();
        Tensor::from_elements(Shape::new(dims), &elements).expect("fits")
    };
    let integers = |value: fn(i32, i32) -> i32| {
        let count = i32::try_from(frames).expect("small");
        let elements: Vec<i32> = (0..2)
            .flat_map(|_| (0..count).map(|at| value(at, count)))
            .collect();
        Tensor::from_elements(Shape::new(&[2, frames]), &elements).expect("fits")
    };
    match name {
        "mask" => Tensor::from_elements(Shape::new(&[2, 1, frames]), &vec![1f32; 2 * frames])
            .expect("fits"),
        "t" => Tensor::from_elements(Shape::new(&[2]), &times[3..5]).expect("fits"),
        "spks" => noise(&[2, 80]),
        "qend" => integers(|_, count| count),
        "kpos" => integers(|at, _| at),
        _ => noise(&[2, 80, frames]),
    }
}
