//! What the engine cache holds.

use super::Finding;
use crate::backend::Backends;
use crate::build;
use crate::cache::EngineStore;
use crate::hint::Hint;

/// How many entries are valid here, stale, and damaged.
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
    if entries.is_empty() {
        return Finding::note(
            "engines",
            "none built; models run as exported",
            Some("cvtrt build".to_owned()),
        );
    }
    let here = build::here(backends);
    let (mut valid, mut stale, mut damaged) = (0, 0, 0);
    for listed in &entries {
        match &listed.entry {
            Err(_) => damaged += 1,
            Ok(entry) if !entry.has_its_files() => damaged += 1,
            Ok(entry) if here.stale(&entry.manifest().inputs).is_empty() => valid += 1,
            Ok(_) => stale += 1,
        }
    }
    let what = format!(
        "{valid} valid, {stale} stale, {damaged} damaged in {}",
        store.root().display()
    );
    if stale + damaged == 0 {
        return Finding::ok("engines", what);
    }
    Finding::note(
        "engines",
        what,
        Some("cvtrt build, then cvtrt engines gc".to_owned()),
    )
}
