//! From token ids to audio: language model, flow and vocoder over opened sessions.
//!
//! [`Utterance`] is the order of work without the work; [`LlmStage`], [`FlowStage`] and [`HiftStage`] do the work
//! without knowing the order; [`Synthesizer`] brings the two together for one utterance at a time. [`PromptStage`] hears
//! recordings, before any utterance. Random numbers come in through [`Uniforms`] and [`SourceNoise`], so that a run can
//! be repeated exactly.

mod drawing;
mod error;
mod flow;
mod graph;
mod hift;
mod llm;
mod loops;
mod mel;
mod prompt;
mod random;
mod recordings;
mod request;
mod sampling;
mod schedule;
mod silence;
mod speech;
mod synth;
mod times;
mod utterance;

pub use drawing::{Drawing, Lengths};
pub use error::{OpenError, SpeechError};
pub use flow::{Attention, FixedNoise, FlowCall, FlowSolve, FlowStage};
pub use graph::ContractError;
pub use hift::HiftStage;
pub use llm::{BUCKETS, Feed, LlmPrompt, LlmStage, SlotId};
pub use loops::LoopWatch;
pub use mel::stretch;
pub use prompt::PromptStage;
pub use random::{SeededNoise, SourceNoise, SplitMix64, Uniforms};
pub use request::{ConversionRequest, SpeechRequest, check_speed};
pub use sampling::{NotFinite, Sampler};
pub use schedule::{Piece, Schedule};
pub use silence::Silence;
pub use speech::Speech;
pub use synth::{Graphs, LoadedGraph, NEEDED, Synthesizer, check_family};
pub use times::{StageTime, StageTimes};
pub use utterance::{Demand, End, Utterance};
