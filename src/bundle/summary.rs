//! A bundle as `cvtrt inspect` shows it.

use super::check::TABLES_FILE;
use super::error::BundleError;
use super::manifest::Manifest;
use super::map::MappedFile;
use super::open::Bundle;
use super::path::BundlePath;
use super::tensor_file::TensorIndex;
use super::voice::Voice;
use crate::ids::{Digest, Family, GraphId, Mode};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A bundle as `cvtrt inspect` shows it; read without a backend.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct BundleSummary {
    /// Its folder.
    pub dir: PathBuf,
    /// Its name.
    pub name: String,
    /// Model family.
    pub family: Family,
    /// One line for people.
    pub description: String,
    /// Samples per second of the audio.
    pub sample_rate: u32,
    /// Speech tokens per second.
    pub token_rate: u32,
    /// What it can do.
    pub modes: Vec<Mode>,
    /// What it cannot do, and why.
    pub lacks: BTreeMap<Mode, String>,
    /// Graphs with random weights.
    pub stand_ins: Vec<GraphId>,
    /// Its graphs.
    pub graphs: Vec<GraphSummary>,
    /// The host's tensors.
    pub tables: Vec<TableSummary>,
    /// Its voices.
    pub voices: Vec<VoiceSummary>,
    /// Size of all listed files.
    pub total_bytes: u64,
}

/// One graph of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct GraphSummary {
    /// Which graph.
    pub graph: GraphId,
    /// The ONNX file.
    pub file: BundlePath,
    /// Size with its external weights.
    pub bytes: u64,
    /// Content with its external weights, as in [`GraphFile::sha256`](super::GraphFile::sha256).
    pub sha256: Digest,
}

/// One tensor of `tables.safetensors`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct TableSummary {
    /// The tensor.
    pub name: String,
    /// Type of its elements.
    pub dtype: String,
    /// Its shape.
    pub shape: Vec<usize>,
}

/// One voice of a bundle.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct VoiceSummary {
    /// Its name.
    pub name: String,
    /// Prompt tokens; 0 for a voice without a prompt.
    pub prompt_tokens: usize,
    /// Mel frames of the prompt.
    pub prompt_frames: usize,
    /// Length of the prompt.
    pub prompt_seconds: f64,
    /// What the prompt says.
    pub transcript: Option<String>,
    /// Euclidean length of the speaker's embedding.
    pub embedding_norm: f64,
}

impl VoiceSummary {
    /// Describes a voice of the bundle with this manifest.
    pub fn of(voice: &Voice, manifest: &Manifest) -> Self {
        let prompt_tokens = voice.prompt_token.len();
        let squares = voice
            .embedding
            .iter()
            .map(|value| f64::from(*value).powi(2));
        Self {
            name: voice.name.clone(),
            prompt_tokens,
            prompt_frames: voice.prompt_mel.len() / manifest.mel_bins,
            prompt_seconds: seconds(prompt_tokens, manifest.token_rate),
            transcript: voice.transcript.clone(),
            embedding_norm: squares.sum::<f64>().sqrt(),
        }
    }
}

impl Bundle {
    /// Describes the bundle.
    ///
    /// # Errors
    /// [`BundleError`] when the tables or a voice are unsound.
    pub fn summary(&self) -> Result<BundleSummary, BundleError> {
        let manifest = self.manifest();
        let bytes_of = |file: &BundlePath| manifest.files[file].bytes;
        let graphs = manifest
            .graphs
            .iter()
            .map(|(&graph, spec)| {
                Ok(GraphSummary {
                    graph,
                    file: spec.file.clone(),
                    bytes: bytes_of(&spec.file) + spec.data.iter().map(bytes_of).sum::<u64>(),
                    sha256: self.graph_file(graph)?.sha256,
                })
            })
            .collect::<Result<_, BundleError>>()?;
        Ok(BundleSummary {
            dir: self.dir().to_owned(),
            name: manifest.name.clone(),
            family: manifest.family,
            description: manifest.description.clone(),
            sample_rate: manifest.sample_rate,
            token_rate: manifest.token_rate,
            modes: manifest.modes.clone(),
            lacks: manifest.lacks.clone(),
            stand_ins: manifest.stand_ins.clone(),
            graphs,
            tables: self.table_summaries()?,
            voices: self.voice_summaries()?,
            total_bytes: manifest.files.values().map(|file| file.bytes).sum(),
        })
    }

    fn table_summaries(&self) -> Result<Vec<TableSummary>, BundleError> {
        self.tables()?;
        let path = self.dir().join(TABLES_FILE);
        let file = MappedFile::open(&path).map_err(|source| BundleError::Read {
            path: path.clone(),
            source,
        })?;
        let index = TensorIndex::read(file.as_ref())
            .map_err(|source| BundleError::Tables { path, source })?;
        let describe = |name: String| {
            let (dtype, shape) = index.describe(&name)?;
            Some(TableSummary {
                dtype,
                shape: shape.to_vec(),
                name,
            })
        };
        Ok(index.names().into_iter().filter_map(describe).collect())
    }

    /// Describes every voice.
    ///
    /// # Errors
    /// [`BundleError::Voice`] when one is unsound.
    pub fn voice_summaries(&self) -> Result<Vec<VoiceSummary>, BundleError> {
        self.voice_names()
            .iter()
            .map(|name| Ok(VoiceSummary::of(&self.voice(name)?, self.manifest())))
            .collect()
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a prompt has a few hundred tokens"
)]
fn seconds(tokens: usize, token_rate: u32) -> f64 {
    tokens as f64 / f64::from(token_rate)
}
