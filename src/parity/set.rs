//! The recordings of a folder.

use super::error::{GoldenError, ParityError};
use crate::bundle::Bundle;
use crate::frontend::TextTokenizer;
use crate::ids::GraphId;
use std::fmt;
use std::path::{Path, PathBuf};

/// What was recorded in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// `golden_llm*.npz`: prompts, logits and tokens.
    Llm,
    /// `golden_flow*.npz`: tokens to mel.
    Flow,
    /// `golden_hift*.npz`: mel to waveform.
    Hift,
    /// `golden_e2e*.npz`: tokens to waveform.
    #[serde(rename = "e2e")]
    EndToEnd,
    /// `sampling.npz`: single draws.
    Sampling,
    /// `frontend_audio.npz`: features of clips.
    Audio,
    /// `text.json`: texts to segments and ids.
    Text,
    /// Another `golden*.npz`.
    Unknown,
}

/// The recordings of one folder.
#[derive(Debug)]
pub struct GoldenSet {
    dir: PathBuf,
    files: Vec<(Stage, PathBuf)>,
    vocabulary: Option<PathBuf>,
}

impl GoldenSet {
    /// Finds the recordings in a folder, without reading them.
    ///
    /// # Errors
    /// [`GoldenError::Read`] where there is no such folder, [`ParityError::Empty`] where it holds no recording.
    pub fn open(dir: &Path) -> Result<Self, ParityError> {
        let unreadable = |source| GoldenError::Read {
            path: dir.to_owned(),
            source,
        };
        let (mut files, mut vocabularies) = (Vec::new(), Vec::new());
        for entry in std::fs::read_dir(dir).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if let Some(stage) = Stage::of_file(&name) {
                files.push((stage, path));
            } else if name.ends_with(".tiktoken") {
                vocabularies.push(path);
            }
        }
        if files.is_empty() {
            return Err(ParityError::Empty {
                dir: dir.to_owned(),
            });
        }
        files.sort();
        Ok(Self {
            dir: dir.to_owned(),
            files,
            vocabulary: vocabularies.into_iter().min(),
        })
    }

    /// The graphs that the recordings run, each once.
    pub fn graphs(&self) -> Vec<GraphId> {
        let graphs = self.files.iter().flat_map(|(stage, _)| stage.graphs());
        let mut graphs: Vec<GraphId> = graphs.copied().collect();
        graphs.sort_unstable();
        graphs.dedup();
        graphs
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn files(&self) -> &[(Stage, PathBuf)] {
        &self.files
    }

    /// Whisper's vocabulary, in whose tokens the recorded texts are measured: beside them, or a v1 bundle's own.
    pub(super) fn vocabulary(&self, bundle: &Bundle) -> Result<Option<TextTokenizer>, GoldenError> {
        let is_whispers = |path: &PathBuf| path.extension().is_some_and(|end| end == "tiktoken");
        let of_bundle = bundle.tokenizer_path().filter(is_whispers);
        let path = self.vocabulary.clone().or(of_bundle);
        Ok(path.map(|path| TextTokenizer::open(&path)).transpose()?)
    }
}

impl Stage {
    fn of_file(name: &str) -> Option<Self> {
        match name {
            "frontend_audio.npz" => return Some(Self::Audio),
            "sampling.npz" => return Some(Self::Sampling),
            "text.json" => return Some(Self::Text),
            _ => {}
        }
        let stem = name.strip_prefix("golden")?.strip_suffix(".npz")?;
        let stages = [
            ("_llm", Self::Llm),
            ("_flow", Self::Flow),
            ("_hift", Self::Hift),
            ("_e2e", Self::EndToEnd),
        ];
        let named = stages.into_iter().find(|(word, _)| stem.starts_with(word));
        Some(named.map_or(Self::Unknown, |(_, stage)| stage))
    }

    fn graphs(self) -> &'static [GraphId] {
        match self {
            Self::Llm => &[GraphId::Llm],
            Self::Flow => super::flow::GRAPHS,
            Self::Hift => super::hift::GRAPHS,
            Self::EndToEnd => super::e2e::GRAPHS,
            Self::Sampling | Self::Audio | Self::Text | Self::Unknown => &[],
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Llm => "llm",
            Self::Flow => "flow",
            Self::Hift => "hift",
            Self::EndToEnd => "e2e",
            Self::Sampling => "sampling",
            Self::Audio => "audio",
            Self::Text => "text",
            Self::Unknown => "unknown",
        })
    }
}
