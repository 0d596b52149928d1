//! `cvtrt engines explain`: which input makes an entry stale, or why it is in quarantine or for another machine.

use super::find::{self, Found, Unreadable};
use crate::build::Machine;
use crate::cache::{Change, EngineStore};
use crate::cli::context::Context;
use crate::cli::failure::{Exit, Failure};

/// Why an entry does or does not serve here.
#[derive(Debug, serde::Serialize)]
#[serde(untagged)]
enum Explained {
    Known {
        entry: String,
        /// Why it is in quarantine, where it is.
        quarantined: Option<String>,
        stale: Vec<Change>,
        /// Why it is for another machine or library, where it is.
        elsewhere: Option<String>,
        /// What to do about one in quarantine.
        #[serde(skip_serializing_if = "Option::is_none")]
        fix: Option<String>,
    },
    Unreadable(Unreadable),
}

pub(super) fn explain(
    store: &EngineStore,
    word: Option<&str>,
    context: &Context,
) -> Result<Exit, Failure> {
    let machine = super::machine(context);
    let entries = match word {
        Some(word) => vec![find::find(store, word)?],
        None => find::all(store)?,
    };
    let explained: Vec<Explained> = entries
        .into_iter()
        .map(|found| Explained::of(found, &machine))
        .collect();
    context.printer().result(&explained, |explained| {
        explained.iter().map(Explained::text).collect()
    })?;
    Ok(Exit::Done)
}

impl Explained {
    fn of(found: Found, machine: &Machine) -> Self {
        let (entry, quarantined) = match found {
            Found::Unreadable(one) => return Self::Unreadable(one),
            Found::Known { entry, quarantined } => (entry, quarantined),
        };
        let (stale, elsewhere) = machine.standing(&entry.manifest().inputs).into_parts();
        Self::Known {
            entry: entry.id().to_owned(),
            fix: quarantined.is_some().then(|| find::fix_of(&entry)),
            quarantined,
            stale,
            elsewhere,
        }
    }

    fn text(&self) -> String {
        let (entry, quarantined, stale, elsewhere, fix) = match self {
            Self::Unreadable(one) => return one.text(),
            Self::Known {
                entry,
                quarantined,
                stale,
                elsewhere,
                fix,
            } => (entry, quarantined, stale, elsewhere, fix),
        };
        let standing = match (quarantined, elsewhere) {
            (Some(reason), _) => format!(
                "in quarantine: {}",
                reason.lines().next().unwrap_or_default()
            ),
            (None, Some(why)) => format!("cannot run here: {why}"),
            (None, None) if stale.is_empty() => "valid on this machine".to_owned(),
            (None, None) => "stale".to_owned(),
        };
        let changes: Vec<String> = stale.iter().map(|change| format!("  {change}\n")).collect();
        let fix = fix
            .as_ref()
            .map_or_else(String::new, |fix| format!("hint:  {fix}\n"));
        format!("{entry}: {standing}\n{}{fix}", changes.concat())
    }
}
