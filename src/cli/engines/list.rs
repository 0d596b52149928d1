//! `cvtrt engines list`: a row per entry, those in quarantine and timings among them.

use super::find::FIX;
use super::machine;
use crate::build::{Machine, Standing};
use crate::cache::{
    EngineStore, EntryName, Here, KeptTimings, Listed, Manifest, Quarantined, Verification,
};
use crate::cli::context::Context;
use crate::cli::failure::{Exit, Failure};
use crate::cli::printer::{self, counted, table};
use std::fmt::Write as _;

#[derive(Debug, serde::Serialize)]
pub(super) struct Row {
    pub(super) entry: String,
    #[serde(flatten)]
    pub(super) what: Option<What>,
    pub(super) bytes: u64,
    #[serde(skip)]
    pub(super) is_timings: bool,
    /// `valid`, `stale`, `elsewhere`, `damaged`, `busy`, `quarantined`; `timings` where it is no engine.
    pub(super) state: &'static str,
    pub(super) reasons: Vec<String>,
}

#[derive(Debug, serde::Serialize)]
pub(super) struct What {
    /// `None` for timings, which all graphs share.
    graph: Option<String>,
    backend: String,
    precision: String,
    verified: String,
}

pub(super) fn list(store: &EngineStore, context: &Context) -> Result<Exit, Failure> {
    let machine = machine(context);
    let mut rows: Vec<Row> = store
        .entries()?
        .iter()
        .map(|listed| row(listed, &machine))
        .chain(
            store
                .timings()?
                .iter()
                .map(|timings| timings_row(timings, machine.here())),
        )
        .collect();
    rows.extend(store.quarantined()?.into_iter().map(quarantined_row));
    context.printer().result(&rows, |rows| rows_text(rows))?;
    Ok(Exit::Done)
}

fn row(listed: &Listed, machine: &Machine) -> Row {
    let (what, state, reasons) = match &listed.entry {
        Err(corruption) => (named(&listed.id), "damaged", vec![corruption.to_string()]),
        Ok(entry) if let Some(damage) = entry.damage() => (
            Some(what_of(entry.manifest())),
            "damaged",
            vec![damage.to_owned()],
        ),
        Ok(entry) if let Some(reason) = entry.unfit() => (
            Some(what_of(entry.manifest())),
            "quarantined",
            vec![reason.to_owned()],
        ),
        Ok(entry) => {
            let (state, reasons) = match machine.standing(&entry.manifest().inputs) {
                Standing::Valid => ("valid", Vec::new()),
                Standing::Stale(changes) => {
                    ("stale", changes.iter().map(ToString::to_string).collect())
                }
                Standing::Elsewhere(why) => ("elsewhere", vec![why]),
            };
            (Some(what_of(entry.manifest())), state, reasons)
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
        what: match &entry {
            Some(entry) => Some(what_of(entry.manifest())),
            None => named(&id),
        },
        entry: id,
        is_timings: false,
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

/// What the name of an entry says, where nothing else does.
fn named(id: &str) -> Option<What> {
    let name = EntryName::of_id(id)?;
    Some(What {
        graph: Some(name.graph.to_string()),
        backend: name.backend.to_string(),
        precision: name.precision.to_string(),
        verified: "?".to_owned(),
    })
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
    let engines = counted(engines, "entry", "entries");
    writeln!(text, "{engines}, {}", size(&serving)).expect("a string takes all");
    if !quarantined.is_empty() {
        writeln!(
            text,
            "{} in quarantine, {}\nhint:  {FIX}",
            quarantined.len(),
            size(&quarantined)
        )
        .expect("a string takes all");
    }
    text
}
