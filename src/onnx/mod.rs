//! ONNX files: protobuf codec, graph index, checker and rewriting passes; bytes to bytes.
