//! Small bundles for the tests of this room.

use super::check::{MANIFEST_FILE, TABLES_FILE};
use super::manifest::Manifest;
use super::voice::{EMBEDDING_WIDTH, Voice};
use crate::ids::Digest;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// H = 4, eight text ids, six speech ids, two mel bins; graphs without content.
const MANIFEST: &str = "
format: 1
name: small
family: cosyvoice2
description: for tests
source: { revision: r1, digest: 0000000000000000000000000000000000000000000000000000000000000000 }
sample_rate: 24000
token_rate: 25
frames_per_token: 2
samples_per_frame: 480
mel_bins: 2
modes: [sft, zero_shot]
lacks: { vc: no speech tokenizer }
llm:
  layers: 1
  hidden: 4
  kv_heads: 1
  head_dim: 4
  kv_dtype: f32
  head_rows: 9
  speech_vocab: 6
  eos: 6
  fill: 8
  stop: [6, 8]
  max_positions: 64
sampling: { top_p: 0.8, top_k: 25, window: 10, tau: 0.1, min_ratio: 2, max_ratio: 20 }
flow: { steps: 10, guidance: 0.7, look_ahead: 3, chunk_tokens: 25, noise: fixed, max_tokens: 64 }
hift: { harmonics: 9, sine_amplitude: 0.1, noise_std: 0.003, voiced_threshold_hz: 10, audio_limit: 0.99, sine: interpolated }
tokenizer: { file: tokenizer.json, endofprompt: 7 }
graphs:
  llm: { file: llm.onnx, data: [llm.onnx.data] }
  flow_encoder: { file: flow_encoder.onnx }
  flow_estimator: { file: flow_estimator.onnx }
  hift_f0: { file: hift_f0.onnx }
  hift_decode: { file: hift_decode.onnx }
files:
";

/// The manifest's text, with the given files listed.
pub(super) fn manifest_text(files: &BTreeMap<String, Vec<u8>>) -> String {
    let listed = files.iter().map(|(name, content)| {
        let (bytes, sha256) = (content.len(), Digest::of(content));
        format!("  {name}: {{ bytes: {bytes}, sha256: {sha256} }}\n")
    });
    MANIFEST.to_owned() + &listed.collect::<String>()
}

/// A manifest that passes every check.
pub(super) fn manifest() -> Manifest {
    Manifest::parse(&manifest_text(&files())).expect("the fixture is sound")
}

/// A voice of that bundle.
pub(super) fn voice() -> Voice {
    Voice {
        name: "one".to_owned(),
        prompt_token: vec![0, 5, 3],
        prompt_mel: (0..12_u8).map(|i| f32::from(i) / 4.0 - 1.0).collect(),
        embedding: vec![0.5; EMBEDDING_WIDTH],
        transcript: Some("先生 said \"hi\"".to_owned()),
    }
}

/// Every file of that bundle but the manifest.
pub(super) fn files() -> BTreeMap<String, Vec<u8>> {
    let mut files: BTreeMap<String, Vec<u8>> = [
        "llm.onnx",
        "llm.onnx.data",
        "flow_encoder.onnx",
        "flow_estimator.onnx",
        "hift_f0.onnx",
        "hift_decode.onnx",
        "tokenizer.json",
    ]
    .into_iter()
    .map(|name| (name.to_owned(), format!("content of {name}").into_bytes()))
    .collect();
    files.insert(TABLES_FILE.to_owned(), tables());
    files.insert("voices/one.safetensors".to_owned(), voice_bytes());
    files
}

/// `tables.safetensors` of that bundle; row r of a table holds r, r + 0.25, r + 0.5, r + 0.75, text rows as f16.
pub(super) fn tables() -> Vec<u8> {
    let row = |row: u8| [0.0, 0.25, 0.5, 0.75].map(|part| f32::from(row) + part);
    let singles =
        |rows: u8| -> Vec<u8> { (0..rows).flat_map(row).flat_map(f32::to_le_bytes).collect() };
    let halves = |rows: u8| -> Vec<u8> {
        let values = (0..rows).flat_map(row).map(half::f16::from_f32);
        values.flat_map(half::f16::to_le_bytes).collect()
    };
    safetensors_file(&[
        ("text_embedding", Dtype::F16, &[8, 4], halves(8)),
        ("speech_embedding", Dtype::F32, &[9, 4], singles(9)),
        ("marks", Dtype::F32, &[2, 4], singles(2)),
        ("source_weight", Dtype::F32, &[9], singles(3)[..36].to_vec()),
        (
            "source_bias",
            Dtype::F32,
            &[1],
            0.125_f32.to_le_bytes().to_vec(),
        ),
    ])
}

pub(super) fn safetensors_file(tensors: &[(&str, Dtype, &[usize], Vec<u8>)]) -> Vec<u8> {
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        let view =
            TensorView::new(*dtype, shape.to_vec(), bytes).expect("the bytes fill the shape");
        (*name, view)
    });
    safetensors::serialize(views, None).expect("serialises")
}

/// A safetensors file with this header and data, sound or not.
pub(super) fn safetensors_raw(header: &str, data: &[u8]) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(data);
    file
}

/// Writes that bundle.
pub(super) fn write(dir: &Path) {
    let files = files();
    for (name, content) in &files {
        write_file(&dir.join(name), content);
    }
    write_file(&dir.join(MANIFEST_FILE), manifest_text(&files).as_bytes());
}

/// Writes a file and makes it look an hour old.
pub(super) fn write_file(path: &Path, content: &[u8]) {
    std::fs::create_dir_all(path.parent().expect("a file has a folder")).expect("folder");
    std::fs::write(path, content).expect("written");
    set_age(path, Duration::from_hours(1));
}

pub(super) fn set_age(path: &Path, age: Duration) {
    let file = std::fs::File::options()
        .append(true)
        .open(path)
        .expect("opens");
    file.set_modified(SystemTime::now() - age)
        .expect("sets its time");
}

/// Damaged copies of a file: cut at many places, grown, single bits flipped.
pub(super) fn damaged(whole: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let step = whole.len() / 400 + 1;
    let places = move || {
        (0..whole.len())
            .take(200)
            .chain((200..whole.len()).step_by(step))
    };
    let cut = places().map(|end| whole[..end].to_vec());
    let grown = [1, 7, 4096]
        .into_iter()
        .map(move |more| [whole, &vec![0; more][..]].concat());
    let flipped = places().flat_map(move |at| {
        [0x01, 0x10, 0x80].map(|bit| {
            let mut copy = whole.to_vec();
            copy[at] ^= bit;
            copy
        })
    });
    cut.chain(grown).chain(flipped)
}

fn voice_bytes() -> Vec<u8> {
    let without_files = format!("{} {{}}", MANIFEST.trim_end());
    let dimensions: Manifest = crate::yaml::parse(&without_files).expect("the fixture is YAML");
    voice().to_bytes(&dimensions).expect("the voice fits")
}
