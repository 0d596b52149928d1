//! What a manifest must hold beyond its form.

use super::manifest::{LlmSpec, Manifest};
use super::path::BundlePath;
use crate::ids::{Family, GraphId, Mode};
use crate::tensor::DType;
use crate::yaml::{self, YamlError};
use std::collections::BTreeMap;

/// The schema this program reads.
pub(super) const FORMAT: u32 = 1;
/// The manifest's own name.
pub(super) const MANIFEST_FILE: &str = "bundle.yaml";
/// The host's tensors.
pub(super) const TABLES_FILE: &str = "tables.safetensors";

/// Why a manifest is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// No YAML of this schema.
    #[error(transparent)]
    Yaml(YamlError),
    /// Longer than any manifest is.
    #[error("the manifest has more than {max_bytes} bytes")]
    TooLarge {
        /// Bytes read at most.
        max_bytes: u64,
    },
    /// Written for another version of this program.
    #[error("format is {found}, this program reads {FORMAT}")]
    Format {
        /// The version found.
        found: u64,
    },
    /// A number is out of its range.
    #[error("`{field}` is {found}, allowed is {min} to {max}")]
    Range {
        /// The field, dotted.
        field: &'static str,
        /// Its value.
        found: f64,
        /// Smallest allowed.
        min: f64,
        /// Largest allowed.
        max: f64,
    },
    /// The KV cache has a type no graph takes.
    #[error("`llm.kv_dtype` is {found}, allowed is f32 or f16")]
    KvDtype {
        /// The type.
        found: DType,
    },
    /// The rates contradict each other.
    #[error(
        "`sample_rate` is {sample_rate}, but token_rate · frames_per_token · samples_per_frame is {product}"
    )]
    Rates {
        /// The rate stated.
        sample_rate: u32,
        /// The rate that follows.
        product: f64,
    },
    /// The bundle's name is not one a folder can have.
    #[error("`name` is `{}`: letters, digits, `-`, `_` and `.` only, at most 64, no dot in front", found.escape_debug())]
    Name {
        /// The name.
        found: String,
    },
    /// A graph its family does not have.
    #[error("`graphs` names {graph}, which {family} does not have")]
    ForeignGraph {
        /// The graph.
        graph: GraphId,
        /// The family.
        family: Family,
    },
    /// A mode without a graph it runs.
    #[error("`modes` names {mode}, which needs the graph {graph}")]
    ModeNeedsGraph {
        /// The mode.
        mode: Mode,
        /// The graph `graphs` lacks.
        graph: GraphId,
    },
    /// A mode that takes text without a tokenizer.
    #[error("`modes` names {mode}, which needs a tokenizer")]
    ModeNeedsTokenizer {
        /// The mode.
        mode: Mode,
    },
    /// A mode twice in `modes`, or in both `modes` and `lacks`.
    #[error("mode {mode} is named twice in `modes` and `lacks`")]
    ModeTwice {
        /// The mode.
        mode: Mode,
    },
    /// A file with a role that `files` does not list.
    #[error("`{role}` is {file}, which `files` does not list")]
    NotListed {
        /// The role, dotted.
        role: String,
        /// The file.
        file: String,
    },
    /// One file in two roles.
    #[error("`{first}` and `{second}` are both {file}")]
    SharedFile {
        /// The file.
        file: BundlePath,
        /// One role.
        first: String,
        /// The other.
        second: String,
    },
    /// The manifest lists itself.
    #[error("`files` lists {MANIFEST_FILE}, which cannot hold its own digest")]
    ListsItself,
}

impl Manifest {
    /// Parses and checks a manifest.
    ///
    /// # Errors
    /// [`ManifestError`] naming the first field that is wrong.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        /// Read first: another format may have other fields.
        #[derive(serde::Deserialize)]
        struct Versioned {
            format: u64,
        }
        let Versioned { format } = yaml::parse(text).map_err(ManifestError::Yaml)?;
        if format != u64::from(FORMAT) {
            return Err(ManifestError::Format { found: format });
        }
        let manifest: Self = yaml::parse(text).map_err(ManifestError::Yaml)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Mel frames that stand for `tokens` speech tokens.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "token counts are far below 2^52 and the ratio is checked positive"
    )]
    pub fn frames_of_tokens(&self, tokens: usize) -> usize {
        (tokens as f64 * self.frames_per_token).round() as usize
    }

    fn check(&self) -> Result<(), ManifestError> {
        check_name(&self.name)?;
        self.check_numbers()?;
        self.llm.check()?;
        self.check_rates()?;
        self.check_graphs()?;
        self.check_modes()?;
        self.check_files()
    }

    fn check_numbers(&self) -> Result<(), ManifestError> {
        let Self {
            sampling,
            flow,
            hift,
            ..
        } = self;
        within("sample_rate", self.sample_rate, 8_000.0, 192_000.0)?;
        within("token_rate", self.token_rate, 1.0, 1_000.0)?;
        within("frames_per_token", self.frames_per_token, 0.5, 64.0)?;
        within(
            "samples_per_frame",
            count(self.samples_per_frame),
            1.0,
            8_192.0,
        )?;
        within("mel_bins", count(self.mel_bins), 1.0, 1_024.0)?;

        within("sampling.top_p", sampling.top_p, 0.0, 1.0)?;
        within("sampling.top_k", count(sampling.top_k), 1.0, MAX_VOCAB)?;
        within("sampling.window", count(sampling.window), 0.0, 10_000.0)?;
        within("sampling.tau", sampling.tau, 0.0, 1.0)?;
        within("sampling.max_ratio", sampling.max_ratio, 0.0, 1_000.0)?;
        within(
            "sampling.min_ratio",
            sampling.min_ratio,
            0.0,
            f64::from(sampling.max_ratio),
        )?;

        within("flow.steps", count(flow.steps), 1.0, 1_000.0)?;
        within("flow.guidance", flow.guidance, 0.0, 100.0)?;
        within("flow.look_ahead", count(flow.look_ahead), 0.0, 64.0)?;
        within("flow.chunk_tokens", count(flow.chunk_tokens), 1.0, 10_000.0)?;
        if let Some(max_tokens) = flow.max_tokens {
            within("flow.max_tokens", count(max_tokens), 1.0, 1_000_000.0)?;
        }

        // `source_weight` merges exactly nine sines.
        within("hift.harmonics", count(hift.harmonics), 9.0, 9.0)?;
        within("hift.sine_amplitude", hift.sine_amplitude, 0.0, 1.0)?;
        within("hift.noise_std", hift.noise_std, 0.0, 1.0)?;
        within(
            "hift.voiced_threshold_hz",
            hift.voiced_threshold_hz,
            0.0,
            10_000.0,
        )?;
        within("hift.audio_limit", hift.audio_limit, 0.01, 1.0)?;

        match self.tokenizer.as_ref().and_then(|spec| spec.endofprompt) {
            Some(id) => within("tokenizer.endofprompt", id, 0.0, MAX_VOCAB),
            None => Ok(()),
        }
    }

    fn check_rates(&self) -> Result<(), ManifestError> {
        let product =
            f64::from(self.token_rate) * self.frames_per_token * count(self.samples_per_frame);
        if (product - f64::from(self.sample_rate)).abs() > 1e-6 * product {
            return Err(ManifestError::Rates {
                sample_rate: self.sample_rate,
                product,
            });
        }
        Ok(())
    }

    fn check_graphs(&self) -> Result<(), ManifestError> {
        let only_v1 = [GraphId::TextEncoder, GraphId::LengthRegulator];
        match only_v1
            .into_iter()
            .find(|graph| self.graphs.contains_key(graph))
        {
            Some(graph) if self.family != Family::CosyVoice => Err(ManifestError::ForeignGraph {
                graph,
                family: self.family,
            }),
            _ => Ok(()),
        }
    }

    fn check_modes(&self) -> Result<(), ManifestError> {
        for (index, &mode) in self.modes.iter().enumerate() {
            if self.modes[..index].contains(&mode) || self.lacks.contains_key(&mode) {
                return Err(ManifestError::ModeTwice { mode });
            }
            if mode.takes_text() && self.tokenizer.is_none() {
                return Err(ManifestError::ModeNeedsTokenizer { mode });
            }
            let missing = graphs_run_by(mode, self.family)
                .into_iter()
                .find(|graph| !self.graphs.contains_key(graph));
            if let Some(graph) = missing {
                return Err(ManifestError::ModeNeedsGraph { mode, graph });
            }
        }
        Ok(())
    }

    fn check_files(&self) -> Result<(), ManifestError> {
        if self.files.keys().any(|file| file.as_str() == MANIFEST_FILE) {
            return Err(ManifestError::ListsItself);
        }
        if !self.files.keys().any(|file| file.as_str() == TABLES_FILE) {
            return Err(ManifestError::NotListed {
                role: "tables".to_owned(),
                file: TABLES_FILE.to_owned(),
            });
        }
        let mut roles = BTreeMap::new();
        for (role, file) in self.roles() {
            if !self.files.contains_key(file) {
                return Err(ManifestError::NotListed {
                    role,
                    file: file.to_string(),
                });
            }
            if let Some(first) = roles.insert(file, role.clone()) {
                return Err(ManifestError::SharedFile {
                    file: file.clone(),
                    first,
                    second: role,
                });
            }
        }
        Ok(())
    }

    /// Every file the manifest names by its role.
    fn roles(&self) -> impl Iterator<Item = (String, &BundlePath)> {
        let graphs = self.graphs.iter().flat_map(|(graph, spec)| {
            let data = spec.data.iter();
            std::iter::once((format!("graphs.{graph}.file"), &spec.file))
                .chain(data.map(move |file| (format!("graphs.{graph}.data"), file)))
        });
        let tokenizer = self.tokenizer.iter();
        let ranges = self.ranges.iter();
        graphs
            .chain(tokenizer.map(|spec| ("tokenizer.file".to_owned(), &spec.file)))
            .chain(ranges.map(|file| ("ranges".to_owned(), file)))
    }
}

impl LlmSpec {
    fn check(&self) -> Result<(), ManifestError> {
        within("llm.layers", count(self.layers), 1.0, 1_024.0)?;
        within("llm.hidden", count(self.hidden), 1.0, 65_536.0)?;
        within("llm.kv_heads", count(self.kv_heads), 1.0, 1_024.0)?;
        within("llm.head_dim", count(self.head_dim), 1.0, 4_096.0)?;
        within("llm.head_rows", count(self.head_rows), 1.0, MAX_VOCAB)?;
        within(
            "llm.speech_vocab",
            count(self.speech_vocab),
            1.0,
            count(self.head_rows),
        )?;
        within(
            "llm.max_positions",
            count(self.max_positions),
            1.0,
            16_777_216.0,
        )?;

        if !matches!(self.kv_dtype, DType::F32 | DType::F16) {
            return Err(ManifestError::KvDtype {
                found: self.kv_dtype,
            });
        }
        let last_row = count(self.head_rows) - 1.0;
        let (first, last) = (*self.stop.start(), *self.stop.end());
        within("llm.stop[0]", first, count(self.speech_vocab), last_row)?;
        within("llm.stop[1]", last, f64::from(first), last_row)?;
        within("llm.eos", self.eos, f64::from(first), f64::from(last))?;
        if let Some(fill) = self.fill {
            within("llm.fill", fill, f64::from(first), f64::from(last))?;
        }
        self.silent
            .iter()
            .try_for_each(|id| within("llm.silent", *id, 0.0, count(self.speech_vocab) - 1.0))
    }
}

const MAX_VOCAB: f64 = 16_777_216.0;

/// Refuses NaN as well.
fn within(
    field: &'static str,
    found: impl Into<f64>,
    min: f64,
    max: f64,
) -> Result<(), ManifestError> {
    let found = found.into();
    if (min..=max).contains(&found) {
        return Ok(());
    }
    Err(ManifestError::Range {
        field,
        found,
        min,
        max,
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "only compared with limits far below 2^52"
)]
fn count(value: usize) -> f64 {
    value as f64
}

fn check_name(name: &str) -> Result<(), ManifestError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 64 || name.starts_with('.') || !name.chars().all(plain) {
        return Err(ManifestError::Name {
            found: name.chars().take(80).collect(),
        });
    }
    Ok(())
}

fn graphs_run_by(mode: Mode, family: Family) -> Vec<GraphId> {
    let mut graphs = vec![
        GraphId::FlowEncoder,
        GraphId::FlowEstimator,
        GraphId::HiftF0,
        GraphId::HiftDecode,
    ];
    graphs.push(if mode.takes_text() {
        GraphId::Llm
    } else {
        GraphId::SpeechTokenizer
    });
    if family == Family::CosyVoice {
        graphs.push(GraphId::LengthRegulator);
        graphs.extend(mode.takes_text().then_some(GraphId::TextEncoder));
    }
    graphs
}
