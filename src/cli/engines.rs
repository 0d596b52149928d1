//! `cvtrt engines`: the cache.

mod explain;

use self::explain::explain;
use super::build::parse_size;
use super::context::Context;
use super::engine;
use super::failure::{Exit, Failure};
use super::model;
use super::printer::{self, table};
use crate::backend::Backends;
use crate::build;
use crate::cache::{
    Change, Doubted, EngineStore, Entry, GcReport, GcRequest, Here, KeptTimings, Listed, Manifest,
    PrecisionPlan, Quarantined, Verification,
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
struct Row {
    entry: String,
    #[serde(flatten)]
    what: Option<What>,
    bytes: u64,
    #[serde(skip)]
    is_timings: bool,
    /// `valid`, `stale`, `damaged`, `busy`, `quarantined`; `timings` where it is no engine.
    state: &'static str,
    reasons: Vec<String>,
}

#[derive(Debug, serde::Serialize)]
struct What {
    /// `None` for timings, which all graphs share.
    graph: Option<String>,
    backend: String,
    precision: String,
    verified: String,
}

#[derive(Debug, serde::Serialize)]
struct Shown<'a> {
    entry: &'a str,
    engine: PathBuf,
    /// Why it is in quarantine, where it is.
    quarantined: Option<String>,
    stale: Vec<Change>,
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
            let request = GcRequest {
                here: &here(context),
                max_bytes: *max_size,
                all_stale: *all_stale,
                dry_run: *dry_run,
            };
            gc(&store, &request, context)
        }
    }
}

/// What every device that can be seen gives engines to run on.
fn here(context: &Context) -> Here {
    let devices = cuda::probe().map_or(0, |driver| driver.devices.len());
    let devices = 0..u32::try_from(devices).unwrap_or(u32::MAX).max(1);
    let backends: Vec<Backends> = devices
        .map(|device| model::backends_on(device, context))
        .collect();
    build::here_on(&backends)
}

fn list(store: &EngineStore, context: &Context) -> Result<Exit, Failure> {
    let here = here(context);
    let mut rows: Vec<Row> = store
        .entries()?
        .iter()
        .map(|listed| row(listed, &here))
        .chain(
            store
                .timings()?
                .iter()
                .map(|timings| timings_row(timings, &here)),
        )
        .collect();
    rows.extend(store.quarantined()?.into_iter().map(quarantined_row));
    context.printer().result(&rows, |rows| rows_text(rows))?;
    Ok(Exit::Done)
}

fn row(listed: &Listed, here: &Here) -> Row {
    let (what, state, reasons) = match &listed.entry {
        Err(corruption) => (None, "damaged", vec![corruption.to_string()]),
        Ok(entry) if !entry.has_its_files() => {
            let reason = "a file is missing or has another size".to_owned();
            (Some(what_of(entry.manifest())), "damaged", vec![reason])
        }
        Ok(entry) if let Some(reason) = entry.unfit() => (
            Some(what_of(entry.manifest())),
            "quarantined",
            vec![reason.to_owned()],
        ),
        Ok(entry) => {
            let changes = here.stale(&entry.manifest().inputs);
            let state = if changes.is_empty() { "valid" } else { "stale" };
            (
                Some(what_of(entry.manifest())),
                state,
                changes.iter().map(ToString::to_string).collect(),
            )
        }
    };
    Row {
        entry: listed.id.clone(),
        is_timings: false,
        what,
        bytes: listed.bytes,
        state,
        reasons,
    }
}

fn quarantined_row(one: Quarantined) -> Row {
    let Quarantined {
        id,
        bytes,
        reason,
        entry,
    } = one;
    Row {
        entry: id,
        is_timings: false,
        what: entry.as_ref().map(|entry| what_of(entry.manifest())),
        bytes,
        state: "quarantined",
        reasons: vec![reason],
    }
}

fn timings_row(timings: &KeptTimings, here: &Here) -> Row {
    let what = timings.key.as_ref().map(|(backend, _)| What {
        graph: None,
        backend: backend.to_string(),
        precision: "-".to_owned(),
        verified: "-".to_owned(),
    });
    let (state, reasons) = match &timings.key {
        None => ("damaged", vec!["its key cannot be read".to_owned()]),
        Some(_) if here.takes(timings) => ("timings", Vec::new()),
        Some(_) => {
            let reason = "taken by another library or on another device".to_owned();
            ("stale", vec![reason])
        }
    };
    Row {
        entry: timings.id.clone(),
        is_timings: true,
        what,
        bytes: timings.bytes,
        state,
        reasons,
    }
}

fn what_of(manifest: &Manifest) -> What {
    What {
        graph: Some(manifest.inputs.graph.to_string()),
        backend: manifest.inputs.backend.to_string(),
        precision: manifest.inputs.precision.to_string(),
        verified: verified(&manifest.verification),
    }
}

fn verified(verification: &Verification) -> String {
    match verification {
        Verification::Passed { .. } => match verification.max_abs_error() {
            Some(error) => format!("{error:.1e}"),
            None => "passed".to_owned(),
        },
        Verification::NotRunHere { .. } => "not run here".to_owned(),
        Verification::Failed { .. } => "failed".to_owned(),
        Verification::Skipped => "not asked for".to_owned(),
    }
}

fn rows_text(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "the cache is empty; cvtrt build fills it\n".to_owned();
    }
    let heading = [
        "entry",
        "backend",
        "precision",
        "size",
        "max error",
        "state",
    ]
    .map(str::to_owned)
    .to_vec();
    let lines = rows.iter().map(|row| {
        let unknown = || "?".to_owned();
        let what = row.what.as_ref();
        let state = if row.reasons.is_empty() {
            row.state.to_owned()
        } else {
            let reasons = row
                .reasons
                .iter()
                .filter_map(|reason| reason.lines().next());
            format!("{}: {}", row.state, reasons.collect::<Vec<_>>().join(", "))
        };
        vec![
            row.entry.clone(),
            what.map_or_else(unknown, |what| what.backend.clone()),
            what.map_or_else(unknown, |what| what.precision.clone()),
            printer::bytes(row.bytes),
            what.map_or_else(unknown, |what| what.verified.clone()),
            state,
        ]
    });
    let (quarantined, serving): (Vec<&Row>, Vec<&Row>) =
        rows.iter().partition(|row| row.state == "quarantined");
    let size = |rows: &[&Row]| printer::bytes(rows.iter().map(|row| row.bytes).sum());
    let mut text = table(&std::iter::once(heading).chain(lines).collect::<Vec<_>>());
    let engines = serving.iter().filter(|row| !row.is_timings).count();
    writeln!(text, "{engines} entries, {}", size(&serving)).expect("a string takes all");
    if !quarantined.is_empty() {
        writeln!(
            text,
            "{} in quarantine, {}\nhint:  cvtrt build --force builds them again; cvtrt engines gc forgets them",
            quarantined.len(),
            size(&quarantined)
        )
        .expect("a string takes all");
    }
    text
}

fn show(store: &EngineStore, word: &str, context: &Context) -> Result<Exit, Failure> {
    let (entry, quarantined) = find(store, word)?;
    let here = here(context);
    let manifest = entry.manifest();
    let shown = Shown {
        entry: entry.id(),
        engine: entry.engine_path(),
        quarantined,
        stale: here.stale(&manifest.inputs),
        precision_plan: store.precision_plan_of(&manifest.inputs),
        manifest,
    };
    context.printer().result(&shown, |shown| {
        let mut text = engine::text(&entry, &shown.stale, shown.precision_plan.as_ref());
        // A verdict is among what was verified.
        if let Some(reason) = &shown.quarantined
            && !text.contains(reason)
        {
            writeln!(text, "{:<12} {reason}", "quarantined").expect("a string takes all");
        }
        text
    })?;
    Ok(Exit::Done)
}

/// Every entry that can be read, those in service first, and why it is in quarantine where it is.
fn all(store: &EngineStore) -> Result<Vec<(Entry, Option<String>)>, Failure> {
    let entries = store.entries()?.into_iter();
    let serving = entries.filter_map(|listed| {
        let entry = listed.entry.ok()?;
        let unfit = entry.unfit().map(str::to_owned);
        Some((entry, unfit))
    });
    let quarantined = store.quarantined()?.into_iter();
    let quarantined = quarantined.filter_map(|one| Some((one.entry?, Some(one.reason))));
    Ok(serving.chain(quarantined).collect())
}

/// The one entry a word means, and why it is in quarantine where it is; an entry in service comes first.
fn find(store: &EngineStore, word: &str) -> Result<(Entry, Option<String>), Failure> {
    let named = |entry: &Entry| {
        let manifest = entry.manifest();
        entry.id() == word
            || manifest.inputs.graph.as_str() == word
            || !word.is_empty() && manifest.key.to_string().starts_with(word)
    };
    let mut found = all(store)?;
    found.retain(|(entry, _)| named(entry));
    if found.iter().any(|(_, quarantined)| quarantined.is_none()) {
        found.retain(|(_, quarantined)| quarantined.is_none());
    }
    match (found.pop(), found.len()) {
        (Some(found), 0) => Ok(found),
        (None, _) => Err(
            Failure::usage(anyhow::anyhow!("no engine is named `{word}`"))
                .with_hint("cvtrt engines list"),
        ),
        (Some(_), more) => Err(Failure::usage(anyhow::anyhow!(
            "`{word}` means {} engines",
            more + 1
        ))
        .with_hint("write more of the key, which cvtrt engines list shows")),
    }
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
        let mut text = format!("{good} of {} engines are as they were built\n", rows.len());
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
        "{verb} {}; {} entries stay ({})",
        printer::bytes(freed),
        report.kept_entries,
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
            "{} of another library version stay\nhint:  cvtrt engines gc --all-stale removes those, too",
            report.spared.len()
        )
        .expect("a string takes all");
    }
    text
}
