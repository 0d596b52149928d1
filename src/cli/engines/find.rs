//! Entries by name, those that cannot be read among them.

use crate::cache::{EngineStore, Entry, EntryName, Listed, Quarantined};
use crate::cli::failure::Failure;
use crate::cli::printer;
use std::path::PathBuf;

/// An entry of the cache, as far as it can be read.
#[derive(Debug)]
pub(super) enum Found {
    /// Its manifest can be read.
    Known {
        entry: Box<Entry>,
        /// Why it is in quarantine, where it is.
        quarantined: Option<String>,
    },
    /// It cannot.
    Unreadable(Unreadable),
}

/// An entry without a manifest that can be read.
#[derive(Debug, serde::Serialize)]
pub(super) struct Unreadable {
    pub(super) entry: String,
    folder: PathBuf,
    /// What its name says.
    #[serde(flatten)]
    name: Option<EntryName>,
    bytes: u64,
    damaged: String,
    /// Whether it is out of the way, in quarantine.
    is_quarantined: bool,
    fix: &'static str,
}

/// How to get rid of an entry that does not serve.
pub(super) const FIX: &str = "cvtrt build --force makes an engine anew, in the place of the bad one; cvtrt engines gc removes the bad ones";

/// Every entry, those in service first.
pub(super) fn all(store: &EngineStore) -> Result<Vec<Found>, Failure> {
    let serving = store.entries()?.into_iter().map(|listed| {
        let Listed { id, bytes, entry } = listed;
        match entry {
            Ok(entry) => Found::Known {
                quarantined: entry.unfit().map(str::to_owned),
                entry: Box::new(entry),
            },
            Err(corruption) => Found::unreadable(store, id, bytes, corruption.to_string(), false),
        }
    });
    let quarantined = store.quarantined()?.into_iter().map(|one| {
        let Quarantined {
            id,
            bytes,
            reason,
            entry,
        } = one;
        match entry {
            Some(entry) => Found::Known {
                entry: Box::new(entry),
                quarantined: Some(reason),
            },
            None => Found::unreadable(store, id, bytes, reason, true),
        }
    });
    Ok(serving.chain(quarantined).collect())
}

/// The one entry a word means; one in service comes first.
pub(super) fn find(store: &EngineStore, word: &str) -> Result<Found, Failure> {
    let mut found = all(store)?;
    found.retain(|one| one.is_named(word));
    if found.iter().any(Found::serves) {
        found.retain(Found::serves);
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

impl Found {
    fn unreadable(
        store: &EngineStore,
        entry: String,
        bytes: u64,
        damaged: String,
        is_quarantined: bool,
    ) -> Self {
        Self::Unreadable(Unreadable {
            folder: store.root().join(&entry),
            name: EntryName::of_id(&entry),
            entry,
            bytes,
            damaged,
            is_quarantined,
            fix: FIX,
        })
    }

    /// Whether it is neither damaged nor in quarantine, as far as its manifest tells.
    fn serves(&self) -> bool {
        matches!(
            self,
            Self::Known {
                quarantined: None,
                ..
            }
        )
    }

    fn is_named(&self, word: &str) -> bool {
        let (id, graph, key) = match self {
            Self::Known { entry, .. } => {
                let manifest = entry.manifest();
                let graph = Some(manifest.inputs.graph);
                (entry.id(), graph, manifest.key.to_string())
            }
            Self::Unreadable(one) => {
                let name = one.name.as_ref();
                let key = name.map_or_else(String::new, |name| name.key.clone());
                (one.entry.as_str(), name.map(|name| name.graph), key)
            }
        };
        id == word
            || graph.is_some_and(|graph| graph.as_str() == word)
            || !word.is_empty() && key.starts_with(word)
    }
}

impl Unreadable {
    /// What is known of it, a line for each fact.
    pub(super) fn text(&self) -> String {
        let state = if self.is_quarantined {
            "in quarantine"
        } else {
            "damaged"
        };
        let what = match &self.name {
            Some(name) => format!(
                "{} for {} in {}, ",
                name.graph, name.backend, name.precision
            ),
            None => String::new(),
        };
        let damaged = self.damaged.lines().next().unwrap_or_default();
        format!(
            "{}: {state}: {damaged}\n  {what}{} in {}\nhint:  {}\n",
            self.entry,
            printer::bytes(self.bytes),
            self.folder.display(),
            self.fix
        )
    }
}
