//! `golden_e2e*.npz`: speech tokens to waveform through the synthesiser.

use super::error::{CaseError, ParityError};
use super::gate::{Arithmetic, Gate, Quantity};
use super::golden::Golden;
use super::noise::CountedNoise;
use super::report::Rows;
use super::{Subject, flow, opened};
use crate::bundle::Voice;
use crate::frontend::audio::{PromptMelSpec, prompt_mel};
use crate::ids::GraphId;
use crate::pipeline::{FlowCall, FlowStage, OpenError, SpeechError, Synthesizer};
use crate::tensor::{DType, Shape, Tensor};

pub(super) const GRAPHS: &[GraphId] = &[
    GraphId::Llm,
    GraphId::FlowEncoder,
    GraphId::FlowEstimator,
    GraphId::HiftF0,
    GraphId::HiftDecode,
];

/// What of [`GRAPHS`] runs where the tokens are given.
const SOUNDING: &[GraphId] = &[
    GraphId::FlowEncoder,
    GraphId::FlowEstimator,
    GraphId::HiftF0,
    GraphId::HiftDecode,
];

pub(super) fn replay(
    golden: &Golden,
    subject: &Subject<'_>,
    rows: &mut Rows<'_>,
) -> Result<(), ParityError> {
    let (mut synthesizer, mut flow) = match opened(open(subject))? {
        Ok(stages) => stages,
        Err(reason) => {
            rows.leave_all(golden, &reason);
            return Ok(());
        }
    };
    let outcome = mel(golden, subject, &mut flow, rows);
    rows.settle("full.mel", outcome)?;
    let outcome = wav(golden, subject, &mut synthesizer, rows);
    rows.settle("full.wav", outcome)?;
    // How upstream divided the one shot.
    golden.known(&[
        "full.chunk_samples",
        "full.flow_tokens",
        "full.flow_streaming",
        "full.flow_finalize",
    ]);
    rows.leave(golden, |case| {
        (case == "stream.*")
            .then_some("speech that is heard while it is made is not in this version")
    });
    Ok(())
}

fn open(subject: &Subject<'_>) -> Result<(Synthesizer, FlowStage), OpenError> {
    let synthesizer = Synthesizer::open(subject.bundle, subject.graphs, subject.lane)?;
    Ok((synthesizer, flow::open(subject)?))
}

/// Judges a waveform whose source is the pipeline's own: as it is, or in reduced arithmetic by its log-mel.
pub(super) fn judge_wav(
    case: &str,
    got: &[f32],
    want: &Tensor,
    subject: &Subject<'_>,
    graphs: &[GraphId],
    rows: &mut Rows<'_>,
) {
    let arithmetic = subject.arithmetic(graphs);
    let gate: Gate = Quantity::WavOwnSource.gate(arithmetic);
    if arithmetic == Arithmetic::Exact {
        rows.judge(case, gate, got, want);
        return;
    }
    let spec = PromptMelSpec::of(subject.bundle.manifest());
    let want = want.elements::<f32>().unwrap_or_default();
    match (prompt_mel(got, &spec), prompt_mel(want, &spec)) {
        (Ok(got), Ok(want)) => {
            let got = got.elements().expect("mels are f32");
            rows.judge(&format!("log-mel of {case}"), gate, got, &want);
        }
        (Err(error), _) | (_, Err(error)) => rows.fail(case, &error),
    }
}

fn mel(
    golden: &Golden,
    subject: &Subject<'_>,
    flow: &mut FlowStage,
    rows: &mut Rows<'_>,
) -> Result<(), CaseError> {
    let manifest = subject.bundle.manifest();
    let call = FlowCall {
        tokens: golden.elements("token")?,
        ..flow::call(golden, manifest)?
    };
    let mut solve = flow.new_solve().map_err(SpeechError::from)?;
    flow.encode(&call, &mut solve)?;
    for step in 0..flow.steps() {
        flow.step(&mut solve, step)?;
    }
    solve.check()?;
    let mut mel = Tensor::zeros(DType::F32, Shape::new(&[1, manifest.mel_bins, 0]));
    solve.read_mel(0, &mut mel)?;
    let gate = Quantity::Mel.gate(subject.arithmetic(flow::GRAPHS));
    rows.compare(
        golden,
        "full.mel",
        gate,
        mel.elements().expect("mels are f32"),
    );
    Ok(())
}

fn wav(
    golden: &Golden,
    subject: &Subject<'_>,
    synthesizer: &mut Synthesizer,
    rows: &mut Rows<'_>,
) -> Result<(), CaseError> {
    let call = flow::call(golden, subject.bundle.manifest())?;
    let voice = Voice {
        name: "recorded".to_owned(),
        prompt_token: call.prompt_tokens.to_vec(),
        prompt_mel: call.prompt_mel.to_vec(),
        embedding: call.embedding.to_vec(),
        transcript: None,
    };
    let bases = golden.elements::<i64>("noise_base")?;
    let mut noise = CountedNoise::of_call(bases.first().copied().unwrap_or_default(), 0);
    let tokens = golden.elements::<i32>("token")?.to_vec();
    let speech = synthesizer.speak_tokens(tokens, &voice, 1.0, &mut noise)?;
    let want = golden.tensor("full.wav")?;
    judge_wav("full.wav", &speech.pcm, want, subject, SOUNDING, rows);
    Ok(())
}
