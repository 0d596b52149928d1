//! Why a manifest is refused.

use super::check::{FORMAT, MANIFEST_FILE};
use super::path::BundlePath;
use crate::ids::{Family, GraphId, Mode};
use crate::tensor::DType;
use crate::yaml::YamlError;

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
    /// A way of making noise or sines that its family does not have.
    #[error("`{field}` is not how {family} makes it")]
    ForeignKind {
        /// The field, dotted.
        field: &'static str,
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
