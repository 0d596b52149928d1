//! `cvtrt inspect`: describes a bundle, an ONNX file or an engine.

use super::context::Context;
use super::engine;
use super::failure::{Exit, Failure};
use super::model;
use super::printer::{self, table};
use super::voices;
use crate::bundle::{Bundle, BundleSummary};
use crate::cache::Entry;
use crate::ids::{BackendId, Precision};
use crate::onnx::{ModelFile, Summary, check};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Describe an ONNX file, a bundle, or an engine
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// An ONNX file, a bundle's folder or name, an engine's folder, or a folder of engines
    #[arg(value_name = "FILE")]
    path: PathBuf,
    /// The precision to look for obstacles in
    #[arg(long, value_name = "PRECISION", default_value_t = Precision::Fp16)]
    precision: Precision,
}

#[derive(Debug, serde::Serialize)]
struct OnnxDescription {
    path: PathBuf,
    #[serde(flatten)]
    summary: Summary,
    /// What backends are known to refuse in it.
    obstacles: Vec<String>,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    if is_onnx(&args.path) {
        let description = describe_onnx(&args.path, args.precision)?;
        context.printer().result(&description, onnx_text)?;
        return Ok(Exit::Done);
    }
    let store = model::store(context);
    let plan_of = |entry: &Entry| store.precision_plan_of(&entry.manifest().inputs);
    match entries_at(&args.path, context)?.as_slice() {
        [] => {}
        [entry] => {
            let manifest = entry.manifest();
            context.printer().result(manifest, |_| {
                engine::text(entry, &[], plan_of(entry).as_ref())
            })?;
            return Ok(Exit::Done);
        }
        several => {
            let manifests: Vec<_> = several.iter().map(Entry::manifest).collect();
            context.printer().result(&manifests, |_| {
                let texts: Vec<String> = several
                    .iter()
                    .map(|entry| engine::text(entry, &[], plan_of(entry).as_ref()))
                    .collect();
                texts.join("\n")
            })?;
            return Ok(Exit::Done);
        }
    }
    if args.path.is_file() && !is_manifest(&args.path) {
        let what = format!(
            "{} is neither an ONNX file, a bundle nor an engine of this cache",
            args.path.display()
        );
        return Err(Failure::message(Exit::Usage, what)
            .with_hint("name a .onnx file, a bundle's folder, or an engine's folder"));
    }
    let dir = Bundle::resolve(&args.path, std::slice::from_ref(&context.places().onnx))?;
    let summary = Bundle::open(&dir)?.summary()?;
    context.printer().result(&summary, bundle_text)?;
    Ok(Exit::Done)
}

/// The engines a path leads to: one by its folder or a file inside, several by a folder of the cache that holds them.
fn entries_at(path: &Path, context: &Context) -> Result<Vec<Entry>, Failure> {
    let Ok(path) = path.canonicalize() else {
        return Ok(Vec::new());
    };
    let in_cache = context
        .places()
        .engines
        .canonicalize()
        .is_ok_and(|cache| path.starts_with(cache));
    if !in_cache {
        return Ok(Vec::new());
    }
    let entries = model::store(context).entries()?;
    let leads_to = |entry: &Entry| {
        entry
            .dir()
            .canonicalize()
            .is_ok_and(|dir| path.starts_with(&dir) || dir.starts_with(&path))
    };
    Ok(entries
        .into_iter()
        .filter_map(|listed| listed.entry.ok())
        .filter(leads_to)
        .collect())
}

fn is_onnx(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "onnx")
}

fn is_manifest(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "bundle.yaml")
}

fn describe_onnx(path: &Path, precision: Precision) -> Result<OnnxDescription, Failure> {
    let file = ModelFile::open(path)?;
    let findings = check(file.model(), precision, BackendId::ALL);
    let obstacles = findings.iter().map(ToString::to_string).collect();
    Ok(OnnxDescription {
        path: path.to_owned(),
        summary: Summary::of(&file),
        obstacles,
    })
}

fn onnx_text(description: &OnnxDescription) -> String {
    let mut text = description.summary.to_string();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(if description.obstacles.is_empty() {
        "obstacles: none known\n"
    } else {
        "obstacles:\n"
    });
    for obstacle in &description.obstacles {
        writeln!(text, "  {obstacle}").expect("a string takes all");
    }
    text
}

fn bundle_text(summary: &BundleSummary) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        writeln!(text, "{name:<12} {value}").expect("a string takes all");
    };
    line(
        "bundle",
        format!(
            "{} ({}), {}",
            summary.name,
            summary.family,
            summary.dir.display()
        ),
    );
    line("about", summary.description.clone());
    line(
        "audio",
        format!(
            "{} Hz, {} tokens per second",
            summary.sample_rate, summary.token_rate
        ),
    );
    line("modes", words(&summary.modes));
    for (mode, reason) in &summary.lacks {
        line("lacks", format!("{mode}: {reason}"));
    }
    if !summary.stand_ins.is_empty() {
        line("stand-ins", words(&summary.stand_ins));
    }
    line("size", printer::bytes(summary.total_bytes));
    text.push('\n');
    text.push_str(&graphs_table(summary));
    text.push('\n');
    text.push_str(&voices::table_of(&summary.voices));
    text
}

fn words(items: &[impl ToString]) -> String {
    items
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn graphs_table(summary: &BundleSummary) -> String {
    let heading = ["graph", "file", "size", "sha256"]
        .map(str::to_owned)
        .to_vec();
    let rows = summary.graphs.iter().map(|graph| {
        let digest: String = graph.sha256.to_string().chars().take(12).collect();
        vec![
            graph.graph.to_string(),
            graph.file.to_string(),
            printer::bytes(graph.bytes),
            digest,
        ]
    });
    table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>())
}
