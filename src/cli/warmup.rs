//! `cvtrt warmup`: every graph once, before the first request.

use super::context::Context;
use super::failure::{Exit, Failure};
use super::model;
use super::printer::{self, table};
use super::values::positive;
use crate::deploy::WarmRun;
use crate::ids::GraphId;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::path::PathBuf;

/// Run every graph at its opt shapes, here or in a running server
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Warm up the server at this address instead
    #[arg(long, value_name = "URL", conflicts_with_all = ["bundle", "tier", "profile", "threads", "device"])]
    url: Option<String>,
    /// Bundle: a folder, or a name under onnx/
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// Runs after the first one of each graph; more of them make the figures steadier
    #[arg(long, value_name = "N", default_value = "3", value_parser = positive::<NonZeroU32>, conflicts_with = "url")]
    runs: NonZeroU32,
    #[command(flatten)]
    load: model::LoadFlags,
}

/// Runs of each model by its name.
type Report = BTreeMap<String, Vec<WarmRun>>;

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let report = match &args.url {
        Some(url) => there(url)?,
        None => here(args, context)?,
    };
    context.printer().result(&report, text_of)?;
    Ok(Exit::Done)
}

fn here(args: &Args, context: &Context) -> Result<Report, Failure> {
    let bundle = model::bundle(args.bundle.as_deref(), context)?;
    let graphs: Vec<GraphId> = bundle.graphs().collect();
    let deployment = model::deployment(&bundle, &graphs, &args.load, context)?;
    let name = bundle.manifest().name.clone();
    let spinner = printer::spinner(format!("warming up {name}"), context.quiet());
    let lane = deployment.lane(0)?;
    let warmup = deployment.warmup.clone().with_steady_runs(args.runs);
    let runs = warmup.run(&lane, |run| {
        spinner.set_message(format!("{} {}", run.graph, run.shapes));
    });
    spinner.finish_and_clear();
    Ok(Report::from([(name, runs?)]))
}

fn there(url: &str) -> Result<Report, Failure> {
    let endpoint = format!("{}/warmup_trt", url.trim_end_matches('/'));
    let failed = |error: anyhow::Error| {
        Failure::new(
            Exit::Failed,
            error.context(format!("cannot warm up {endpoint}")),
        )
        .with_hint("start the server with `cvtrt serve`; --url takes http://HOST:PORT")
    };
    // The server's own words say more than its status.
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let mut response = agent
        .post(&endpoint)
        .send_empty()
        .map_err(|error| failed(error.into()))?;
    let text = response
        .body_mut()
        .read_to_string()
        .map_err(|error| failed(error.into()))?;
    if !response.status().is_success() {
        return Err(failed(anyhow::anyhow!(
            "{}: {}",
            response.status(),
            said(&text)
        )));
    }
    serde_json::from_str(&text).map_err(|error| failed(error.into()))
}

/// The message of an error in `OpenAI`'s shape, or the text itself.
fn said(text: &str) -> String {
    let body: Option<serde_json::Value> = serde_json::from_str(text).ok();
    let message = body
        .as_ref()
        .and_then(|body| body["error"]["message"].as_str());
    message.unwrap_or(text.trim()).to_owned()
}

fn text_of(report: &Report) -> String {
    let mut text = String::new();
    for (model, runs) in report {
        let heading = [
            "graph",
            "shapes",
            "backend",
            "first ms",
            "steady ms",
            "median ms",
            "p95 ms",
        ];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        rows.extend(runs.iter().map(|run| {
            vec![
                run.graph.to_string(),
                run.shapes.clone(),
                run.backend.to_string(),
                format!("{:.2}", run.first_ms),
                format!("{:.2}", run.steady_ms),
                format!("{:.2}", run.median_ms),
                format!("{:.2}", run.p95_ms),
            ]
        }));
        write!(text, "{model}\n{}", table(&rows)).expect("a string takes all");
    }
    text
}
