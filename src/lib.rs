//! `cvtrt`: from an exported CosyVoice model to verified, cached TensorRT engines, and from text to speech.
//!
//! Each module is a room with one subject; data moves from [`bundle`] to [`cli`]. `ARCHITECTURE.md` draws the way, and
//! `tests/layers.rs` holds which room may use which.

pub mod backend;
pub mod build;
pub mod bundle;
pub mod cache;
pub mod cli;
pub mod compare;
pub mod config;
pub mod cuda;
pub mod deploy;
pub mod diagnose;
pub mod elf;
pub mod frontend;
pub mod hint;
pub mod ids;
pub mod onnx;
pub mod parity;
pub mod pipeline;
pub mod profile;
pub mod qualify;
pub mod reading;
#[cfg(feature = "serve")]
pub mod scheduler;
#[cfg(feature = "serve")]
pub mod server;
pub mod setup;
pub mod stat;
pub mod telemetry;
pub mod tensor;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod trt;
pub mod yaml;
