//! Numbers, dates and symbols as they are spoken, by the wetext graphs.

mod clauses;
mod fields;
mod transducer;

use super::Language;
use super::letters::{is_digit, strip};
use crate::frontend::FrontendError;
use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use transducer::Transducer;
pub use transducer::TransducerError;

/// Whether numbers, dates and symbols are read by the wetext graphs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum Normalisation {
    /// They are.
    On {
        /// The graphs' folder.
        folder: PathBuf,
    },
    /// The graphs are not installed. Digits are still spelled out outside Chinese; dates, units and money are not.
    Missing {
        /// The file looked for.
        file: PathBuf,
    },
    /// Nobody asked for it.
    Off,
}

/// Reads numbers, dates and symbols aloud, clause by clause.
///
/// A clause without a digit stays as it is, as in wetext.
pub(super) struct Normaliser {
    state: Normalisation,
    graphs: Option<Graphs>,
    cache: Mutex<Cache>,
}

/// What is spoken for a clause.
type Cache = HashMap<(Language, Box<str>), Box<str>>;

struct Graphs {
    chinese: Grammar,
    english: Grammar,
}

/// Two transducers: one finds what is a date, a price or a word, the other spells it out.
struct Grammar {
    tagger: Transducer,
    verbaliser: Transducer,
}

/// Clauses remembered; all are forgotten when there are more.
const CACHED_CLAUSES: usize = 4096;

impl Normaliser {
    pub(super) fn off() -> Self {
        Self::with(Normalisation::Off, None)
    }

    /// Loads the graphs, `{zh,en}/tn/{tagger,verbalizer}.fst` below `folder`.
    pub(super) fn open(folder: &Path) -> Result<Self, FrontendError> {
        match Graphs::open(folder) {
            Ok(graphs) => {
                let folder = folder.to_owned();
                Ok(Self::with(Normalisation::On { folder }, Some(graphs)))
            }
            Err(FrontendError::ReadGraph { path, source })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                tracing::warn!(
                    file = %path.display(),
                    "text normalisation is off: dates, units and money are not spelled out; `cvtrt setup` installs it"
                );
                Ok(Self::with(Normalisation::Missing { file: path }, None))
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn state(&self) -> &Normalisation {
        &self.state
    }

    /// The text as it is spoken, without the white space around it.
    pub(super) fn spoken(&self, text: &str, language: Language) -> String {
        let Some(graphs) = &self.graphs else {
            return strip(text).to_owned();
        };
        let grammar = match language {
            Language::Chinese => &graphs.chinese,
            Language::Other => &graphs.english,
        };
        let clauses = clauses::clauses(text, language);
        let spoken: String = clauses
            .iter()
            .map(|clause| self.clause(grammar, clause, language))
            .collect();
        strip(&spoken).to_owned()
    }

    fn with(state: Normalisation, graphs: Option<Graphs>) -> Self {
        Self {
            state,
            graphs,
            cache: Mutex::default(),
        }
    }

    fn clause(&self, grammar: &Grammar, clause: &str, language: Language) -> Box<str> {
        if !clause.contains(is_digit) || !clauses::is_bounded(clause) {
            return clause.into();
        }
        let key = (language, clause.into());
        if let Some(spoken) = self.cache().get(&key) {
            return spoken.clone();
        }
        let core = strip(clause);
        // What no path reads stays as it is: the reference fails there.
        let spoken: Box<str> = match grammar.spoken(core, language) {
            Some(spoken) => clause.replacen(core, &spoken, 1).into(),
            None => clause.into(),
        };
        let mut cache = self.cache();
        if cache.len() >= CACHED_CLAUSES {
            cache.clear();
        }
        cache.insert(key, spoken.clone());
        spoken
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Graphs {
    fn open(folder: &Path) -> Result<Self, FrontendError> {
        Ok(Self {
            chinese: Grammar::open(&folder.join("zh/tn"))?,
            english: Grammar::open(&folder.join("en/tn"))?,
        })
    }
}

impl Grammar {
    fn open(folder: &Path) -> Result<Self, FrontendError> {
        Ok(Self {
            tagger: read(folder.join("tagger.fst"))?,
            verbaliser: read(folder.join("verbalizer.fst"))?,
        })
    }

    /// A clause as it is spoken; `None` where the graphs have no reading of it.
    fn spoken(&self, clause: &str, language: Language) -> Option<String> {
        let tagged = String::from_utf8(self.tagger.apply(clause.as_bytes())?).ok()?;
        let ordered = fields::reorder(strip(&tagged), language)?;
        let spoken = String::from_utf8(self.verbaliser.apply(ordered.as_bytes())?).ok()?;
        Some(strip(&spoken).to_owned())
    }
}

impl fmt::Debug for Normaliser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Normaliser")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

fn read(path: PathBuf) -> Result<Transducer, FrontendError> {
    match fs::read(&path) {
        Ok(bytes) => {
            Transducer::from_bytes(&bytes).map_err(|source| FrontendError::Graph { path, source })
        }
        Err(source) => Err(FrontendError::ReadGraph { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_graphs_turn_normalisation_off_and_say_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let normaliser = Normaliser::open(folder.path()).expect("works without");
        let file = folder.path().join("zh/tn/tagger.fst");
        assert_eq!(*normaliser.state(), Normalisation::Missing { file });
        assert_eq!(normaliser.spoken(" 3 cats\n", Language::Other), "3 cats");
    }

    #[test]
    fn a_damaged_graph_is_an_error_with_its_path() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("zh/tn/tagger.fst");
        fs::create_dir_all(folder.path().join("zh/tn")).expect("a folder");
        fs::write(&file, "no graph").expect("a file");
        let error = Normaliser::open(folder.path()).expect_err("damaged");
        assert!(
            matches!(&error, FrontendError::Graph { path, .. } if *path == file),
            "{error}"
        );
    }
}
