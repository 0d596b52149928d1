use super::super::builder::{Attribute, GraphBuilder, tensor};
use super::super::error::TensorFault;
use super::*;
use crate::ids::Axis;
use crate::ids::Precision;
use crate::onnx::{Graph, NoEvaluator, Rewrite, RewrittenOnnx, Summary, check};
use crate::tensor::{DType, Dim};
use proptest::prelude::*;
use std::fs;
use tempfile::TempDir;

fn small() -> GraphBuilder {
    let threshold = Attribute::Tensor(tensor("", &[], &[-6e4f32]));
    GraphBuilder::new()
        .input("x", DType::F32, &["1", "80", "480*frames+16"])
        .constant("w", &[80, 80], &vec![0.5f32; 6400])
        .node_with("Constant", &[], &["low"], &[("value", threshold)])
        .node("MatMul", &["w", "x"], &["h"])
        .node("Max", &["h", "low"], &["y"])
        .output("y", DType::F32, &["1", "80", "480*frames+16"])
}

/// Everything that reads a model, on bytes that may be anything.
fn exercise(bytes: Vec<u8>) {
    let Ok(file) = ModelFile::from_bytes("any.onnx", bytes.into()) else {
        return;
    };
    let _ = Summary::of(&file).to_string();
    let _ = file.signature();
    let _ = check(file.model(), Precision::Bf16, crate::ids::BackendId::ALL);
    for precision in Precision::ALL {
        let _ = RewrittenOnnx::of(&file, *precision, &Rewrite::default(), &NoEvaluator);
    }
}

#[test]
fn a_file_gives_its_signature() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("small.onnx");
    fs::write(&path, small().encode()).expect("written");
    let file = ModelFile::open(&path).expect("a model");
    let signature = file.signature().expect("plain tensors");
    assert_eq!(
        signature.inputs[0].to_string(),
        "x f32 [1, 80, 480*frames+16]"
    );
    assert_eq!(
        signature.inputs[0].dims[2],
        Dim::Axis {
            axis: Axis::Frames,
            factor: 480,
            offset: 16
        }
    );
    assert_eq!(file.model(), small().model());
}

#[test]
fn raw_data_is_not_copied() {
    let file = small().read();
    let raw = file.graph().initializer[0].raw_data.as_ref().expect("raw");
    let whole = file.bytes().as_ptr_range();
    assert!(whole.contains(&raw.as_ptr()));
    let graph = Graph::of(&file);
    let shared = graph.proto().initializer[0].raw_data.as_ref();
    assert_eq!(shared.map(|raw| raw.as_ptr()), Some(raw.as_ptr()));
}

#[test]
fn what_is_no_model_is_refused() {
    let open = |bytes: &[u8]| ModelFile::from_bytes("bad.onnx", bytes.to_vec().into());
    assert!(matches!(open(b""), Err(OnnxError::NoGraph { .. })));
    let pointer = b"version https://git-lfs.github.com/spec/v1\n";
    assert!(matches!(open(pointer), Err(OnnxError::Decode { .. })));
    let missing = ModelFile::open(Path::new("nowhere/missing.onnx")).expect_err("no such file");
    assert!(missing.to_string().contains("missing.onnx"), "{missing}");
    let folder = TempDir::new().expect("a folder");
    let error = ModelFile::open(folder.path()).expect_err("a folder is no model");
    assert!(matches!(error, OnnxError::Read { .. }), "{error:?}");
}

#[test]
fn deep_nesting_is_refused() {
    let mut builder = GraphBuilder::new();
    for depth in 0..60 {
        let inner = builder.graph().clone();
        let attributes = [("body", Attribute::Graph(inner))];
        builder = GraphBuilder::new().node_with("If", &[], &[&format!("v{depth}")], &attributes);
    }
    let result = ModelFile::from_bytes("deep.onnx", builder.encode().into());
    assert!(
        matches!(result, Err(OnnxError::Decode { .. })),
        "{result:?}"
    );
}

#[test]
fn truncations_and_flipped_bits_do_no_harm() {
    let bytes = small().encode();
    // The weights are one run of bytes; what stands around them is the structure.
    let structure = (0..bytes.len()).filter(|at| *at < 200 || *at + 500 > bytes.len());
    for at in structure {
        exercise(bytes[..at].to_vec());
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            exercise(flipped);
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        exercise(bytes);
    }

    #[test]
    fn any_graph_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..127)) {
        let mut model = vec![0x3a, u8::try_from(bytes.len()).expect("short")];
        model.extend(bytes);
        exercise(model);
    }
}

fn external(location: &str, offset: u64, length: u64) -> GraphBuilder {
    GraphBuilder::new()
        .external_constant("w", &[4], location, offset, length)
        .node("Relu", &["w"], &["y"])
        .output("y", DType::F32, &["4"])
}

#[test]
fn external_data_is_mapped_and_converted() {
    let folder = TempDir::new().expect("a folder");
    let data: Vec<u8> = [9f32, 1.0, 2.0, 3.0, 4.0]
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    fs::write(folder.path().join("m.onnx.data"), data).expect("written");
    let path = folder.path().join("m.onnx");
    fs::write(&path, external("m.onnx.data", 4, 16).encode()).expect("written");
    let file = ModelFile::open(&path).expect("a model");
    assert_eq!(
        file.external().files().collect::<Vec<_>>(),
        [("m.onnx.data", 20)]
    );

    let as_is = RewrittenOnnx::of(&file, Precision::Fp32, &Rewrite::default(), &NoEvaluator)
        .expect("no passes");
    assert_eq!(as_is.bytes, file.bytes());
    assert_eq!(as_is.external_folder.as_deref(), Some(folder.path()));

    let half = RewrittenOnnx::of(&file, Precision::Fp16, &Rewrite::default(), &NoEvaluator)
        .expect("converts");
    assert_eq!(half.external_folder, None);
    let half = ModelFile::from_bytes("half.onnx", half.bytes).expect("own output");
    let raw = half.graph().initializer[0]
        .raw_data
        .clone()
        .expect("inline");
    let expected: Vec<u8> = [1f32, 2.0, 3.0, 4.0]
        .iter()
        .flat_map(|&x| half::f16::from_f32(x).to_le_bytes())
        .collect();
    assert_eq!(raw, expected);
}

#[test]
fn external_data_outside_its_bounds_is_refused() {
    let outer = TempDir::new().expect("a folder");
    let folder = outer.path().join("model");
    fs::create_dir(&folder).expect("made");
    fs::write(outer.path().join("secret"), [0; 64]).expect("written");
    fs::write(folder.join("data"), [0; 64]).expect("written");
    #[cfg(unix)]
    std::os::unix::fs::symlink(outer.path().join("secret"), folder.join("link")).expect("linked");
    let path = folder.join("m.onnx");
    let open = |location: &str, offset, length| {
        fs::write(&path, external(location, offset, length).encode()).expect("written");
        match ModelFile::open(&path) {
            Err(OnnxError::Tensor { tensor, fault, .. }) => {
                assert_eq!(tensor, "w");
                fault
            }
            other => panic!("{location} {offset} {length}: {other:?}"),
        }
    };
    let absolute = outer.path().join("secret");
    let absolute = absolute.to_str().expect("plain path");
    for location in [
        "../secret",
        "./../secret",
        "data/../../secret",
        absolute,
        "link",
    ] {
        let fault = open(location, 0, 16);
        assert!(
            matches!(fault, TensorFault::Escape(_)),
            "{location}: {fault}"
        );
    }
    for (offset, length) in [(60, 16), (0, 65), (u64::MAX, 16), (65, 0)] {
        let fault = open("data", offset, length);
        assert!(
            matches!(fault, TensorFault::Bounds { .. }),
            "{offset} {length}: {fault}"
        );
    }
    assert!(matches!(open(".", 0, 16), TensorFault::Entry("location")));

    let from_memory = ModelFile::from_bytes("m.onnx", external("data", 0, 16).encode().into());
    assert!(matches!(
        from_memory,
        Err(OnnxError::Tensor {
            fault: TensorFault::NoFolder(_),
            ..
        })
    ));
}
