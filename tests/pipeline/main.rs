//! The pipeline over the exported graphs of `onnx/cosyvoice2-tiny`: every stage against recorded outputs of the original
//! modules, then whole utterances.
//!
//! `tests/data/goldens/README.md` describes the recordings.

mod allocations;
mod e2e;
mod faults;
mod fixture;
mod flow;
mod hift;
mod llm;
mod noise;
mod prompt;
mod sampling;
mod speaking;
