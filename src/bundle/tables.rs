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

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::super::table::TableError;
    use super::*;
    use safetensors::Dtype;

    fn open(bytes: &[u8], manifest: &Manifest) -> Result<Tables, BundleError> {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), bytes).expect("written");
        Tables::open(file.path(), manifest)
    }

    #[test]
    fn rows_of_both_types_are_copied() {
        let tables = open(&fixture::tables(), &fixture::manifest()).expect("sound");
        let text = tables.text_embedding.expect("v2 has one");
        for (table, rows) in [
            (&text, 8),
            (&tables.speech_embedding, 9),
            (&tables.marks, 2),
        ] {
            assert_eq!((table.rows(), table.width()), (rows, 4));
            let last = i32::try_from(rows).expect("small") - 1;
            let mut row = [f32::NAN; 4];
            table.copy_row(last, &mut row).expect("there");
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            let first = last as f32;
            let expected = [first, first + 0.25, first + 0.5, first + 0.75];
            assert_eq!(row.map(f32::to_bits), expected.map(f32::to_bits));
        }
        assert_eq!(tables.source_weight[..5], [0.0, 0.25, 0.5, 0.75, 1.0]);
        assert_eq!(tables.source_bias.to_bits(), 0.125_f32.to_bits());
    }

    #[test]
    fn a_row_that_is_not_there_is_refused_and_nothing_written() {
        let tables = open(&fixture::tables(), &fixture::manifest()).expect("sound");
        let mut row = [7.0; 4];
        for id in [-1, 9, i32::MIN, i32::MAX] {
            let error = tables.speech_embedding.copy_row(id, &mut row);
            assert_eq!(error, Err(TableError::NoRow { id, rows: 9 }));
        }
        let error = tables.speech_embedding.copy_row(0, &mut row[..3]);
        assert_eq!(error, Err(TableError::Width { width: 4, given: 3 }));
        assert_eq!(row.map(f32::to_bits), [7.0_f32.to_bits(); 4]);
    }

    #[test]
    fn tensors_that_do_not_fit_the_manifest_are_named() {
        let zeros = |elements: usize| vec![0; elements * 4];
        let sound = || {
            vec![
                ("text_embedding", Dtype::F32, vec![8, 4], zeros(32)),
                ("speech_embedding", Dtype::F32, vec![6, 4], zeros(24)),
                ("marks", Dtype::F32, vec![2, 4], zeros(8)),
                ("source_weight", Dtype::F32, vec![9], zeros(9)),
                ("source_bias", Dtype::F32, vec![1], zeros(1)),
            ]
        };
        let open = |tensors: &[(&str, Dtype, Vec<usize>, Vec<u8>)]| {
            let borrowed: Vec<_> = tensors
                .iter()
                .map(|(n, d, s, b)| (*n, *d, &s[..], b.clone()))
                .collect();
            open(&fixture::safetensors_file(&borrowed), &fixture::manifest())
        };
        open(&sound()).expect("the least that is needed");
        for (at, shape) in [
            (0, vec![8, 5]),
            (1, vec![5, 4]),
            (2, vec![3, 4]),
            (3, vec![8]),
            (4, vec![0]),
        ] {
            let mut tensors = sound();
            let name = tensors[at].0;
            tensors[at].3 = zeros(shape.iter().product());
            tensors[at].2 = shape;
            match open(&tensors) {
                Err(BundleError::Tables {
                    source: TensorFileError::Shape { tensor, .. },
                    ..
                }) => assert_eq!(tensor, name),
                other => panic!("{name}: {other:?}"),
            }
            let mut tensors = sound();
            tensors.remove(at);
            assert!(matches!(
                open(&tensors),
                Err(BundleError::Tables { source: TensorFileError::Missing { tensor }, .. }) if tensor == name
            ));
        }
    }

    #[test]
    fn damaged_files_never_panic() {
        let manifest = fixture::manifest();
        let whole = fixture::tables();
        let mut row = [0.0; 4];
        for bytes in fixture::damaged(&whole).step_by(7) {
            if let Ok(tables) = open(&bytes, &manifest) {
                let last = i32::try_from(tables.speech_embedding.rows()).expect("small") - 1;
                tables
                    .speech_embedding
                    .copy_row(last, &mut row)
                    .expect("counted");
            }
        }
    }
}
