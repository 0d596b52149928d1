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
    fix: String,
}

/// How to get rid of entries that do not serve.
pub(super) const FIX: &str = "cvtrt build makes what is damaged anew, and with --graphs GRAPH --force what is unfit; cvtrt engines gc removes both";

/// As [`FIX`], for one entry of a graph.
pub(super) fn fix_of(entry: &Entry) -> String {
    match entry.unfit() {
        Some(_) => {
            let graph = entry.manifest().inputs.graph;
            format!(
                "cvtrt build --graphs {graph} --force builds it again; cvtrt engines gc removes it"
            )
        }
        None => FIX_DAMAGED.to_owned(),
    }
}

const FIX_DAMAGED: &str = "cvtrt build makes it anew; cvtrt engines gc removes it";

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
        .with_hint("write the whole name of one, as cvtrt engines list shows it")),
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
            fix: FIX_DAMAGED.to_owned(),
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
        match self {
            Self::Known { entry, .. } => {
                let manifest = entry.manifest();
                let key = manifest.key.to_string();
                entry.id() == word
                    || manifest.inputs.graph.as_str() == word
                    || !word.is_empty() && key.starts_with(word)
            }
            Self::Unreadable(one) => one.is_named(word),
        }
    }
}

impl Unreadable {
    /// Its name holds no more than the beginning of its key, so a longer word is one that begins with that.
    fn is_named(&self, word: &str) -> bool {
        let says = |EntryName { graph, key, .. }: &EntryName| {
            let is_key = key.starts_with(word) || !key.is_empty() && word.starts_with(key.as_str());
            graph.as_str() == word || !word.is_empty() && is_key
        };
        self.entry == word || self.name.as_ref().is_some_and(says)
    }

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
