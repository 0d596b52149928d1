//! Numpy archives, recordings, and what `run`, `compare` and `parity` are asked for.

use super::{Case, line};
use crate::place::Place;
use cvtrt::tensor::{DType, Shape, Tensor, write_npz};
use cvtrt::testkit::{data_path, graph_path};
use std::fs;
use std::io::Write as _;

/// Command line with the graph `affine` as `#`, and what the message must name.
const LINES: &[(&[&str], &str)] = &[
    (&["run"], "<GRAPH>"),
    (&["run", "#"], "--inputs"),
    (&["run", "nonsense", "--random"], "nonsense"),
    (&["run", "nothing.onnx", "--random"], "nothing.onnx"),
    (
        &["run", "text_encoder", "--bundle", "@", "--random"],
        "text_encoder",
    ),
    (
        &["run", "llm", "--bundle", "no/such", "--random"],
        "no/such",
    ),
    (&["run", "#", "--random", "--backend", "cuda"], "--backend"),
    (
        &["run", "#", "--random", "--backend", "ort-cpu-fp16"],
        "--backend",
    ),
    (
        &[
            "run",
            "#",
            "--random",
            "--sizes",
            "batch=1,frames=1",
            "--backend",
            "ort-cuda-fp16",
        ],
        "affine.onnx",
    ),
    (&["run", "#", "--random", "0"], "--random"),
    (&["run", "#", "--random", "--repeat", "0"], "--repeat"),
    (&["run", "#", "--random", "--sizes", "batch"], "--sizes"),
    (&["run", "#", "--random", "--sizes", "rows=2"], "rows"),
    (&["run", "#", "--random", "--sizes", "batch=-1"], "batch"),
    (&["run", "#", "--inputs", "no/such.npz"], "no/such.npz"),
    (&["run", "#", "--inputs", "a.npz", "--random"], "--random"),
    (&["compare", "#", "--random"], "--backends"),
    (
        &["compare", "#", "--random", "--backends", "ort-cpu"],
        "--backends",
    ),
    (
        &["compare", "#", "--random", "--backends", "ort-cpu,cuda"],
        "cuda",
    ),
    (
        &[
            "compare",
            "#",
            "--random",
            "--backends",
            "ort-cpu,ort-cpu",
            "--atol=-1",
        ],
        "--atol",
    ),
    (
        &[
            "compare",
            "#",
            "--random",
            "--backends",
            "ort-cpu,ort-cpu",
            "--rtol",
            "x",
        ],
        "--rtol",
    ),
    (&["parity"], "--golden"),
    (
        &["parity", "--bundle", "@", "--golden", "no/such"],
        "no/such",
    ),
    (&["parity", "--bundle", "@", "--golden", "."], "--golden"),
    (
        &["parity", "--bundle", "no/such", "--golden", "$"],
        "no/such",
    ),
    (
        &["parity", "--bundle", "@", "--golden", "$", "--tier", "gpu"],
        "--tier",
    ),
    (
        &[
            "parity",
            "--bundle",
            "@",
            "--golden",
            "$",
            "--backend",
            "gpu",
        ],
        "--backend",
    ),
    (&["profiles"], "profiles"),
    (&["profiles", "show"], "<NAME>"),
    (&["profiles", "show", "nope"], "nope"),
    (&["profiles", "show", "no/such.yaml"], "no/such.yaml"),
];

/// Content of an `.npz` file that is none.
const NOT_NPZ: &[(&str, &[u8])] = &[
    ("empty", b""),
    ("text", b"not an archive"),
    ("zip head", b"PK\x03\x04"),
    ("zeros", &[0; 64]),
];

/// Headers of a member, each wrong in its own way.
const HEADERS: &[(&str, &str)] = &[
    (
        "a shape beyond memory",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296, 4294967296), }",
    ),
    (
        "more values than it has",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000,), }",
    ),
    (
        "fewer values than it has",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (), }",
    ),
    (
        "doubles",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }",
    ),
    (
        "big-endian floats",
        "{'descr': '>f4', 'fortran_order': False, 'shape': (4,), }",
    ),
    (
        "objects",
        "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }",
    ),
    (
        "columns first",
        "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }",
    ),
    (
        "nine dimensions",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1, 1, 1, 1, 4), }",
    ),
    ("no shape", "{'descr': '<f4', 'fortran_order': False, }"),
    ("no dictionary", "[1, 2]"),
];

pub(super) fn cases() -> Vec<Case> {
    let lines = LINES
        .iter()
        .map(|&(words, named)| Case::new(words.join(" "), named, move |_| filled(words)));
    let mut cases: Vec<Case> = lines.collect();
    for &(name, bytes) in NOT_NPZ {
        cases.push(Case::new(format!("npz {name}"), "in.npz", move |place| {
            place.write("in.npz", bytes);
            filled(RUN)
        }));
        cases.push(Case::new(
            format!("golden {name}"),
            "sampling.npz",
            move |place| {
                place.write("golden/sampling.npz", bytes);
                filled(PARITY)
            },
        ));
    }
    for &(name, header) in HEADERS {
        cases.push(Case::new(
            format!("npz with {name}"),
            "in.npz",
            move |place| {
                place.write("in.npz", archive(header));
                filled(RUN)
            },
        ));
    }
    cases.extend(misfits());
    cases.extend(recordings());
    cases
}

const RUN: &[&str] = &["run", "#", "--inputs", "in.npz"];
const PARITY: &[&str] = &[
    "parity",
    "--bundle",
    "@",
    "--golden",
    "golden",
    "--profile",
    "cpu",
];

/// A command line where `#` is the graph `affine`, `$` the folder of recordings, `@` the bundle.
fn filled(words: &[&str]) -> Vec<std::ffi::OsString> {
    let mut filled = line(words);
    for (word, filled) in words.iter().zip(&mut filled) {
        match *word {
            "#" => *filled = graph_path("affine").into(),
            "$" => *filled = data_path("goldens/frontend").into(),
            _ => {}
        }
    }
    filled
}

/// Tensors that the graph `affine` does not take, and what the message must name.
fn misfits() -> Vec<Case> {
    let misfits: [(&str, DType, &[usize], &str); 5] = [
        ("y", DType::F32, &[2, 2], "`y` is no input"),
        (
            "x",
            DType::I64,
            &[2, 2],
            "`x f32 [batch, frames]` was given as i64",
        ),
        (
            "x",
            DType::F16,
            &[2, 2],
            "`x f32 [batch, frames]` was given as f16",
        ),
        ("x", DType::F32, &[4], "was given as f32 [4]"),
        ("x", DType::F32, &[1, 2, 2], "was given as f32 [1, 2, 2]"),
    ];
    let case =
        |(name, dtype, dims, named): (&'static str, DType, &'static [usize], &'static str)| {
            Case::new(format!("{name} as {dtype} {dims:?}"), named, move |place| {
                let tensor = Tensor::zeros(dtype, Shape::new(dims));
                write_npz(&place.path("in.npz"), [(name, &tensor)]).expect("written");
                filled(RUN)
            })
        };
    let mut cases: Vec<Case> = misfits.into_iter().map(case).collect();
    cases.push(Case::new(
        "no tensor at all",
        "`x f32 [batch, frames]` is missing",
        |place| {
            write_npz(&place.path("in.npz"), []).expect("written");
            filled(RUN)
        },
    ));
    cases
}

/// Recordings whose arrays are not what the format says.
fn recordings() -> Vec<Case> {
    let put = |place: &Place, name: &str, tensors: &[(&str, Tensor)]| {
        fs::create_dir(place.path("golden")).expect("a folder");
        let tensors = tensors.iter().map(|(name, tensor)| (*name, tensor));
        write_npz(&place.path("golden").join(name), tensors).expect("written");
    };
    let floats = |dims: &[usize]| Tensor::zeros(DType::F32, Shape::new(dims));
    vec![
        Case::new("a draw without uniforms", "`0.history`", move |place| {
            put(place, "sampling.npz", &[("0.logp", floats(&[8]))]);
            filled(PARITY)
        }),
        Case::new("ids as floats", "`0.history`", move |place| {
            let arrays = [("0.logp", floats(&[8])), ("0.history", floats(&[8]))];
            put(place, "sampling.npz", &arrays);
            filled(PARITY)
        }),
        Case::new("a clip of bytes", "`c.pcm`", move |place| {
            let pcm = Tensor::zeros(DType::U8, Shape::new(&[9]));
            put(place, "frontend_audio.npz", &[("c.pcm", pcm)]);
            filled(PARITY)
        }),
        Case::new("texts that are no JSON", "text.json", |place| {
            place.write("golden/text.json", "{\"cases\": [");
            filled(PARITY)
        }),
        Case::new("texts without a field", "text.json", |place| {
            place.write("golden/text.json", "{\"cases\": [{\"id\": \"a\"}]}");
            filled(PARITY)
        }),
    ]
}

/// An archive of one member `x` with four floats under a header of its own.
fn archive(header: &str) -> Vec<u8> {
    let mut member = b"\x93NUMPY\x01\x00".to_vec();
    let length = u16::try_from(header.len() + 1).expect("short");
    member.extend(length.to_le_bytes());
    member.extend(header.as_bytes());
    member.push(b'\n');
    member.extend([0; 16]);
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    archive
        .start_file("x.npy", zip::write::FileOptions::default())
        .expect("a member");
    archive.write_all(&member).expect("written");
    archive.finish().expect("an archive").into_inner()
}
