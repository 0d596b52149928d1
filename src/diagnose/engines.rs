//! What the engine cache holds.

use super::Finding;
use crate::backend::Backends;
use crate::build::{Machine, Standing};
use crate::cache::{EngineStore, Quarantined};
use crate::hint::Hint;

/// How many entries are valid here, stale, damaged, and in quarantine with the reasons.
pub(super) fn check(store: &EngineStore, backends: &Backends) -> Finding {
    let entries = match store.entries() {
        Ok(entries) => entries,
        Err(error) => {
            let fix = error.hint().map_or_else(
                || "choose another folder with --engines-dir".to_owned(),
                String::from,
            );
            return Finding::problem("engines", error.to_string(), fix);
        }
    };
    let quarantined = store.quarantined().unwrap_or_default();
    if entries.is_empty() && quarantined.is_empty() {
        return Finding::note(
            "engines",
            "none built; models run as exported",
            Some("cvtrt build".to_owned()),
        );
    }
    let machine = Machine::of(std::slice::from_ref(backends));
    let (mut valid, mut stale, mut elsewhere, mut damaged) = (0, 0, 0, 0);
    for listed in &entries {
        match &listed.entry {
            Err(_) => damaged += 1,
            Ok(entry) if entry.damage().is_some() || entry.unfit().is_some() => damaged += 1,
            Ok(entry) => match machine.standing(&entry.manifest().inputs) {
                Standing::Valid => valid += 1,
                Standing::Stale(_) => stale += 1,
                Standing::Elsewhere(_) => elsewhere += 1,
            },
        }
    }
    let mut what = format!(
        "{valid} valid, {stale} stale, {damaged} damaged in {}",
        store.root().display()
    );
    if elsewhere > 0 {
        what = format!("{what}; {elsewhere} cannot run here, as cvtrt engines explain says");
    }
    for Quarantined { id, reason, .. } in &quarantined {
        let reason = reason.lines().next().unwrap_or_default();
        what = format!("{what}; {id}: {reason}");
    }
    let fix = match (stale + damaged, quarantined.len()) {
        (0, 0) => return Finding::ok("engines", what),
        (0, _) => "cvtrt build serves the next of the chain; cvtrt build --force tries again",
        _ => "cvtrt build, then cvtrt engines gc",
    };
    Finding::note("engines", what, Some(fix.to_owned()))
}
