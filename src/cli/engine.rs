//! One engine in words: what it takes and gives, its ranges, layers, precisions, size and targets.

use super::printer;
use crate::backend::EngineReport;
use crate::cache::{Change, Entry, Manifest, Measured, PrecisionPlan, Verdict, Verification};
use crate::ids::BackendId;
use crate::profile::ShapeSet;
use crate::trt::PlanHeader;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;

/// An engine in words; `stale` says which of its inputs are not this machine's, `plan` what of it stays in FP32.
pub(super) fn text(entry: &Entry, stale: &[Change], plan: Option<&PrecisionPlan>) -> String {
    let manifest = entry.manifest();
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        writeln!(text, "{name:<12} {value}").expect("a string takes all");
    };
    let inputs = &manifest.inputs;
    line("engine", entry.id().to_owned());
    line("key", manifest.key.to_string());
    line(
        "built",
        format!(
            "{} {} in {:.1} s by cvtrt {}",
            inputs.backend,
            inputs.precision,
            seconds(manifest.build_ms),
            manifest.cvtrt
        ),
    );
    for (name, value) in inputs.fingerprint.facts() {
        line(name, value.to_owned());
    }
    line("size", printer::bytes(manifest.bytes()));
    for header in plan_header(entry) {
        line("plan", header);
    }
    for port in &manifest.signature.inputs {
        line("input", port.clone());
    }
    for port in &manifest.signature.outputs {
        line("output", port.clone());
    }
    for set in &inputs.shapes {
        line("profile", ranges(set));
    }
    for layers in layer_counts(manifest) {
        line("layers", layers);
    }
    for kept in plan.map(kept_in_fp32).unwrap_or_default() {
        line("fp32 inside", kept);
    }
    for error in plan.map(errors_of_the_twin).unwrap_or_default() {
        line("twin", error);
    }
    line("verified", verification(&manifest.verification));
    for change in stale {
        line("stale", change.to_string());
    }
    text
}

#[expect(
    clippy::cast_precision_loss,
    reason = "build times are far below 2^53 ms"
)]
fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1e3
}

/// What the plan file says of itself.
fn plan_header(entry: &Entry) -> Vec<String> {
    if !matches!(
        entry.manifest().inputs.backend,
        BackendId::TensorRt | BackendId::TensorRtRtx
    ) {
        return Vec::new();
    }
    let mut head = Vec::new();
    let read = File::open(entry.engine_path()).and_then(|file| {
        let bytes = file.metadata()?.len();
        file.take(PlanHeader::BYTES as u64).read_to_end(&mut head)?;
        Ok(bytes)
    });
    let said = match read {
        Err(error) => format!("cannot be read: {error}"),
        Ok(bytes) => match PlanHeader::read(&head, bytes) {
            Err(error) => format!("unsound: {error}"),
            Ok(header) => {
                let targets: Vec<String> = header.targets.iter().map(ToString::to_string).collect();
                let release = header.release;
                format!(
                    "{}.{}.{}, for {}",
                    release.major,
                    release.minor,
                    release.patch,
                    targets.join(" ")
                )
            }
        },
    };
    vec![said]
}

fn ranges(set: &ShapeSet) -> String {
    let axes = set
        .axes
        .iter()
        .map(|(axis, extent)| format!("{axis} {}/{}/{}", extent.min, extent.opt, extent.max));
    format!("{}: {}", set.name, axes.collect::<Vec<_>>().join(", "))
}

/// Layers by precision, and the commonest kinds of each.
fn layer_counts(manifest: &Manifest) -> Vec<String> {
    let Ok(report) = serde_json::from_value::<EngineReport>(manifest.report.clone()) else {
        return Vec::new();
    };
    let mut counts: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for layer in report.layers {
        *counts
            .entry(layer.precision)
            .or_default()
            .entry(layer.kind)
            .or_default() += 1;
    }
    let said = counts.into_iter().map(|(precision, kinds)| {
        let total: usize = kinds.values().sum();
        let mut kinds: Vec<(String, usize)> = kinds.into_iter().collect();
        kinds.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let kinds = kinds
            .into_iter()
            .take(5)
            .map(|(kind, count)| format!("{count} {kind}"));
        format!(
            "{total} {precision}: {}",
            kinds.collect::<Vec<_>>().join(", ")
        )
    });
    said.collect()
}

/// What stays in FP32 in a half-precision engine, why, and what was measured of the rest.
fn kept_in_fp32(plan: &PrecisionPlan) -> Vec<String> {
    let PrecisionPlan { islands, nodes, .. } = plan;
    let mut said = vec![format!("{} of {nodes} nodes", islands.len())];
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (node, reason) in islands {
        reasons.entry(reason).or_default().push(node);
    }
    said.extend(reasons.into_iter().map(|(reason, nodes)| {
        let more = match nodes.len().saturating_sub(SHOWN_NODES) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let shown = nodes[..SHOWN_NODES.min(nodes.len())].join(", ");
        format!("{reason}: {shown}{more}")
    }));
    said
}

/// How far the graph's twin was from FP32, and how far it may be.
fn errors_of_the_twin(plan: &PrecisionPlan) -> Vec<String> {
    let Verdict::Passed { measured } = &plan.verdict else {
        return Vec::new();
    };
    let errors = measured.iter().map(|one| {
        let Measured { what, value, bound } = one;
        format!("{what}: {value:.1e} of at most {bound:.1e}")
    });
    errors.collect()
}

/// Nodes named per reason.
const SHOWN_NODES: usize = 4;

fn verification(verification: &Verification) -> String {
    match verification {
        Verification::Passed { runs } => match verification.max_abs_error() {
            Some(error) => format!("passed, {} runs, max error {error:.1e}", runs.len()),
            None => "passed".to_owned(),
        },
        Verification::NotRunHere { reason } => format!("not run here: {reason}"),
        Verification::Failed { reason } => format!("failed: {reason}"),
        Verification::Skipped => "not asked for".to_owned(),
    }
}
