//! `cvtrt engines explain`: which input makes an entry stale, or why it is in quarantine.

use crate::cache::{Change, EngineStore};
use crate::cli::context::Context;
use crate::cli::failure::{Exit, Failure};

/// Why an entry does or does not serve here.
#[derive(Debug, serde::Serialize)]
struct Explained {
    entry: String,
    /// Why it is in quarantine, where it is.
    quarantined: Option<String>,
    stale: Vec<Change>,
}

pub(super) fn explain(
    store: &EngineStore,
    word: Option<&str>,
    context: &Context,
) -> Result<Exit, Failure> {
    let here = super::here(context);
    let entries = match word {
        Some(word) => vec![super::find(store, word)?],
        None => super::all(store)?,
    };
    let explained: Vec<Explained> = entries
        .into_iter()
        .map(|(entry, quarantined)| Explained {
            entry: entry.id().to_owned(),
            quarantined,
            stale: here.stale(&entry.manifest().inputs),
        })
        .collect();
    context.printer().result(&explained, |explained| {
        explained.iter().map(Explained::text).collect()
    })?;
    Ok(Exit::Done)
}

impl Explained {
    fn text(&self) -> String {
        let Self {
            entry,
            quarantined,
            stale,
        } = self;
        let state = match quarantined {
            Some(reason) => format!(
                "in quarantine: {}",
                reason.lines().next().unwrap_or_default()
            ),
            None if stale.is_empty() => "valid on this machine".to_owned(),
            None => "stale".to_owned(),
        };
        let changes: Vec<String> = stale.iter().map(|change| format!("  {change}\n")).collect();
        format!("{entry}: {state}\n{}", changes.concat())
    }
}
