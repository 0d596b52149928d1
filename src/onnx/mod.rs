//! ONNX files: protobuf codec, graph index, checker and rewriting passes; bytes to bytes.

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    reason = "generated from proto/onnx.proto, which documents every field"
)]
#[rustfmt::skip]
pub mod proto;
