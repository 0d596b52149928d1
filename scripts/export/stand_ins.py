"""Prompt encoders with the real contract and random weights, for bundles without released ones."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .tracing import IR_VERSION, OPSET

WIDTH = 16
SEED = 41


def write_speech_tokenizer(path: Path, vocab: int) -> None:
    """`feats` `[1, 128, features]`, `feats_length` i32 `[1]` → `indices` i64 `[1, about length / 4]`, below `vocab`."""
    random = np.random.default_rng(SEED)
    weights = {
        "zero": np.array([0], np.int32),
        "time": np.array([2], np.int32),
        "first": _normal(random, WIDTH, 128, 3),
        "second": _normal(random, vocab, WIDTH, 3),
    }
    halving = {"strides": [2], "pads": [1, 1], "kernel_shape": [3]}
    nodes = [
        helper.make_node("Slice", ["feats", "zero", "feats_length", "time"], ["heard"]),
        helper.make_node("Conv", ["heard", "first"], ["halved"], **halving),
        helper.make_node("Relu", ["halved"], ["active"]),
        helper.make_node("Conv", ["active", "second"], ["scores"], **halving),
        helper.make_node("ArgMax", ["scores"], ["indices"], axis=1, keepdims=0),
    ]
    inputs = [
        helper.make_tensor_value_info("feats", TensorProto.FLOAT, [1, 128, "features"]),
        helper.make_tensor_value_info("feats_length", TensorProto.INT32, [1]),
    ]
    outputs = [helper.make_tensor_value_info("indices", TensorProto.INT64, [1, "tokens"])]
    _write(path, "speech_tokenizer", nodes, weights, inputs, outputs)


def write_campplus(path: Path, bins: int, width: int) -> None:
    """`input` `[1, features, bins]` → `output` `[1, width]`."""
    random = np.random.default_rng(SEED + 1)
    weights = {"first": _normal(random, bins, WIDTH), "second": _normal(random, WIDTH, width)}
    nodes = [
        helper.make_node("MatMul", ["input", "first"], ["projected"]),
        helper.make_node("Tanh", ["projected"], ["active"]),
        helper.make_node("ReduceMean", ["active"], ["pooled"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["pooled", "second"], ["output"]),
    ]
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, "features", bins])]
    outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, width])]
    _write(path, "campplus", nodes, weights, inputs, outputs)


def _normal(random: np.random.Generator, *shape: int) -> np.ndarray:
    return (random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def _write(path: Path, name: str, nodes, weights, inputs, outputs) -> None:
    initialisers = [numpy_helper.from_array(value, key) for key, value in weights.items()]
    graph = helper.make_graph(nodes, name, inputs, outputs, initialisers)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="cvtrt stand-in"
    )
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))
