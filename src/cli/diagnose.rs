//! `cvtrt diagnose`.

use super::context::Context;
use super::failure::{Exit, Failure};
use super::model;
use super::origin::FlagOrigin;
use crate::bundle::Bundle;
use crate::diagnose::{Diagnosis, Finding, State, Subjects};
use std::fmt::Write as _;
use std::path::PathBuf;

/// Check drivers, libraries, bundles and engines, and name every fix
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Bundle to check, a folder or a name under onnx/; every bundle there where none is named
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// Profile to check against: a file, or a name
    #[arg(long, value_name = "FILE")]
    profile: Option<String>,
    /// Port a server would listen on
    #[arg(long, value_name = "PORT", default_value_t = 9234)]
    port: u16,
    /// Also write the report to a file, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

#[derive(Debug, serde::Serialize)]
struct Report {
    version: &'static str,
    #[serde(flatten)]
    diagnosis: Diagnosis,
    settings: Vec<FlagOrigin>,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let profile = model::profile(args.profile.as_deref(), None, None, context)?;
    let onnx = std::slice::from_ref(&context.places().onnx);
    let bundle = args
        .bundle
        .as_deref()
        .map(|word| Bundle::resolve(word, onnx))
        .transpose()?;
    let diagnosis = Diagnosis::of(&Subjects {
        places: context.places(),
        bundle: bundle.as_deref(),
        backends: &model::backends(context),
        tensorrt: &model::settings(context.runtime_dir(), None).tensorrt,
        store: &model::store(context),
        profile: &profile,
        port: args.port,
    });
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        diagnosis,
        settings: context.flag_origins(),
    };
    if let Some(path) = &args.report {
        let json = serde_json::to_vec_pretty(&report)
            .map_err(|error| Failure::new(Exit::Failed, error))?;
        std::fs::write(path, json).map_err(|error| Failure::write(path, error))?;
    }
    context.printer().result(&report, text)?;
    Ok(if report.diagnosis.tier.is_some() {
        Exit::Done
    } else {
        Exit::Failed
    })
}

fn text(report: &Report) -> String {
    let mut text = format!("cvtrt {}\n\n", report.version);
    for finding in &report.diagnosis.findings {
        text.push_str(&finding_text(finding));
    }
    text.push_str("\nsettings\n");
    for setting in &report.settings {
        writeln!(
            text,
            "  {} = {} ({})",
            setting.flag, setting.value, setting.source
        )
        .expect("a string takes all");
    }
    match &report.diagnosis.tier {
        Some(tier) => writeln!(text, "\nspeaks here with the tier {tier}"),
        None => writeln!(
            text,
            "\ncannot speak here; the problems above say what to do"
        ),
    }
    .expect("a string takes all");
    text
}

fn finding_text(finding: &Finding) -> String {
    let sign = match finding.state {
        State::Ok => "ok     ",
        State::Note => "note   ",
        State::Problem => "PROBLEM",
    };
    let fix = finding
        .fix
        .as_ref()
        .map(|fix| format!("{:>22} {fix}\n", "fix:"))
        .unwrap_or_default();
    format!("{sign} {:<13} {}\n{fix}", finding.subject, finding.what)
}
