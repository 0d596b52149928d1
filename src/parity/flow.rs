//! `golden_flow*.npz`: tokens to mel, one shot and under chunk masks.

use super::error::{CaseError, GoldenError, ParityError};
use super::gate::{Arithmetic, Quantity};
use super::golden::Golden;
use super::report::Rows;
use super::{Subject, opened};
use crate::bundle::{EMBEDDING_WIDTH, Manifest};
use crate::ids::GraphId;
use crate::pipeline::{
    Attention, FixedNoise, FlowCall, FlowStage, OpenError, SpeechError, check_family, check_speed,
    stretch,
};
use crate::tensor::{DType, Shape, Tensor};

pub(super) const GRAPHS: &[GraphId] = &[GraphId::FlowEncoder, GraphId::FlowEstimator];

pub(super) fn replay(
    golden: &Golden,
    subject: &Subject<'_>,
    rows: &mut Rows<'_>,
) -> Result<(), ParityError> {
    let manifest = subject.bundle.manifest();
    fixed_noise(golden, manifest, rows)?;
    stretched(golden, manifest, rows)?;
    let mut flow = match opened(open(subject))? {
        Ok(flow) => flow,
        Err(reason) => {
            rows.leave_all(golden, &reason);
            return Ok(());
        }
    };
    let mut replay = Replay {
        golden,
        manifest,
        arithmetic: subject.arithmetic(GRAPHS),
        rows,
    };
    for run in golden.cases(".mu") {
        let Some((finalize, attention)) = kind(&run) else {
            continue;
        };
        let outcome = replay.run(&mut flow, &run, finalize, attention);
        replay.rows.settle(&format!("{run}.mel"), outcome)?;
    }
    rows.leave(golden, |case| {
        case.ends_with(".encoder_out")
            .then_some("stays inside the graph `flow_encoder`")
    });
    Ok(())
}

/// Opens the stage.
pub(super) fn open(subject: &Subject<'_>) -> Result<FlowStage, OpenError> {
    let manifest = subject.bundle.manifest();
    check_family(manifest.family)?;
    let graph = |graph| {
        let loaded = subject.graphs.get(&graph);
        loaded.ok_or(OpenError::MissingGraph(graph))
    };
    let encoder = &graph(GraphId::FlowEncoder)?.compiled;
    let estimator = &graph(GraphId::FlowEstimator)?.compiled;
    FlowStage::open(encoder, estimator, subject.lane, manifest, EMBEDDING_WIDTH)
}

/// The voice of a recording, without tokens to say.
pub(super) fn call<'a>(
    golden: &'a Golden,
    manifest: &Manifest,
) -> Result<FlowCall<'a>, GoldenError> {
    let prompt_tokens = golden.elements::<i32>("prompt_token")?;
    let frames = manifest.frames_of_tokens(prompt_tokens.len());
    Ok(FlowCall {
        prompt_tokens,
        tokens: &[],
        prompt_mel: golden.counted("prompt_feat", frames * manifest.mel_bins)?,
        embedding: golden.counted("embedding", EMBEDDING_WIDTH)?,
        finalize: true,
        attention: Attention::Full,
    })
}

/// Whether a run is the last call for its tokens, and how far its frames see.
fn kind(run: &str) -> Option<(bool, Attention)> {
    match run {
        "full" => Some((true, Attention::Full)),
        "last_streaming" => Some((true, Attention::Chunked)),
        _ if run.starts_with("chunk") => Some((false, Attention::Chunked)),
        _ => None,
    }
}

struct Replay<'a, 'r> {
    golden: &'a Golden,
    manifest: &'a Manifest,
    arithmetic: Arithmetic,
    rows: &'a mut Rows<'r>,
}

impl Replay<'_, '_> {
    fn run(
        &mut self,
        flow: &mut FlowStage,
        run: &str,
        finalize: bool,
        attention: Attention,
    ) -> Result<(), CaseError> {
        let call = FlowCall {
            tokens: self.tokens(run, finalize)?,
            finalize,
            attention,
            ..call(self.golden, self.manifest)?
        };
        let mut solve = flow.new_solve().map_err(SpeechError::from)?;
        flow.encode(&call, &mut solve)?;
        let times = flow.times();
        self.near(run, "mu", Quantity::Velocity, &solve.mu()?);
        self.near(run, "spks", Quantity::Velocity, &solve.spks()?);
        self.near(run, "z", Quantity::SolverInput, &solve.sample()?);
        self.near(run, "cond", Quantity::SolverInput, &solve.cond()?);
        self.near(run, "t_span", Quantity::SolverInput, times);
        self.near(run, "step_t", Quantity::SolverInput, &times[..flow.steps()]);
        for step in 0..flow.steps() {
            self.near(
                run,
                &format!("est{step}.x"),
                Quantity::Mel,
                &solve.samples()?,
            );
            self.near(
                run,
                &format!("est{step}.t"),
                Quantity::SolverInput,
                &[flow.times()[step]; 2],
            );
            flow.step(&mut solve, step)?;
            self.near(
                run,
                &format!("est{step}.out"),
                Quantity::Velocity,
                &solve.velocity()?,
            );
        }
        solve.check()?;
        let mut mel = Tensor::zeros(DType::F32, Shape::new(&[1, self.manifest.mel_bins, 0]));
        solve.read_mel(0, &mut mel)?;
        self.near(
            run,
            "mel",
            Quantity::Mel,
            mel.elements().expect("mels are f32"),
        );
        // The estimator's other inputs are those compared above, once per row of guidance.
        for step in 0..flow.steps() {
            for input in ["mask", "mu", "spks", "cond"] {
                self.golden.known(&[&format!("{run}.est{step}.{input}")]);
            }
        }
        Ok(())
    }

    fn near(&mut self, run: &str, array: &str, quantity: Quantity, got: &[f32]) {
        let gate = quantity.gate(self.arithmetic);
        self.rows
            .compare(self.golden, &format!("{run}.{array}"), gate, got);
    }

    /// The tokens that a run heard: as many as its condition is long, and the look-ahead.
    fn tokens(&self, run: &str, finalize: bool) -> Result<&[i32], GoldenError> {
        let golden = self.golden;
        let tokens = golden.elements::<i32>("token")?;
        if finalize {
            return Ok(tokens);
        }
        let name = format!("{run}.mu");
        let mu = golden.mel(&name, self.manifest.mel_bins)?.shape();
        let per_token = self.manifest.frames_of_tokens(1).max(1);
        let prompt = golden.elements::<i32>("prompt_token")?.len();
        let heard = mu.dims()[2] / per_token + self.manifest.flow.look_ahead;
        let heard = heard
            .checked_sub(prompt)
            .and_then(|heard| tokens.get(..heard));
        heard.ok_or_else(|| {
            let expected = format!("frames of at most {} tokens", prompt + tokens.len());
            GoldenError::array(golden.path(), &name, &expected, mu)
        })
    }
}

fn fixed_noise(
    golden: &Golden,
    manifest: &Manifest,
    rows: &mut Rows<'_>,
) -> Result<(), GoldenError> {
    let name = "rand_noise_head";
    if golden.find(name).is_none() {
        return Ok(());
    }
    let bins = manifest.mel_bins;
    let head = golden.mel(name, bins)?;
    let columns = head.shape().dims()[2].min(FixedNoise::COLUMNS);
    let mut noise = vec![0.0; bins * columns];
    FixedNoise::new(bins).copy_columns(columns, &mut noise);
    let gate = Quantity::SolverInput.gate(Arithmetic::Exact);
    rows.judge(name, gate, &noise, head);
    Ok(())
}

/// `speed.mel_1p25`: `full.mel` at speed 1.25.
fn stretched(golden: &Golden, manifest: &Manifest, rows: &mut Rows<'_>) -> Result<(), GoldenError> {
    for case in golden.named("speed.mel_") {
        let word = case["speed.mel_".len()..].replace('p', ".");
        let Some(speed) = word
            .parse()
            .ok()
            .filter(|&speed| check_speed(speed).is_ok())
        else {
            continue;
        };
        let mel = golden.mel("full.mel", manifest.mel_bins)?;
        let mut stretched = Tensor::zeros(DType::F32, Shape::new(&[1, manifest.mel_bins, 0]));
        stretch(mel, speed, &mut stretched);
        let gate = Quantity::StretchedMel.gate(Arithmetic::Exact);
        rows.compare(
            golden,
            &case,
            gate,
            stretched.elements().expect("mels are f32"),
        );
    }
    Ok(())
}
