//! What a build does on the host: keys, and rewriting a graph to FP16.

use cvtrt::cache::{EngineKey, KeyInputs};
use cvtrt::ids::{BackendId, Digest, Fingerprint, GraphId, Precision};
use cvtrt::onnx::{ModelFile, NoEvaluator, Rewrite, RewrittenOnnx};
use cvtrt::profile::{CompileOptions, Shelf};
use divan::Bencher;
use std::path::Path;

fn main() {
    divan::main();
}

#[divan::bench]
fn key_of_the_llm(bencher: Bencher<'_, '_>) {
    let profile = Shelf::ready_made()
        .find("default")
        .expect("ready-made")
        .profile;
    let inputs = KeyInputs {
        graph: GraphId::Llm,
        model: Digest::of(b"model"),
        recipe: Fingerprint::default().with("half", 1),
        precision: Precision::Fp16,
        shapes: profile.graphs[&GraphId::Llm].shapes.clone(),
        options: CompileOptions::default(),
        backend: BackendId::TensorRtRtx,
        fingerprint: Fingerprint::default().with("library", "1.7.1"),
        host: KeyInputs::this_host(),
    };
    bencher.bench(|| EngineKey::of(divan::black_box(&inputs)));
}

#[divan::bench(args = ["llm", "flow_estimator", "hift_decode"])]
fn fp16_rewrite(bencher: Bencher<'_, '_>, graph: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("onnx/cosyvoice2-tiny");
    let file =
        ModelFile::open(&folder.join(format!("{graph}.onnx"))).expect("the committed bundle");
    bencher.bench(|| {
        RewrittenOnnx::of(&file, Precision::Fp16, &Rewrite::default(), &NoEvaluator)
            .expect("rewrites")
    });
}
