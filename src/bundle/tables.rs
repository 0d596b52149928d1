//! `tables.safetensors`: what the host gathers from and computes with.

use super::error::BundleError;
use super::manifest::Manifest;
use super::map::MappedFile;
use super::table::Table;
use super::tensor_file::{Allowed, TensorFileError, TensorIndex};
use super::voice::EMBEDDING_WIDTH;
use crate::ids::Family;
use std::path::Path;

/// The host's tensors. H is `llm.hidden`.
#[derive(Debug, Clone)]
pub struct Tables {
    /// `[text_vocab, H]`: rows for text ids; `None` for v1, whose text encoder holds them.
    pub text_embedding: Option<Table>,
    /// `[rows, H]`: rows for speech ids.
    pub speech_embedding: Table,
    /// `[2, H]`: row 0 starts a sequence, row 1 separates text from speech.
    pub marks: Table,
    /// Weights that merge the nine sines of the vocoder's source.
    pub source_weight: [f32; 9],
    /// Bias of that merge.
    pub source_bias: f32,
    /// Speaker vector to LLM space (v1).
    pub speaker: Option<Speaker>,
}

/// An affine map from a speaker vector to one LLM input (v1).
#[derive(Debug, Clone)]
pub struct Speaker {
    /// `[H, 192]`.
    pub weight: Table,
    /// `[H]`.
    pub bias: Vec<f32>,
}

impl Tables {
    /// Maps the file and checks every shape against the manifest.
    pub(super) fn open(path: &Path, manifest: &Manifest) -> Result<Self, BundleError> {
        let file = MappedFile::open(path).map_err(|source| BundleError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::read(&file, manifest).map_err(|source| BundleError::Tables {
            path: path.to_owned(),
            source,
        })
    }

    fn read(file: &MappedFile, manifest: &Manifest) -> Result<Self, TensorFileError> {
        let bytes = file.as_ref();
        let index = TensorIndex::read(bytes)?;
        let hidden = manifest.llm.hidden;
        let v1 = manifest.family == Family::CosyVoice;

        let table = |tensor, min_rows| {
            let entry = index.get(tensor, Allowed::Floats)?;
            Table::new(file, tensor, entry, hidden, min_rows)
        };
        let vector = |tensor, width| {
            index
                .get(tensor, Allowed::Floats)?
                .shaped(tensor, &[width])?
                .floats(tensor, bytes)
        };

        let marks_entry = index
            .get("marks", Allowed::Floats)?
            .shaped("marks", &[2, hidden])?;
        marks_entry.floats("marks", bytes)?;

        let mut source_weight = [0.0; 9];
        source_weight.copy_from_slice(&vector("source_weight", 9)?);
        Ok(Self {
            text_embedding: (!v1).then(|| table("text_embedding", 1)).transpose()?,
            speech_embedding: table("speech_embedding", manifest.llm.speech_vocab)?,
            marks: Table::new(file, "marks", marks_entry, hidden, 2)?,
            source_weight,
            source_bias: vector("source_bias", 1)?[0],
            speaker: v1
                .then(|| {
                    let weight = index.get("speaker_weight", Allowed::Floats)?;
                    Ok(Speaker {
                        weight: Table::new(
                            file,
                            "speaker_weight",
                            weight.shaped("speaker_weight", &[hidden, EMBEDDING_WIDTH])?,
                            EMBEDDING_WIDTH,
                            hidden,
                        )?,
                        bias: vector("speaker_bias", hidden)?,
                    })
                })
                .transpose()?,
        })
    }
}
