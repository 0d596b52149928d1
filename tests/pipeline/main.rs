//! The pipeline over the exported graphs of `onnx/cosyvoice2-tiny`: every stage against recorded outputs of the original
//! modules, then whole utterances.
//!
//! `tests/data/goldens/README.md` describes the recordings.

mod allocations;
mod device;
mod faults;
mod fixture;
mod llm;
mod parity;
mod prompt;
mod speaking;
mod tensorrt;
