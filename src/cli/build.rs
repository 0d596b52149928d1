//! `cvtrt build`: engines for every graph of a bundle.

mod for_runtime;

use self::for_runtime::ForRuntime;
use super::context::{self, Context};
use super::export::{self, Exported};
use super::failure::{Exit, Failure};
use super::model;
use super::printer::{self, table};
use super::progress::BuildProgress;
use super::rehearse::{Script, rehearse};
use super::values::positive;
use crate::build::{
    self, BuildRequest, Built, Cancel, Deadlines, Jobs, Plan, PlanState, PlannedGraph, RowState,
    Scope, TimingsAt, WorkerCommand, Workers,
};
use crate::bundle::StatCache;
use crate::cache::Verification;
use crate::ids::{BackendId, GraphId, Precision};
use crate::profile::{CompileOptions, ComputeCapability, Profile};
use crate::qualify;
use std::num::{NonZeroU16, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Compile every graph of a bundle into verified, cached engines
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("precision"))]
#[command(group = clap::ArgGroup::new("timings"))]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(super) struct Args {
    /// Bundle: a folder, or a name under onnx/
    #[arg(long, value_name = "DIR", conflicts_with = "model_dir")]
    bundle: Option<PathBuf>,
    /// Upstream checkpoint to export first; the bundle goes to onnx/
    #[arg(long, value_name = "DIR")]
    model_dir: Option<PathBuf>,
    /// Half precision; inputs and outputs stay FP32
    #[arg(long, group = "precision")]
    fp16: bool,
    /// bfloat16; inputs and outputs stay FP32
    #[arg(long, group = "precision")]
    bf16: bool,
    /// Single precision
    #[arg(long, group = "precision")]
    fp32: bool,
    /// Keep FP32 products exact instead of rounding them to TF32
    #[arg(long)]
    no_tf32: bool,
    /// Requests to serve at once; widens the profile's batches
    #[arg(long, value_name = "N", value_parser = positive::<NonZeroU16>)]
    concurrency: Option<NonZeroU16>,
    /// GPU ordinal
    #[arg(long, value_name = "N", default_value_t = 0)]
    device: u32,
    /// Profile: a file, or a name
    #[arg(long, value_name = "FILE")]
    profile: Option<String>,
    /// Backend; `auto` walks the profile's chain
    #[arg(long, value_name = "NAME", default_value = "auto")]
    backend: String,
    /// Only these graphs; `hift` means both vocoder graphs
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    graphs: Vec<String>,
    /// Build what the cache already has, too
    #[arg(long)]
    force: bool,
    /// Do not compare engines with the FP32 reference
    #[arg(long)]
    no_verify: bool,
    /// Timings of earlier builds, in this file instead of beside the engines
    #[arg(long, value_name = "FILE", group = "timings")]
    timing_cache: Option<PathBuf>,
    /// Begin without the timings of earlier builds, and keep none
    #[arg(long, group = "timings")]
    no_timing_cache: bool,
    /// Scratch memory a layer may use: 512M, 4G
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_workspace: Option<u64>,
    /// 0 builds fast, 5 makes fast engines
    #[arg(long, value_name = "0-5", value_parser = clap::value_parser!(u8).range(0..=5))]
    optimization_level: Option<u8>,
    /// Plans that later minor versions of the library load elsewhere; here, each version builds its own
    #[arg(long)]
    version_compatible: bool,
    /// Plans that later GPU generations run elsewhere; here, each GPU model builds its own
    #[arg(long)]
    hardware_compatible: bool,
    /// GPUs to build for where there is none: `sm_86,sm_120`
    #[arg(long, value_name = "SM", value_delimiter = ',')]
    target: Vec<ComputeCapability>,
    /// Build for the libraries of this run-time folder, which is not the active one yet
    #[arg(long, value_name = "DIR")]
    for_runtime: Option<PathBuf>,
    /// Graphs to build at once; without, half as many as there are processors, as far as memory is free
    #[arg(long, value_name = "N", value_parser = positive::<NonZeroUsize>)]
    jobs: Option<NonZeroUsize>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Longest time one graph may take to compile, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..))]
    build_timeout: u64,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let cancel = context::cancel_on_interrupt()?;
    let mut digests = model::digests(context);
    let bundle = match &args.model_dir {
        Some(model_dir) => match export::exported(model_dir, &mut digests, context)? {
            Exported::Present(bundle) => *bundle,
            Exported::Missing(out) if args.dry_run => {
                return would_export(model_dir, out, context);
            }
            Exported::Missing(out) => export::export_to(&out, model_dir, &cancel, context)?,
        },
        None => model::bundle(args.bundle.as_deref(), context)?,
    };
    let backend = args.backend()?;
    let profile = model::profile(args.profile.as_deref(), backend, args.concurrency, context)?;
    let options = args.options();
    if needs_device(backend, &profile, &options) {
        model::check_device(args.device)?;
    }
    let runtime = args.for_runtime.as_deref();
    let runtime = runtime
        .map(|dir| ForRuntime::look(dir, context))
        .transpose()?;
    let store = model::store(context);
    let backends = match &runtime {
        Some(runtime) => runtime.backends(args.device),
        None => model::backends_on(args.device, context),
    };
    let request = BuildRequest {
        bundle: &bundle,
        profile: &profile,
        backends: &backends,
        store: &store,
        scope: args.scope()?,
        precision: args.precision(),
        backend,
        options,
        device: args.device,
        rebuild: args.force,
        verify: !args.no_verify,
        timings: args.timings()?,
    };
    if args.dry_run {
        let plan = build::preview(&request, &mut digests);
        model::keep_digests(&mut digests);
        let mut plan = plan?;
        plan.leave_open(&to_qualify(&request, &plan));
        let planned = Planned {
            for_runtime: runtime,
            plan,
        };
        context.printer().result(&planned, Planned::text)?;
        return Ok(Exit::Done);
    }
    if let Some(runtime) = runtime.as_ref().filter(|_| !context.quiet()) {
        printer::say(runtime);
    }
    let plan = qualified(&request, &mut digests, &cancel, context);
    model::keep_digests(&mut digests);
    let workers = workers(args, runtime.as_ref(), context)?;
    let mut progress = BuildProgress::new(context.quiet());
    let built = build::execute(
        plan?,
        &request,
        &mut digests,
        &workers,
        &cancel,
        &mut progress,
    );
    drop(progress);
    let built = built?;
    context
        .printer()
        .result(&built, |built| built_text(built))?;
    Ok(Exit::Done)
}

/// Whether anything that may build here is for a device of this machine.
fn needs_device(backend: Option<BackendId>, profile: &Profile, options: &CompileOptions) -> bool {
    let is_for_device = |link: &BackendId| match link {
        BackendId::OrtCpu => false,
        BackendId::TensorRtRtx => options.targets.is_empty(),
        BackendId::TensorRt | BackendId::OrtCuda => true,
    };
    match backend {
        Some(backend) => is_for_device(&backend),
        // Without a word on other machines, a device that is named is meant to be used.
        None if options.targets.is_empty() => true,
        None => {
            let own = profile.graphs.values().filter_map(|own| own.chain.as_ref());
            let links = own
                .chain([&profile.chain])
                .filter_map(|chain| chain.links.first());
            links.into_iter().any(|link| is_for_device(link))
        }
    }
}

/// The plan, after every graph that is to be half was qualified for it.
fn qualified(
    request: &BuildRequest<'_>,
    digests: &mut StatCache,
    cancel: &Cancel,
    context: &Context,
) -> Result<Plan, Failure> {
    let plan = build::plan_to_qualify(request, digests)?;
    let open = to_qualify(request, &plan);
    if open.is_empty() {
        return Ok(plan);
    }
    let plans = rehearse(
        request.bundle,
        request.backends,
        Script::default(),
        context,
        &|| cancel.is_cancelled(),
        |rehearsal| qualify::qualify(rehearsal, &open),
    )?;
    for plan in &plans {
        request.store.keep_precision_plan(plan)?;
    }
    Ok(build::plan(request, digests)?)
}

/// The graphs whose precision plans are made before anything is built.
fn to_qualify(request: &BuildRequest<'_>, plan: &Plan) -> Vec<(GraphId, Precision)> {
    if request.verify {
        qualify::heard(plan.unqualified())
    } else {
        Vec::new()
    }
}

/// What a dry run says of a checkpoint that is not exported: its graphs are planned from the bundle.
fn would_export(model_dir: &Path, bundle: PathBuf, context: &Context) -> Result<Exit, Failure> {
    #[derive(serde::Serialize)]
    struct Export {
        model_dir: PathBuf,
        bundle: PathBuf,
    }
    #[derive(serde::Serialize)]
    struct WouldExport {
        export: Export,
    }
    let model_dir = model_dir.to_owned();
    let would = WouldExport {
        export: Export { model_dir, bundle },
    };
    context.printer().result(&would, |WouldExport { export }| {
        format!(
            "{} would be exported to {} first; its graphs are planned from there",
            export.model_dir.display(),
            export.bundle.display()
        )
    })?;
    Ok(Exit::Done)
}

fn workers(
    args: &Args,
    runtime: Option<&ForRuntime>,
    context: &Context,
) -> Result<Workers, Failure> {
    let mut arguments = vec!["worker".into()];
    match (runtime, context.named_runtime_dir()) {
        (Some(runtime), _) => arguments.extend(runtime.worker_arguments()),
        (None, Some(named)) => {
            arguments.extend(["--runtime-dir".into(), named.as_os_str().to_owned()]);
        }
        (None, None) => {}
    }
    arguments.extend(std::iter::repeat_n("-v".into(), context.verbosity()));
    Ok(Workers {
        command: WorkerCommand::this_program(arguments)
            .map_err(|error| Failure::new(Exit::Failed, error))?,
        deadlines: Deadlines {
            compile: Duration::from_secs(args.build_timeout),
            ..Deadlines::default()
        },
        jobs: args.jobs.map_or(Jobs::WhatFits, Jobs::AtMost),
    })
}

/// What `--dry-run` says.
#[derive(Debug, serde::Serialize)]
struct Planned {
    #[serde(skip_serializing_if = "Option::is_none")]
    for_runtime: Option<ForRuntime>,
    #[serde(flatten)]
    plan: Plan,
}

impl Planned {
    fn text(&self) -> String {
        let runtime = self
            .for_runtime
            .iter()
            .map(|runtime| format!("{runtime}\n"));
        runtime.chain([plan_text(&self.plan)]).collect()
    }
}

impl Args {
    fn precision(&self) -> Option<Precision> {
        let asked = [
            (self.fp16, Precision::Fp16),
            (self.bf16, Precision::Bf16),
            (self.fp32, Precision::Fp32),
        ];
        asked
            .into_iter()
            .find_map(|(flag, precision)| flag.then_some(precision))
    }

    fn backend(&self) -> Result<Option<BackendId>, Failure> {
        match self.backend.as_str() {
            "auto" => Ok(None),
            name => name
                .parse()
                .map(Some)
                .map_err(|error| Failure::message(Exit::Usage, format!("--backend: {error}"))),
        }
    }

    fn scope(&self) -> Result<Scope, Failure> {
        if self.graphs.is_empty() {
            return Ok(Scope::All);
        }
        let expanded: Result<Vec<_>, _> = self
            .graphs
            .iter()
            .map(|word| GraphId::expand(word.trim()))
            .collect();
        match expanded {
            Ok(graphs) => Ok(Scope::Named(graphs.concat())),
            Err(error) => Err(Failure::message(Exit::Usage, format!("--graphs: {error}"))),
        }
    }

    /// A path that cannot be such a file is refused, whether or not a library here takes timings.
    fn timings(&self) -> Result<TimingsAt, Failure> {
        let Some(file) = &self.timing_cache else {
            return Ok(if self.no_timing_cache {
                TimingsAt::Nowhere
            } else {
                TimingsAt::Store
            });
        };
        let folder = file
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let reason = if file.is_dir() {
            "it is a folder".to_owned()
        } else if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            format!("there is no folder {}", folder.display())
        } else {
            return Ok(TimingsAt::File(file.clone()));
        };
        let what = format!("--timing-cache {}: {reason}", file.display());
        Err(Failure::message(Exit::Usage, what)
            .with_hint("name a file, there already or not, in a folder that is there"))
    }

    fn options(&self) -> CompileOptions {
        let mut targets = self.target.clone();
        targets.sort_unstable();
        targets.dedup();
        CompileOptions {
            tf32: !self.no_tf32,
            workspace_bytes: self.max_workspace,
            optimization_level: self.optimization_level,
            version_compatible: self.version_compatible,
            hardware_compatible: self.hardware_compatible,
            targets,
        }
    }
}

/// Bytes as people write them: `4096`, `512M`, `4G`.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit: u64 = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" | "KIB" => 1 << 10,
        "M" | "MB" | "MIB" => 1 << 20,
        "G" | "GB" | "GIB" => 1 << 30,
        other => return Err(format!("`{other}` is no unit of size; use K, M or G")),
    };
    let count: u64 = digits
        .parse()
        .map_err(|_| format!("`{text}` is no size; write it as 512M or 4G"))?;
    count
        .checked_mul(unit)
        .ok_or_else(|| format!("`{text}` is larger than any memory"))
}

fn plan_text(plan: &Plan) -> String {
    let heading = ["graph", "backend", "precision", "key", "to do", "why"]
        .map(str::to_owned)
        .to_vec();
    let rows = plan.graphs.iter().map(|planned| {
        let (state, reason) = match &planned.state {
            PlanState::Cached { .. } => ("nothing", String::new()),
            PlanState::Verify { .. } => ("verify", "never compared with the reference".to_owned()),
            PlanState::Build { reason } => ("build", reason.clone()),
        };
        let PlannedGraph {
            graph,
            backend,
            precision,
            key,
            ..
        } = planned;
        vec![
            graph.to_string(),
            backend.to_string(),
            precision.to_string(),
            key.map_or_else(|| "open".to_owned(), |key| key.short()),
            state.to_owned(),
            reason,
        ]
    });
    let mut text = table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>());
    let remarks = plan.graphs.iter().map(|planned| {
        let remarks = passed_over(&planned.passed_over).chain(planned.notes.clone());
        (planned.graph, remarks.collect())
    });
    text.push_str(&remarks_text(&remarks.collect::<Vec<_>>()));
    text
}

fn built_text(built: &[Built]) -> String {
    let heading = [
        "graph",
        "backend",
        "precision",
        "build time",
        "size",
        "max error",
        "state",
    ]
    .map(str::to_owned)
    .to_vec();
    let rows = built.iter().map(|row| {
        let state = match row.state {
            RowState::Cached => "cached",
            RowState::Verified => "verified",
            RowState::Built => "built",
        };
        vec![
            row.graph.to_string(),
            row.backend.to_string(),
            row.precision.to_string(),
            seconds(row.build_ms),
            printer::bytes(row.bytes),
            max_error(row),
            state.to_owned(),
        ]
    });
    let mut text = table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>());
    let remarks = built.iter().map(|row| {
        let said = passed_over(&row.passed_over).chain(row.notes.clone());
        (row.graph, said.chain(not_verified(row)).collect())
    });
    text.push_str(&remarks_text(&remarks.collect::<Vec<_>>()));
    text
}

fn passed_over(links: &[build::PassedOver]) -> impl Iterator<Item = String> {
    links.iter().map(|link| format!("passed over {link}"))
}

/// Why a row has no error, where no note says so.
fn not_verified(row: &Built) -> Option<String> {
    let Verification::NotRunHere { reason } = &row.verification else {
        return None;
    };
    let is_said = row.notes.iter().any(|note| note.contains(reason.as_str()));
    (!is_said).then(|| format!("not verified: {reason}"))
}

/// One line per remark, with the graphs it is about.
fn remarks_text(remarks: &[(GraphId, Vec<String>)]) -> String {
    let mut lines: Vec<(&str, Vec<&str>)> = Vec::new();
    for (graph, remark) in remarks
        .iter()
        .flat_map(|(graph, own)| own.iter().map(move |remark| (graph, remark)))
    {
        match lines.iter_mut().find(|(said, _)| said == remark) {
            Some((_, graphs)) => graphs.push(graph.as_str()),
            None => lines.push((remark, vec![graph.as_str()])),
        }
    }
    let line = |(remark, graphs): &(&str, Vec<&str>)| {
        if graphs.len() > 1 && graphs.len() == remarks.len() {
            format!("all graphs: {remark}\n")
        } else {
            format!("{}: {remark}\n", graphs.join(", "))
        }
    };
    lines.iter().map(line).collect()
}

fn max_error(row: &Built) -> String {
    match (&row.verification, row.max_abs_error) {
        (_, Some(error)) => format!("{error:.1e}"),
        (Verification::Skipped, None) => "not asked for".to_owned(),
        (Verification::Failed { .. }, None) => "failed".to_owned(),
        (_, None) => "not run here".to_owned(),
    }
}

fn seconds(milliseconds: u64) -> String {
    format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remark_is_said_once() {
        let remarks = [
            (GraphId::Llm, vec!["slow".to_owned(), "large".to_owned()]),
            (GraphId::HiftF0, vec!["slow".to_owned()]),
        ];
        assert_eq!(remarks_text(&remarks), "all graphs: slow\nllm: large\n");
        assert_eq!(remarks_text(&remarks[..1]), "llm: slow\nllm: large\n");
    }

    #[test]
    fn sizes_read_as_people_write_them() {
        for (text, bytes) in [
            ("4096", Ok(4096)),
            ("512M", Ok(512 << 20)),
            ("4g", Ok(4 << 30)),
            ("1KiB", Ok(1024)),
        ] {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
        for text in ["", "G", "4X", "-1", "99999999999999G", "1.5G"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
