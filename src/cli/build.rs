//! `cvtrt build`: engines for every graph of a bundle.

mod args;
mod for_runtime;
mod report;

pub(super) use self::args::Args;
use self::for_runtime::ForRuntime;
use self::report::Report;
use super::context::{self, Context};
use super::export::{self, Exported};
use super::failure::{Exit, Failure};
use super::model;
use super::printer;
use super::progress::BuildProgress;
use super::rehearse::{Script, rehearse};
use crate::build::{
    self, BuildRequest, Built, Cancel, Deadlines, Jobs, Plan, PlannedGraph, Scope, WorkerCommand,
    Workers,
};
use crate::bundle::StatCache;
use crate::ids::{BackendId, GraphId, Precision};
use crate::profile::{CompileOptions, Profile};
use crate::qualify;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let cancel = context::cancel_on_interrupt()?;
    // What is wrong with the line is said before an export, which takes minutes.
    let backend = args.backend()?;
    let scope = args.scope()?;
    let timings = args.timings()?;
    let options = args.options();
    let profile = model::profile(args.profile.as_deref(), backend, args.concurrency, context)?;
    if needs_device(backend, &profile, &scope, &options) {
        model::check_device(args.device)?;
    }
    let runtime = args.for_runtime.as_deref();
    let runtime = runtime
        .map(|dir| ForRuntime::look(dir, context))
        .transpose()?;
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
        scope,
        precision: args.precision(),
        backend,
        options,
        device: args.device,
        rebuild: args.force,
        verify: !args.no_verify,
        timings,
    };
    if args.dry_run {
        let plan = build::preview(&request, &mut digests);
        model::keep_digests(&mut digests);
        let mut plan = plan?;
        plan.leave_open(&to_qualify(&request, &plan));
        let report = Report {
            for_runtime: runtime,
            graphs: plan.graphs,
        };
        context
            .printer()
            .result(&report, Report::<PlannedGraph>::text)?;
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
    let report = Report {
        for_runtime: runtime,
        graphs: built?,
    };
    context.printer().result(&report, Report::<Built>::text)?;
    Ok(Exit::Done)
}

/// Whether the first choice for any graph to build is for a device of this machine.
fn needs_device(
    backend: Option<BackendId>,
    profile: &Profile,
    scope: &Scope,
    options: &CompileOptions,
) -> bool {
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
            let graphs: Vec<GraphId> = match scope {
                Scope::All => profile.graphs.keys().copied().collect(),
                Scope::Needed(graphs) | Scope::Named(graphs) => graphs.clone(),
            };
            let mut chains = graphs.into_iter().map(|graph| profile.chain_of(graph));
            chains.any(|chain| chain.links.first().is_some_and(is_for_device))
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
