//! What every backend promises, checked on each one that works here.
//!
//! A backend that cannot be used on this machine is skipped, and the skip is heard.

use cvtrt::backend::{
    Artifact, Backend, Bindings, BindingsError, CompileError, CompileRequest, CompiledGraph,
    EngineArtifact, Lane, LoadError, LoadOptions, Model, OutputSlot, Progress, Recovery, Recycled,
    RunError, Session, Step, open_at,
};
use cvtrt::ids::{BackendId, GraphId, Precision};
use cvtrt::onnx::ModelFile;
use cvtrt::profile::{CompileOptions, ComputeCapability, InputRange, OptProfile};
use cvtrt::tensor::{
    DType, Element, Placement, Shape, Signature, Tensor, TensorView, TensorViewMut,
};
use cvtrt::testkit::{backend_or_skip, graph_path, tensorrt_on_ort_or_skip};
use half::f16;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use tempfile::TempDir;

macro_rules! conformance {
    (checks $checks:tt on $($module:ident = $subject:expr;)+) => {
        $( mod $module { conformance!(@tests $subject, $checks); } )+
    };
    (@tests $subject:expr, { $($check:ident)+ }) => {
        $(
            #[test]
            fn $check() {
                let name = concat!(module_path!(), "::", stringify!($check));
                let Some(subject) = $subject(name) else { return };
                super::$check(&subject);
            }
        )+
    };
}

conformance! {
    checks {
        the_signature_is_that_of_the_file
        shapes_vary_from_run_to_run
        outputs_are_written_in_place
        lanes_run_side_by_side
        a_run_repeats_to_the_byte
        bindings_that_do_not_fit_are_refused
        shapes_that_contradict_each_other_are_the_callers
        an_output_sized_by_its_data_is_allocated
        every_element_type_passes
        empty_tensors_pass
        an_engine_computes_what_its_model_does
        weights_outside_the_model_end_up_in_the_engine
        a_damaged_engine_is_refused
        a_build_can_be_stopped
    }
    on
    ort_cpu = |name| super::Subject::installed(super::OrtCpu, 0.0, name);
    ort_cuda = |name| super::Subject::installed(super::OrtCuda, 1e-4, name);
}

// TensorRT's real shim over libraries that compute on the host; what only a real library can infer, stop or
// refuse is left to it.
conformance! {
    checks {
        the_signature_is_that_of_the_file
        shapes_vary_from_run_to_run
        outputs_are_written_in_place
        lanes_run_side_by_side
        a_run_repeats_to_the_byte
        bindings_that_do_not_fit_are_refused
        shapes_that_contradict_each_other_are_the_callers
        every_element_type_passes
        an_engine_computes_what_its_model_does
        weights_outside_the_model_end_up_in_the_engine
        shapes_outside_every_profile_are_for_the_next_link
    }
    on
    tensorrt_8 = |name| super::Subject::computing(8_601, name);
    tensorrt_10 = |name| super::Subject::computing(101_601, name);
    tensorrt_11 = |name| super::Subject::computing(110_400, name);
    tensorrt_rtx = |name| super::Subject::computing(10_701, name);
}

use BackendId::{OrtCpu, OrtCuda};

struct Subject {
    backend: Arc<dyn Backend>,
    /// Largest absolute difference from the expected value.
    tolerance: f32,
    options: CompileOptions,
}

/// An engine in a folder of its own.
struct Engine {
    path: PathBuf,
    signature: Signature,
    _folder: TempDir,
}

impl Engine {
    fn artifact(&self) -> Artifact<'_> {
        Artifact::Engine(EngineArtifact {
            path: &self.path,
            signature: &self.signature,
            host_code: false,
        })
    }
}

/// Range of one input: name, smallest, typical and largest shape.
type Range<'a> = (&'a str, [&'a [usize]; 3]);

const QUIET: fn(&Step<'_>) -> ControlFlow<()> = |_| ControlFlow::Continue(());

impl Subject {
    fn installed(id: BackendId, tolerance: f32, test: &str) -> Option<Self> {
        Some(Self {
            backend: backend_or_skip(id, test)?,
            tolerance,
            options: CompileOptions::default(),
        })
    }

    fn computing(raw_version: i32, test: &str) -> Option<Self> {
        let (backend, _) =
            tensorrt_on_ort_or_skip(raw_version, graph_path("").parent()?.into(), test)?;
        let targets = match backend.id() {
            BackendId::TensorRtRtx => vec![ComputeCapability { major: 8, minor: 6 }],
            _ => Vec::new(),
        };
        Some(Self {
            backend,
            tolerance: 0.0,
            options: CompileOptions {
                targets,
                ..CompileOptions::default()
            },
        })
    }

    fn compile(
        &self,
        graph: &str,
        ranges: &[Range<'_>],
        progress: &dyn Progress,
    ) -> Result<Engine, CompileError> {
        let folder = tempfile::tempdir().expect("temp dir");
        let path = folder.path().join("test.engine");
        let inputs = ranges.iter().map(|(name, [min, opt, max])| InputRange {
            name: (*name).to_owned(),
            min: Shape::new(min),
            opt: Shape::new(opt),
            max: Shape::new(max),
        });
        let shapes = [OptProfile {
            name: "only".to_owned(),
            inputs: inputs.collect(),
        }];
        let request = CompileRequest {
            graph: GraphId::Llm,
            model: Model::File(&graph_path(graph)),
            precision: Precision::Fp32,
            fp32_nodes: &[],
            shapes: &shapes,
            options: &self.options,
            timing_cache: None,
            engine: &path,
        };
        self.backend.compile(&request, progress)?;
        let model = ModelFile::open(&graph_path(graph)).expect("a test graph");
        Ok(Engine {
            path,
            signature: model.signature().expect("a test graph"),
            _folder: folder,
        })
    }

    fn engine(&self, graph: &str, ranges: &[Range<'_>]) -> Engine {
        self.compile(graph, ranges, &QUIET).expect("compiles")
    }

    fn load(&self, artifact: Artifact<'_>) -> Result<Arc<dyn CompiledGraph>, LoadError> {
        let options = LoadOptions {
            threads: 1,
            device: 0,
        };
        self.backend.load(artifact, &options)
    }

    fn session(&self, graph: &str, ranges: &[Range<'_>]) -> Box<dyn Session> {
        let engine = self.engine(graph, ranges);
        let compiled = self.load(engine.artifact()).expect("loads");
        open_at(Placement::Host, &compiled, &Lane::on_host(0)).expect("opens")
    }

    fn affine(&self) -> Box<dyn Session> {
        self.session("affine", AFFINE)
    }

    fn assert_near(&self, found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert!(
                (found - expected).abs() <= self.tolerance,
                "element {index}: {found}, expected {expected}"
            );
        }
    }
}

const AFFINE: &[Range<'_>] = &[("x", [&[1, 1], &[2, 8], &[8, 64]])];
const CONV: &[Range<'_>] = &[("mel", [&[1, 16, 1], &[1, 16, 20], &[1, 16, 64]])];
const NONZERO: &[Range<'_>] = &[("x", [&[1], &[8], &[64]])];
const APPEND: &[Range<'_>] = &[
    ("past", [&[1, 0, 4], &[1, 8, 4], &[2, 16, 4]]),
    ("new", [&[1, 0, 4], &[1, 1, 4], &[2, 16, 4]]),
];
const TYPES: &[Range<'_>] = &[
    ("ids", [&[1, 1], &[2, 3], &[4, 8]]),
    ("half", [&[1], &[2], &[4]]),
    ("flag", [&[1], &[2], &[4]]),
    ("wide", [&[1], &[2], &[4]]),
];

/// Runs with one input and one output whose shape is known.
fn run_one(
    session: &mut dyn Session,
    input: TensorView<'_>,
    out: Shape,
) -> Result<Vec<f32>, RunError> {
    let mut tensor = Tensor::zeros(DType::F32, out);
    let mut io = Bindings {
        inputs: vec![input],
        outputs: vec![OutputSlot::Into(tensor.view_mut())],
    };
    session.run(&mut io)?;
    Ok(tensor.elements().expect("f32").to_vec())
}

fn view<'a, T: Element>(dims: &[usize], elements: &'a [T]) -> TensorView<'a> {
    TensorView::of(Shape::new(dims), elements).expect("elements fill the shape")
}

/// Numbers that are exact in every type: small multiples of a quarter.
fn ramp(len: usize) -> Vec<f32> {
    (0..len)
        .map(|index| f32::from(u8::try_from(index % 97).expect("below 97")) / 4.0 - 9.0)
        .collect()
}

fn the_signature_is_that_of_the_file(subject: &Subject) {
    let conv = subject.session("conv", CONV);
    let ports =
        |ports: &[cvtrt::tensor::Port]| ports.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(ports(&conv.signature().inputs), ["mel f32 [1, 16, frames]"]);
    assert_eq!(
        ports(&conv.signature().outputs),
        ["wav f32 [1, 1, 4*frames]"]
    );
    let types = subject.session("types", TYPES);
    assert_eq!(
        ports(&types.signature().inputs),
        [
            "ids i32 [batch, new]",
            "half f16 [batch]",
            "flag bool [batch]",
            "wide i64 [batch]"
        ]
    );
}

fn shapes_vary_from_run_to_run(subject: &Subject) {
    let mut session = subject.affine();
    let mut recycled = Recycled::default();
    for dims in [[1, 8], [8, 64], [2, 3], [8, 64], [1, 1]] {
        let x = ramp(dims[0] * dims[1]);
        let expected: Vec<f32> = x.iter().map(|x| 2.0 * x + 1.0).collect();
        let mut y = vec![0f32; x.len()];
        let mut io = Bindings::reuse(&mut recycled);
        io.inputs.push(view(&dims, &x));
        let out = TensorViewMut::of(Shape::new(&dims), &mut y).expect("fits");
        io.outputs.push(OutputSlot::Into(out));
        session.run(&mut io).expect("runs");
        io.recycle(&mut recycled);
        subject.assert_near(&y, &expected);
    }
}

fn outputs_are_written_in_place(subject: &Subject) {
    const MARK: f32 = -777.0;
    let mut session = subject.affine();
    let x = ramp(6);
    let mut memory = [MARK; 10];
    let out = TensorViewMut::of(Shape::new(&[2, 3]), &mut memory[2..8]).expect("six elements");
    let mut io = Bindings {
        inputs: vec![view(&[2, 3], &x)],
        outputs: vec![OutputSlot::Into(out)],
    };
    session.run(&mut io).expect("runs");
    let expected: Vec<f32> = x.iter().map(|x| 2.0 * x + 1.0).collect();
    subject.assert_near(&memory[2..8], &expected);
    let around = [memory[0], memory[1], memory[8], memory[9]];
    assert_eq!(around.map(f32::to_bits), [MARK.to_bits(); 4]);

    let mut memory = [MARK; 10];
    let short = TensorViewMut::of(Shape::new(&[1, 3]), &mut memory[2..5]).expect("three elements");
    let mut io = Bindings {
        inputs: vec![view(&[2, 3], &x)],
        outputs: vec![OutputSlot::Into(short)],
    };
    session
        .run(&mut io)
        .expect_err("an output of one row for two");
    assert_eq!(
        memory.map(f32::to_bits)[5..],
        [MARK.to_bits(); 5],
        "nothing is written past a short output"
    );
}

fn lanes_run_side_by_side(subject: &Subject) {
    let engine = subject.engine("conv", CONV);
    let compiled = subject.load(engine.artifact()).expect("loads");
    let mel = ramp(16 * 20);
    let run = |session: &mut dyn Session| {
        run_one(session, view(&[1, 16, 20], &mel), Shape::new(&[1, 1, 80]))
    };
    let mut lanes: Vec<Box<dyn Session>> = (0..2)
        .map(|index| open_at(Placement::Host, &compiled, &Lane::on_host(index)).expect("opens"))
        .collect();
    let expected = run(&mut *lanes[0]).expect("runs");
    thread::scope(|scope| {
        for session in &mut lanes {
            let (run, expected) = (&run, &expected);
            scope.spawn(move || {
                for _ in 0..50 {
                    subject.assert_near(&run(&mut **session).expect("runs"), expected);
                }
            });
        }
    });
}

fn bindings_that_do_not_fit_are_refused(subject: &Subject) {
    let mut session = subject.affine();
    let (x, ids) = (ramp(4), [0i32; 4]);
    let shape = Shape::new(&[2, 2]);
    for (case, input) in [
        ("another type", view(&[2, 2], &ids)),
        ("another rank", view(&[4], &x)),
    ] {
        let error = run_one(&mut *session, input, shape).expect_err(case);
        assert!(matches!(error, RunError::Bindings(_)), "{case}: {error}");
        assert_eq!(error.recovery(), Recovery::Caller, "{case}");
    }
    let error = session
        .run(&mut Bindings::default())
        .expect_err("nothing bound");
    assert!(
        matches!(&error, RunError::Bindings(error) if matches!(**error, BindingsError::Count { .. })),
        "{error}"
    );
    run_one(&mut *session, view(&[2, 2], &x), shape)
        .expect("a refused call leaves the session as it was");
}

fn shapes_that_contradict_each_other_are_the_callers(subject: &Subject) {
    let mut affine = subject.affine();
    let x = ramp(6);
    let error = run_one(&mut *affine, view(&[2, 3], &x), Shape::new(&[3, 2]))
        .expect_err("a transposed output");
    assert_eq!(error.recovery(), Recovery::Caller, "{error}");

    let mut append = subject.session("append", APPEND);
    let (past, new) = (ramp(8), ramp(4));
    let mut joined = Tensor::zeros(DType::F32, Shape::new(&[2, 2, 4]));
    let mut io = Bindings {
        inputs: vec![view(&[2, 1, 4], &past), view(&[1, 1, 4], &new)],
        outputs: vec![OutputSlot::Into(joined.view_mut())],
    };
    let error = append.run(&mut io).expect_err("two batches and one");
    assert_eq!(error.recovery(), Recovery::Caller, "{error}");
}

fn shapes_outside_every_profile_are_for_the_next_link(subject: &Subject) {
    let mut session = subject.affine();
    let x = ramp(65);
    let error = run_one(&mut *session, view(&[1, 65], &x), Shape::new(&[1, 65]))
        .expect_err("64 is the largest");
    assert!(matches!(error, RunError::OutsideProfiles { .. }), "{error}");
    assert_eq!(error.recovery(), Recovery::Call, "{error}");
    run_one(
        &mut *session,
        view(&[1, 64], &x[..64]),
        Shape::new(&[1, 64]),
    )
    .expect("a refused call leaves the session as it was");
}

fn a_run_repeats_to_the_byte(subject: &Subject) {
    let engine = subject.engine("conv", CONV);
    let options = LoadOptions {
        threads: 2,
        device: 0,
    };
    let compiled = subject
        .backend
        .load(engine.artifact(), &options)
        .expect("loads");
    let mut session = open_at(Placement::Host, &compiled, &Lane::on_host(0)).expect("opens");
    let mel = ramp(16 * 64);
    let mut run = || {
        let (input, out) = (view(&[1, 16, 64], &mel), Shape::new(&[1, 1, 256]));
        let wav = run_one(&mut *session, input, out).expect("runs");
        wav.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    let first = run();
    for _ in 0..10 {
        assert_eq!(run(), first);
    }
}

fn an_output_sized_by_its_data_is_allocated(subject: &Subject) {
    let mut session = subject.session("nonzero", NONZERO);
    let mut recycled_tensor = None;
    for x in [vec![0.0, 3.0, 0.0, 5.0, 7.0], vec![1.0], vec![0.0, 0.0]] {
        let expected: Vec<i64> = (0..)
            .zip(&x)
            .filter(|(_, x)| **x != 0.0)
            .map(|(index, _)| index)
            .collect();
        let mut same = vec![0f32; x.len()];
        let out = TensorViewMut::of(Shape::new(&[x.len()]), &mut same).expect("fits");
        let mut io = Bindings {
            inputs: vec![view(&[x.len()], &x)],
            outputs: vec![
                OutputSlot::Alloc(recycled_tensor.take()),
                OutputSlot::Into(out),
            ],
        };
        session.run(&mut io).expect("runs");
        let Some(OutputSlot::Alloc(Some(found))) = io.outputs.drain(..).next() else {
            panic!("nothing was allocated for {x:?}");
        };
        assert_eq!(found.shape().dims(), [1, expected.len()]);
        assert_eq!(found.elements::<i64>().expect("i64"), expected);
        recycled_tensor = Some(found);
        drop(io);
        assert_eq!(same, x, "an output that is an input is copied");
    }
}

fn every_element_type_passes(subject: &Subject) {
    let mut session = subject.session("types", TYPES);
    let ids = [1i32, -2, 3, i32::MAX - 7, 5, 6];
    let half = [f16::from_f32(0.5), f16::from_f32(-3.0)];
    let flag = Tensor::from_bytes(DType::Bool, Shape::new(&[2]), &[1, 0]).expect("two bytes");
    let wide = [i64::MAX, -4];
    let mut outputs = [
        Tensor::zeros(DType::I32, Shape::new(&[2, 3])),
        Tensor::zeros(DType::F16, Shape::new(&[2])),
        Tensor::zeros(DType::Bool, Shape::new(&[2])),
        Tensor::zeros(DType::I64, Shape::new(&[2])),
    ];
    let mut io = Bindings {
        inputs: vec![
            view(&[2, 3], &ids),
            view(&[2], &half),
            flag.view(),
            view(&[2], &wide),
        ],
        outputs: outputs
            .iter_mut()
            .map(|tensor| OutputSlot::Into(tensor.view_mut()))
            .collect(),
    };
    session.run(&mut io).expect("runs");
    assert_eq!(
        outputs[0].elements::<i32>().expect("i32"),
        &[8, 5, 10, i32::MAX, 12, 13]
    );
    assert_eq!(
        outputs[1].elements::<f16>().expect("f16"),
        &[f16::from_f32(1.0), f16::from_f32(-6.0)]
    );
    assert_eq!(outputs[2].bytes(), &[0, 1]);
    assert_eq!(outputs[3].elements::<i64>().expect("i64"), &[-i64::MAX, 4]);
}

/// A dimension of zero is a tensor without elements, in and out; nothing else is special about it.
fn empty_tensors_pass(subject: &Subject) {
    let mut session = subject.session("append", APPEND);
    for (past_rows, new_rows) in [(0, 2), (2, 0), (0, 0)] {
        let (past, new) = (ramp(past_rows * 4), ramp(new_rows * 4));
        let mut joined = Tensor::zeros(DType::F32, Shape::new(&[1, past_rows + new_rows, 4]));
        let mut io = Bindings {
            inputs: vec![
                view(&[1, past_rows, 4], &past),
                view(&[1, new_rows, 4], &new),
            ],
            outputs: vec![OutputSlot::Into(joined.view_mut())],
        };
        session.run(&mut io).expect("runs");
        subject.assert_near(joined.elements().expect("f32"), &[past, new].concat());
    }
}

fn an_engine_computes_what_its_model_does(subject: &Subject) {
    let path = graph_path("conv");
    let direct = match subject.load(Artifact::Onnx(&path)) {
        Ok(direct) => direct,
        Err(LoadError::Unsupported { .. }) => return,
        Err(error) => panic!("{error}"),
    };
    let mut direct = open_at(Placement::Host, &direct, &Lane::on_host(0)).expect("opens");
    let mut compiled = subject.session("conv", CONV);
    assert_eq!(direct.signature(), compiled.signature());
    for frames in [1, 20, 33] {
        let mel = ramp(16 * frames);
        let (input, out) = (
            view(&[1, 16, frames], &mel),
            Shape::new(&[1, 1, 4 * frames]),
        );
        let expected = run_one(&mut *direct, input, out).expect("runs");
        assert!(
            expected.iter().any(|value| value.abs() > 1.0),
            "the graph computes something"
        );
        subject.assert_near(
            &run_one(&mut *compiled, input, out).expect("runs"),
            &expected,
        );
    }
}

fn weights_outside_the_model_end_up_in_the_engine(subject: &Subject) {
    let mut session = subject.session("external", &[("x", [&[1, 16], &[1, 16], &[4, 16]])]);
    let mut one_hot = [0f32; 16];
    one_hot[3] = 1.0;
    let row = run_one(
        &mut *session,
        view(&[1, 16], &one_hot),
        Shape::new(&[1, 16]),
    )
    .expect("runs");
    let weights =
        std::fs::read(graph_path("external").with_extension("onnx.data")).expect("weights");
    let weights =
        Tensor::from_bytes(DType::F32, Shape::new(&[16, 16]), &weights).expect("256 floats");
    subject.assert_near(&row, &weights.elements::<f32>().expect("f32")[48..64]);
}

fn a_damaged_engine_is_refused(subject: &Subject) {
    let engine = subject.engine("conv", CONV);
    let whole = std::fs::read(&engine.path).expect("engine");
    let garbage: Vec<u8> = (0..4096u32)
        .map(|index| index.wrapping_mul(2_654_435_761).to_le_bytes()[3])
        .collect();
    for (case, bytes) in [
        ("half", &whole[..whole.len() / 2]),
        ("one byte short", &whole[..whole.len() - 1]),
        ("a few bytes", &whole[..10]),
        ("empty", &[][..]),
        ("garbage", &garbage),
        ("text", b"not an engine"),
    ] {
        std::fs::write(&engine.path, bytes).expect("writes");
        let error = subject.load(engine.artifact()).expect_err(case);
        assert!(
            matches!(
                error,
                LoadError::Refused { .. } | LoadError::Signature { .. }
            ),
            "{case}: {error}"
        );
    }
    std::fs::remove_file(&engine.path).expect("removes");
    let error = subject.load(engine.artifact()).expect_err("missing");
    assert!(matches!(error, LoadError::File { .. }), "{error}");
}

fn a_build_can_be_stopped(subject: &Subject) {
    let ranges = [("x", [&[1][..], &[2], &[4]])];
    for at in [1, 2] {
        let asked = AtomicU32::new(0);
        let stop = |_: &Step<'_>| match asked.fetch_add(1, Ordering::Relaxed) + 1 {
            time if time < at => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        };
        let stopped = subject.compile("slow", &ranges, &stop);
        let error = stopped
            .err()
            .expect("the build takes longer than it was given");
        assert!(
            matches!(error, CompileError::Cancelled(GraphId::Llm)),
            "{error}"
        );
    }
}
