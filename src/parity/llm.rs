//! `golden_llm*.npz`: prompts, logits and tokens, position by position through the KV cache.

use super::error::{CaseError, GoldenError, ParityError};
use super::gate::{Arithmetic, Quantity};
use super::golden::Golden;
use super::noise::RecordedUniforms;
use super::report::Rows;
use super::{Subject, opened};
use crate::bundle::{Manifest, Tables};
use crate::ids::GraphId;
use crate::pipeline::{
    Demand, Drawing, Feed, Lengths, LlmPrompt, LlmStage, OpenError, Schedule, SlotId, Utterance,
};
use crate::tensor::{Shape, Tensor};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// One recorded greedy run.
#[derive(Debug, Clone)]
pub struct LlmRun<'a> {
    /// What the model reads first.
    pub prompt: LlmPrompt,
    /// The tokens it favours, one step after another.
    pub tokens: &'a [i32],
    logits: &'a [f32],
    head_rows: usize,
    masked: i32,
    min: usize,
}

impl<'a> LlmRun<'a> {
    /// The run of a mode (`zs`, `xl`, `instruct2`).
    ///
    /// # Errors
    /// [`GoldenError`] for an array that is missing or not of its type and size.
    pub fn read(golden: &'a Golden, manifest: &Manifest, mode: &str) -> Result<Self, GoldenError> {
        let prompt = prompt(golden, mode)?;
        let text = own_text(golden, mode)?.len();
        let tokens = golden.elements::<i32>(&format!("{mode}.greedy_tokens"))?;
        let name = format!("{mode}.tf_logits");
        let head_rows = manifest.llm.head_rows;
        let positions = prompt.positions() + tokens.len();
        Ok(Self {
            tokens,
            logits: golden.counted(&name, positions * head_rows)?,
            head_rows,
            // Upstream masks this one id until speech is twice as long as the text.
            masked: i32::try_from(manifest.llm.speech_vocab).unwrap_or(i32::MAX),
            min: 2 * text,
            prompt,
        })
    }

    /// The recorded logits that predict token `step`.
    ///
    /// # Panics
    /// If `step` is more than the number of tokens.
    pub fn logits(&self, step: usize) -> &'a [f32] {
        let row = self.prompt.positions() - 1 + step;
        &self.logits[row * self.head_rows..(row + 1) * self.head_rows]
    }

    /// The id that logits favour at `step`.
    pub fn favoured(&self, logits: &[f32], step: usize) -> Option<i32> {
        let ids = (0..).zip(logits);
        let allowed = ids.filter(|(id, _)| step >= self.min || *id != self.masked);
        allowed.max_by(|a, b| a.1.total_cmp(b.1)).map(|(id, _)| id)
    }

    /// How far the recorded favourite leads at `step`.
    fn margin(&self, step: usize) -> f32 {
        let mut best = [f32::NEG_INFINITY; 2];
        for (id, &logit) in (0..).zip(self.logits(step)) {
            if step < self.min && id == self.masked {
                continue;
            }
            if logit > best[0] {
                best = [logit, best[0]];
            } else {
                best[1] = best[1].max(logit);
            }
        }
        best[0] - best[1]
    }
}

pub(super) fn replay(
    golden: &Golden,
    subject: &Subject<'_>,
    rows: &mut Rows<'_>,
) -> Result<(), ParityError> {
    let mut llm = match opened(open(subject))? {
        Ok(llm) => llm,
        Err(reason) => {
            rows.leave_all(golden, &reason);
            return Ok(());
        }
    };
    let tables = subject.tables()?;
    let arithmetic = subject.arithmetic(&[GraphId::Llm]);
    let manifest = subject.bundle.manifest();
    for mode in golden.cases(".lm_input") {
        let outcome = embeds(golden, &tables, &mode, rows);
        rows.settle(&format!("{mode}.lm_input"), outcome)?;
    }
    for mode in golden.cases(".greedy_tokens") {
        let outcome = greedy(golden, manifest, &mut llm, &mode, arithmetic, rows);
        rows.settle(&format!("{mode}.tf_logits"), outcome)?;
    }
    if golden.find("ras.tokens").is_some() {
        let outcome = sampled(golden, manifest, &mut llm, arithmetic, rows);
        rows.settle("ras.tokens", outcome)?;
    }
    // The speaker vector is read by v1 alone; the reference's own limit on sampling is the bundle's.
    golden.known(&["embedding", "sampler.sampling_k"]);
    rows.leave(golden, |case| {
        (case == "bi.*").then_some("text that arrives while it is spoken is not in this version")
    });
    Ok(())
}

fn open(subject: &Subject<'_>) -> Result<LlmStage, OpenError> {
    let graph = subject.graphs.get(&GraphId::Llm);
    let graph = graph.ok_or(OpenError::MissingGraph(GraphId::Llm))?;
    let spec = &subject.bundle.manifest().llm;
    LlmStage::open(&graph.compiled, subject.lane, spec, subject.tables()?, 1)
}

fn own_text<'a>(golden: &'a Golden, mode: &str) -> Result<&'a [i32], GoldenError> {
    // v3 puts its end-of-prompt id in front of a text without a prompt.
    match golden.find(&format!("{mode}.text")) {
        Some(_) => golden.elements(&format!("{mode}.text")),
        None => golden.elements("text"),
    }
}

fn prompt(golden: &Golden, mode: &str) -> Result<LlmPrompt, GoldenError> {
    let none: &[i32] = &[];
    let prompt_text = match mode {
        "xl" => none,
        _ => golden.elements("prompt_text")?,
    };
    let speech = match mode {
        "zs" => golden.elements("prompt_speech_token")?,
        _ => none,
    };
    Ok(LlmPrompt {
        text: [prompt_text, own_text(golden, mode)?].concat(),
        speech: speech.to_vec(),
    })
}

fn embeds(
    golden: &Golden,
    tables: &Arc<Tables>,
    mode: &str,
    rows: &mut Rows<'_>,
) -> Result<(), CaseError> {
    let prompt = prompt(golden, mode)?;
    let width = tables.speech_embedding.width();
    let mut embeds = vec![0.0; prompt.positions() * width];
    prompt
        .embed(tables, &mut embeds)
        .map_err(crate::pipeline::SpeechError::from)?;
    let gate = Quantity::LlmInput.gate(Arithmetic::Exact);
    rows.compare(golden, &format!("{mode}.lm_input"), gate, &embeds);
    Ok(())
}

/// Feeds the recorded tokens and compares every step's logits, and the token they favour.
fn greedy(
    golden: &Golden,
    manifest: &Manifest,
    llm: &mut LlmStage,
    mode: &str,
    arithmetic: Arithmetic,
    rows: &mut Rows<'_>,
) -> Result<(), CaseError> {
    let run = LlmRun::read(golden, manifest, mode)?;
    let slot = llm.prefill(&run.prompt)?;
    let walked = walk(llm, slot, &run);
    llm.release(slot)?;
    let got = walked?;
    let want = Tensor::from_elements(
        Shape::new(&[run.tokens.len() + 1, run.head_rows]),
        &run.logits[(run.prompt.positions() - 1) * run.head_rows..],
    )
    .map_err(crate::pipeline::SpeechError::from)?;
    let gate = Quantity::Logits.gate(arithmetic);
    rows.judge(&format!("{mode}.tf_logits"), gate, &got, &want);

    let steps: Vec<&[f32]> = got.chunks(run.head_rows).collect();
    let decided = |step: &usize| run.margin(*step) >= arithmetic.decisive_margin();
    let decided: Vec<usize> = (0..run.tokens.len()).filter(decided).collect();
    let favoured = |step: &usize| run.favoured(steps[*step], *step);
    let got_tokens: Vec<Option<i32>> = decided.iter().map(favoured).collect();
    let want_tokens: Vec<Option<i32>> =
        decided.iter().map(|step| Some(run.tokens[*step])).collect();
    rows.equal(&format!("{mode}.greedy_tokens"), &got_tokens, &want_tokens);

    let name = format!("{mode}.ended_by_stop");
    if let Some(flag) = golden.find(&name).filter(|flag| flag.bytes() == [1]) {
        let last = run.tokens.len();
        let stopped = run
            .favoured(steps[last], last)
            .is_some_and(|id| manifest.llm.stop.contains(&id));
        rows.equal(&name, &[u8::from(stopped)], flag.bytes());
    }
    Ok(())
}

/// Logits after the prompt and after every token, row by row.
fn walk(llm: &mut LlmStage, slot: SlotId, run: &LlmRun<'_>) -> Result<Vec<f32>, CaseError> {
    let mut logits = llm.logits(slot)?.to_vec();
    for &token in run.tokens {
        llm.decode(&[Feed { slot, token }])?;
        logits.extend_from_slice(llm.logits(slot)?);
    }
    Ok(logits)
}

/// Draws tokens of the zero-shot prompt with the recorded uniforms.
fn sampled(
    golden: &Golden,
    manifest: &Manifest,
    llm: &mut LlmStage,
    arithmetic: Arithmetic,
    rows: &mut Rows<'_>,
) -> Result<(), CaseError> {
    let wanted = golden.elements::<i32>("ras.tokens")?;
    let text = golden.elements::<i32>("text")?.len();
    let uniforms = RecordedUniforms::new(golden.elements("ras.uniforms")?);
    let used = Arc::clone(&uniforms.used);
    if arithmetic == Arithmetic::Reduced {
        rows.skip(
            "ras.tokens",
            "a draw near a boundary may fall the other way in reduced arithmetic",
        );
        golden.known(&["ras.uniforms_used"]);
        return Ok(());
    }
    let Manifest {
        llm: spec,
        sampling,
        ..
    } = manifest;
    let min = Lengths::of_text(text, sampling, usize::MAX).map_or(0, |lengths| lengths.min);
    let max = wanted.len();
    let mut drawing = Drawing::new(spec, sampling, Lengths { min, max }, Box::new(uniforms));
    let masked = i32::try_from(spec.speech_vocab).unwrap_or(i32::MAX);
    drawing.masked_early = masked..=masked;
    let mut utterance = Utterance::new(
        prompt(golden, "zs")?,
        drawing,
        Schedule::OneShot,
        manifest.flow.steps,
    );
    let mut slot = None;
    let driven = drive(llm, &mut utterance, &mut slot);
    let released = slot.map_or(Ok(()), |slot| llm.release(slot));
    driven?;
    released?;
    rows.equal("ras.tokens", utterance.tokens(), wanted);
    let used = i32::try_from(used.load(Ordering::Relaxed)).unwrap_or(i32::MAX);
    let wanted = golden.counted::<i32>("ras.uniforms_used", 1)?;
    rows.equal("ras.uniforms_used", &[used], wanted);
    Ok(())
}

fn drive(
    llm: &mut LlmStage,
    utterance: &mut Utterance,
    live: &mut Option<SlotId>,
) -> Result<(), CaseError> {
    while let Some(demand) = utterance.token_demand() {
        let slot = match (demand, *live) {
            (Demand::Prefill(prompt), _) => *live.insert(llm.prefill(prompt)?),
            (Demand::Decode(token), Some(slot)) => {
                llm.decode(&[Feed { slot, token }])?;
                slot
            }
            _ => break,
        };
        utterance.give_logits(llm.logits(slot)?)?;
    }
    Ok(())
}
