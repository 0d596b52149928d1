//! `sampling.npz`: single draws under recorded uniforms.

use super::Subject;
use super::error::{CaseError, ParityError};
use super::gate::{Arithmetic, Quantity};
use super::golden::Golden;
use super::noise::RecordedUniforms;
use super::report::Rows;
use crate::pipeline::Sampler;
use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;

pub(super) fn replay(
    golden: &Golden,
    subject: &Subject<'_>,
    rows: &mut Rows<'_>,
) -> Result<(), ParityError> {
    for case in golden.cases(".logp") {
        let outcome = draws(golden, subject, &case, rows);
        rows.settle(&format!("{case}.tokens"), outcome)?;
    }
    rows.leave(golden, |case| {
        (case == "fade.*").then_some("speech that is heard while it is made is not in this version")
    });
    Ok(())
}

fn draws(
    golden: &Golden,
    subject: &Subject<'_>,
    case: &str,
    rows: &mut Rows<'_>,
) -> Result<(), CaseError> {
    let name = |array: &str| format!("{case}.{array}");
    // Softmax of a log-softmax is the softmax itself.
    let logits = golden.elements::<f32>(&name("logp"))?;
    let history = golden.elements::<i32>(&name("history"))?;
    let wanted = golden.elements::<i32>(&name("tokens"))?;
    let uniforms = golden.elements::<f32>(&name("uniforms"))?;
    if logits.is_empty() || wanted.is_empty() {
        rows.skip(&name("tokens"), "there is nothing to draw");
        return Ok(());
    }
    let spec = subject.bundle.manifest().sampling.clone();
    let mut sampler = Sampler::new(spec, logits.len());
    let (mut tokens, mut used) = (Vec::new(), Vec::new());
    for uniforms in uniforms.chunks((uniforms.len() / wanted.len()).max(1)) {
        let mut uniforms = RecordedUniforms::new(uniforms);
        tokens.push(sampler.draw(logits, &NOTHING, history, &mut uniforms)?);
        used.push(i32::try_from(uniforms.used.load(Ordering::Relaxed)).unwrap_or(i32::MAX));
    }
    rows.equal(&name("tokens"), &tokens, wanted);
    rows.equal(
        &name("uniforms_used"),
        &used,
        golden.elements(&name("uniforms_used"))?,
    );
    let (weights, ids): (Vec<f32>, Vec<i32>) = sampler.nucleus().iter().copied().unzip();
    rows.equal(
        &name("nucleus_ids"),
        &ids,
        golden.elements(&name("nucleus_ids"))?,
    );
    let gate = Quantity::Probabilities.gate(Arithmetic::Exact);
    rows.compare(golden, &name("nucleus_probs"), gate, &weights);
    Ok(())
}

/// No id is masked.
const NOTHING: RangeInclusive<i32> = RangeInclusive::new(1, 0);
