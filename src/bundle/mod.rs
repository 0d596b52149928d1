//! A model directory understood: manifest, files and their digests, host tables, voices.
//!
//! `onnx/README.md` is the schema. Everything here treats a bundle as input from elsewhere: sizes are bounded, paths
//! stay inside the folder, and what the manifest does not list is not read.

mod bounds;
mod check;
mod checkpoint;
mod edit;
mod error;
mod locate;
mod manifest;
mod manifest_error;
mod map;
mod open;
mod path;
mod solver;
mod source;
mod stat_cache;
mod summary;
mod table;
mod tables;
mod tensor_file;
mod voice;
mod whole_file;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod shipped;

pub use checkpoint::{CheckpointError, check_checkpoint};
pub use error::BundleError;
pub use manifest::{
    FileSpec, FlowSpec, GraphSpec, HiftSpec, LlmSpec, Manifest, NoiseKind, SamplingSpec, SineKind,
    SourceSpec, TokenizerSpec,
};
pub use manifest_error::ManifestError;
pub use open::{Bundle, GraphFile};
pub use path::{BundlePath, BundlePathError};
pub use solver::solver_times;
pub use source::checkpoint_digest;
pub use stat_cache::{StatCache, StatCacheError};
pub use summary::{BundleSummary, GraphSummary, TableSummary, VoiceSummary};
pub use table::{Table, TableError};
pub use tables::{Speaker, Tables};
pub use tensor_file::TensorFileError;
pub use voice::{EMBEDDING_WIDTH, Voice, VoiceError, check_voice_name};
