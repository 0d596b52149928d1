//! Text to ids in front of the model, samples to files behind it.

#[cfg(feature = "serve")]
pub mod encode;
mod error;
mod tokenizer;

pub mod audio;
pub mod pcm;
pub mod text;
pub mod wav;

pub use error::FrontendError;
pub use tokenizer::TextTokenizer;
