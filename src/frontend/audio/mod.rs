//! Prompt audio: any file to mono samples, samples to the features the models take.
//!
//! Everything here is a pure function of the samples. What the reference computes with `torchaudio`, `librosa` and
//! `whisper` is computed here from the same formulas, filter banks included.

mod clip;
mod decode;
mod error;
mod kaldi_fbank;
mod mel_bank;
mod prompt;
mod prompt_mel;
mod resample;
mod riff;
mod spectrum;
mod whisper_mel;

pub use clip::{Clip, MAX_RATE_HZ};
pub use decode::DecodeLimits;
pub use error::AudioError;
pub use kaldi_fbank::{FBANK_BINS, kaldi_fbank, subtract_mean};
pub use prompt::{
    AlignedPrompt, FEATURE_RATE_HZ, MAX_SECONDS, PromptFeatures, check_prompt, check_source,
    speech_tokenizer_input,
};
pub use prompt_mel::{PromptMelSpec, prompt_mel};
pub use resample::resample;
pub use whisper_mel::{WHISPER_BINS, whisper_mel};
