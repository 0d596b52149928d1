//! `cvtrt engines`: the cache.

mod explain;
mod find;
mod list;

use self::explain::explain;
use self::find::{Found, Unreadable};
use self::list::{Row, list};
use super::context::Context;
use super::engine;
use super::failure::{Exit, Failure};
use super::model;
use super::printer::{self, counted};
use super::values::parse_size;
use crate::backend::Backends;
use crate::build::Machine;
use crate::cache::{
    Change, Doubted, EngineStore, GcReport, GcRequest, Listed, Manifest, PrecisionPlan,
};
use crate::cuda;
use std::fmt::Write as _;
use std::path::PathBuf;

/// List, check and clean the engine cache
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// What is there, and whether each entry is valid here
    List,
    /// One entry with its inputs, layers and verification
    Show {
        /// An entry's name, its graph, or the beginning of its key
        entry: String,
    },
    /// Read every engine and compare it with its digest
    Verify,
    /// Which input makes an entry stale
    Explain {
        /// An entry's name, its graph, or the beginning of its key; all entries where none is named
        entry: Option<String>,
    },
    /// Remove what is in quarantine and stale entries, then the least recently used
    Gc {
        /// Keep at most this much: 500M, 20G
        #[arg(long, value_name = "SIZE", value_parser = parse_size)]
        max_size: Option<u64>,
        /// Remove what is of another library version, too, as of a run-time folder that was not named
        #[arg(long)]
        all_stale: bool,
        /// Only say what would be removed
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, serde::Serialize)]
struct Shown<'a> {
    entry: &'a str,
    engine: PathBuf,
    /// Why it is in quarantine, where it is.
    quarantined: Option<String>,
    stale: Vec<Change>,
    /// Why it is for another machine or library, where it is.
    elsewhere: Option<String>,
    /// What of a half-precision engine stays in FP32.
    precision_plan: Option<PrecisionPlan>,
    manifest: &'a Manifest,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let store = model::store(context);
    match &args.command {
        Command::List => list(&store, context),
        Command::Show { entry } => show(&store, entry, context),
        Command::Verify => verify(&store, context),
        Command::Explain { entry } => explain(&store, entry.as_deref(), context),
        Command::Gc {
            max_size,
            all_stale,
            dry_run,
        } => {
            let machine = machine(context);
            let request = GcRequest {
                here: machine.here(),
                max_bytes: *max_size,
                all_stale: *all_stale,
                dry_run: *dry_run,
            };
            gc(&store, &request, context)
        }
    }
}

/// What every device that can be seen gives engines to run on.
fn machine(context: &Context) -> Machine {
    let devices = cuda::probe().map_or(0, |driver| driver.devices.len());
    let devices = 0..u32::try_from(devices).unwrap_or(u32::MAX).max(1);
    let backends: Vec<Backends> = devices
        .map(|device| model::backends_on(device, context))
        .collect();
    Machine::of(&backends)
}

fn show(store: &EngineStore, word: &str, context: &Context) -> Result<Exit, Failure> {
    let (entry, quarantined) = match find::find(store, word)? {
        Found::Known { entry, quarantined } => (entry, quarantined),
        Found::Unreadable(one) => {
            context.printer().result(&one, Unreadable::text)?;
            return Ok(Exit::Done);
        }
    };
    let manifest = entry.manifest();
    let (stale, elsewhere) = machine(context).standing(&manifest.inputs).into_parts();
    let shown = Shown {
        entry: entry.id(),
        engine: entry.engine_path(),
        quarantined,
        stale,
        elsewhere,
        precision_plan: store.precision_plan_of(&manifest.inputs),
        manifest,
    };
    context.printer().result(&shown, |shown| {
        let mut text = engine::text(&entry, &shown.stale, shown.precision_plan.as_ref());
        if let Some(why) = &shown.elsewhere {
            writeln!(text, "{:<12} cannot run here: {why}", "elsewhere")
                .expect("a string takes all");
        }
        let Some(reason) = &shown.quarantined else {
            return text;
        };
        // A verdict is among what was verified.
        if !text.contains(reason) {
            writeln!(text, "{:<12} {reason}", "quarantined").expect("a string takes all");
        }
        text + "hint:  " + &find::fix_of(&entry) + "\n"
    })?;
    Ok(Exit::Done)
}

fn verify(store: &EngineStore, context: &Context) -> Result<Exit, Failure> {
    let mut rows = Vec::new();
    for listed in store.entries()? {
        rows.extend(verified_row(store, listed)?);
    }
    let count = |rows: &[Row], state| rows.iter().filter(|row| row.state == state).count();
    let exit = match count(&rows, "damaged") {
        0 => Exit::Done,
        _ => Exit::Unverified,
    };
    context.printer().result(&rows, |rows| {
        let good = count(rows, "valid");
        let all = counted(rows.len(), "engine", "engines");
        let verb = if rows.len() == 1 { "is" } else { "are" };
        let mut text = format!("{good} of {all} {verb} as built\n");
        if count(rows, "damaged") > 0 {
            text.push_str("hint:  cvtrt build makes the damaged ones anew\n");
        }
        text
    })?;
    Ok(exit)
}

/// What is found of an entry; `None` for one that is gone.
fn verified_row(store: &EngineStore, listed: Listed) -> Result<Option<Row>, Failure> {
    let Listed { id, bytes, entry } = listed;
    let doubted = match entry.and_then(|entry| entry.verify()) {
        Ok(()) => Doubted::Sound,
        Err(_) => store.quarantine_if_damaged(&id)?,
    };
    let (state, reasons) = match doubted {
        Doubted::Sound => ("valid", Vec::new()),
        Doubted::Gone => return Ok(None),
        Doubted::Busy => ("busy", vec!["a builder is at work on it".to_owned()]),
        Doubted::Quarantined { corruption, to } => {
            printer::say(format!(
                "{id} is damaged ({corruption}); moved to {}",
                to.display()
            ));
            ("damaged", vec![corruption.to_string()])
        }
    };
    Ok(Some(Row {
        entry: id,
        is_timings: false,
        what: None,
        bytes,
        state,
        reasons,
    }))
}

fn gc(store: &EngineStore, request: &GcRequest<'_>, context: &Context) -> Result<Exit, Failure> {
    let report = store.gc(request)?;
    context
        .printer()
        .result(&report, |report| gc_text(report, request.dry_run))?;
    Ok(Exit::Done)
}

fn gc_text(report: &GcReport, dry_run: bool) -> String {
    let verb = if dry_run { "would remove" } else { "removed" };
    let mut text = String::new();
    for removed in &report.removed {
        writeln!(
            text,
            "{verb} {} ({}): {}",
            removed.id,
            printer::bytes(removed.bytes),
            removed.because
        )
        .expect("a string takes all");
    }
    let freed: u64 = report.removed.iter().map(|removed| removed.bytes).sum();
    writeln!(
        text,
        "{verb} {}; {} ({})",
        printer::bytes(freed),
        match report.kept_entries {
            1 => "1 entry stays".to_owned(),
            several => format!("{several} entries stay"),
        },
        printer::bytes(report.kept_bytes)
    )
    .expect("a string takes all");
    if !report.held.is_empty() {
        writeln!(
            text,
            "{} that running programs may still load stay",
            report.held.len()
        )
        .expect("a string takes all");
    }
    if !report.spared.is_empty() {
        writeln!(
            text,
            "{} of another library version kept\nhint:  cvtrt engines gc --all-stale removes those, too",
            report.spared.len()
        )
        .expect("a string takes all");
    }
    text
}
