//! `bundle.yaml`: what a bundle is, can do and holds.

use super::path::BundlePath;
use crate::ids::{Digest, Family, GraphId, Mode};
use crate::tensor::DType;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::ops::RangeInclusive;

/// The manifest, format 1. `onnx/README.md` says what each field means.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this schema.
    pub format: u32,
    /// The bundle's name.
    pub name: String,
    /// Model family.
    pub family: Family,
    /// One line for people.
    pub description: String,
    /// What it was exported from.
    pub source: SourceSpec,
    /// Samples per second of the audio.
    pub sample_rate: u32,
    /// Speech tokens per second.
    pub token_rate: u32,
    /// Mel frames per speech token.
    pub frames_per_token: f64,
    /// Audio samples per mel frame.
    pub samples_per_frame: usize,
    /// Mel bins.
    pub mel_bins: usize,
    /// What the bundle can do.
    pub modes: Vec<Mode>,
    /// What it cannot do, and why.
    #[serde(default, deserialize_with = "distinct")]
    pub lacks: BTreeMap<Mode, String>,
    /// Graphs with the real contract and random weights.
    #[serde(default)]
    pub stand_ins: Vec<GraphId>,
    /// Language model.
    pub llm: LlmSpec,
    /// Sampling of speech tokens.
    pub sampling: SamplingSpec,
    /// Speech tokens to mel.
    pub flow: FlowSpec,
    /// Mel to audio.
    pub hift: HiftSpec,
    /// Text tokenizer; `None`: no mode that takes text.
    #[serde(default)]
    pub tokenizer: Option<TokenizerSpec>,
    /// Files of each graph.
    #[serde(deserialize_with = "distinct")]
    pub graphs: BTreeMap<GraphId, GraphSpec>,
    /// Observed value range of every tensor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranges: Option<BundlePath>,
    /// Every file but the manifest itself.
    #[serde(deserialize_with = "distinct")]
    pub files: BTreeMap<BundlePath, FileSpec>,
}

/// What a bundle was exported from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSpec {
    /// Revision of the original code.
    pub revision: String,
    /// Over the checkpoint's files.
    pub digest: Digest,
}

/// Dimensions and ids of the language model.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LlmSpec {
    /// Transformer layers.
    pub layers: usize,
    /// Width of an embedding, H.
    pub hidden: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Type of the KV cache: f32 or f16.
    pub kv_dtype: DType,
    /// Logits per step, V.
    pub head_rows: usize,
    /// Ids below this are speech.
    pub speech_vocab: usize,
    /// Id that ends a sentence.
    pub eos: i32,
    /// Id that asks for more text in text streaming; `None` where the family has none (v1).
    #[serde(default)]
    pub fill: Option<i32>,
    /// Ids that end generation, both ends included.
    #[serde(with = "pair")]
    pub stop: RangeInclusive<i32>,
    /// Ids trimmed in runs (v3).
    #[serde(default)]
    pub silent: Vec<i32>,
    /// Rows of the position table inside the graph: prompt and answer together fit in it.
    pub max_positions: usize,
}

/// Repetition-aware sampling and the length limits.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplingSpec {
    /// Probability mass of the nucleus.
    pub top_p: f32,
    /// Most candidates in the nucleus.
    pub top_k: usize,
    /// Tokens looked back on for repetitions.
    pub window: usize,
    /// Share of the window that counts as a repetition.
    pub tau: f32,
    /// Fewest speech tokens per text token.
    pub min_ratio: f32,
    /// Most speech tokens per text token.
    pub max_ratio: f32,
}

/// Flow matching.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowSpec {
    /// Euler steps.
    pub steps: usize,
    /// Weight of classifier-free guidance: `v = (1 + guidance) · v0 - guidance · v1`.
    pub guidance: f32,
    /// Tokens the encoder looks ahead.
    pub look_ahead: usize,
    /// Attention chunk of streaming, in tokens.
    pub chunk_tokens: usize,
    /// Where the starting noise comes from.
    pub noise: NoiseKind,
    /// Tokens the encoder's position table has room for, prompt included; `None` where it has no table (v3).
    #[serde(default)]
    pub max_tokens: Option<usize>,
}

/// Where the flow's starting noise comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoiseKind {
    /// The same buffer for every call (v2, v3).
    Fixed,
    /// Drawn anew for every call (v1).
    Fresh,
}

/// Vocoder constants.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HiftSpec {
    /// Sines of the source, the fundamental included.
    pub harmonics: usize,
    /// Amplitude of each sine.
    pub sine_amplitude: f32,
    /// Standard deviation of the noise in voiced frames.
    pub noise_std: f32,
    /// Frames with F0 above this are voiced.
    pub voiced_threshold_hz: f32,
    /// Audio is clamped to plus and minus this.
    pub audio_limit: f32,
    /// How the phase is made.
    pub sine: SineKind,
}

/// How the phase of the source's sines is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SineKind {
    /// Summed over samples (v1).
    Cumulative,
    /// Summed over frames, interpolated in between (v2).
    Interpolated,
    /// Summed over frames, with fixed starting phases and noise (v3).
    Framewise,
}

/// The text tokenizer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerSpec {
    /// Tokenizer in the Hugging Face format, or `*.tiktoken`: Whisper's vocabulary.
    pub file: BundlePath,
    /// Id of `<|endofprompt|>`; `None` where the vocabulary has none.
    #[serde(default)]
    pub endofprompt: Option<i32>,
}

/// The files of one graph.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraphSpec {
    /// The ONNX file.
    pub file: BundlePath,
    /// External weights it refers to.
    #[serde(default)]
    pub data: Vec<BundlePath>,
}

/// A listed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    /// Size.
    pub bytes: u64,
    /// Content.
    pub sha256: Digest,
}

/// An inclusive range written as `[first, last]`.
mod pair {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::ops::RangeInclusive;

    pub(super) fn serialize<S: Serializer>(
        range: &RangeInclusive<i32>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        [range.start(), range.end()].serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<RangeInclusive<i32>, D::Error> {
        <[i32; 2]>::deserialize(deserializer).map(|[first, last]| first..=last)
    }
}

/// A map whose keys may not repeat; serde alone would keep the last of them.
fn distinct<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
where
    K: Deserialize<'de> + Ord + std::fmt::Display,
    V: Deserialize<'de>,
    D: Deserializer<'de>,
{
    struct Distinct<K, V>(PhantomData<(K, V)>);

    impl<'de, K, V> Visitor<'de> for Distinct<K, V>
    where
        K: Deserialize<'de> + Ord + std::fmt::Display,
        V: Deserialize<'de>,
    {
        type Value = BTreeMap<K, V>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a mapping")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some(key) = entries.next_key::<K>()? {
                if map.contains_key(&key) {
                    return Err(A::Error::custom(format_args!("`{key}` is listed twice")));
                }
                let value = entries.next_value()?;
                map.insert(key, value);
            }
            Ok(map)
        }
    }

    deserializer.deserialize_map(Distinct(PhantomData))
}
