"""Makes a traced graph small and readable: folds constants, removes what does nothing, shares equal constants."""

import hashlib

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

Weights = dict[str, np.ndarray]
# Folding must not blow a small constant up into a large one (an expanded mask, say).
GROWTH_LIMIT_BYTES = 1 << 16


def simplified(
    nodes: list[onnx.NodeProto], weights: Weights, inputs: list[str], outputs: list[str]
) -> tuple[list[onnx.NodeProto], Weights]:
    """The same function as `nodes` over `weights`; inputs and outputs keep their names."""
    nodes, weights = _folded(nodes, dict(weights), set(outputs))
    nodes = _without_identities(nodes, set(outputs))
    nodes, weights = _alive(nodes, weights, outputs)
    nodes, weights = _shared(nodes, weights)
    return nodes, _renamed(nodes, weights, {*inputs, *outputs})


def _folded(nodes: list[onnx.NodeProto], weights: Weights, outputs: set[str]) -> tuple[list[onnx.NodeProto], Weights]:
    kept = []
    for node in nodes:
        known = all(name in weights for name in node.input if name)
        if not known or outputs.intersection(node.output):
            kept.append(node)
            continue
        values = _evaluated(node, weights)
        before = sum(weights[name].nbytes for name in node.input if name)
        grown = sum(value.nbytes for value in values) > max(2 * before, GROWTH_LIMIT_BYTES)
        if grown and node.op_type != "Constant":
            kept.append(node)
            continue
        weights.update(zip(node.output, values, strict=True))
    return kept, weights


def _evaluated(node: onnx.NodeProto, weights: Weights) -> list[np.ndarray]:
    if node.op_type == "Constant":
        return [_constant(node)]
    if node.op_type == "Transpose":
        # A view: the transposed weights of a large graph are copied only while they are written.
        order = next((list(attribute.ints) for attribute in node.attribute if attribute.name == "perm"), None)
        return [np.transpose(weights[node.input[0]], order)]
    feeds = {name: weights[name] for name in node.input if name}
    return [np.asarray(value) for value in ReferenceEvaluator(node).run(None, feeds)]


def _constant(node: onnx.NodeProto) -> np.ndarray:
    attribute = node.attribute[0]
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value)
    return np.asarray(value, np.float32 if attribute.name.startswith("value_float") else np.int64)


def _without_identities(nodes: list[onnx.NodeProto], outputs: set[str]) -> list[onnx.NodeProto]:
    alias: dict[str, str] = {}
    kept = []
    for node in nodes:
        for index, name in enumerate(node.input):
            node.input[index] = alias.get(name, name)
        if node.op_type == "Identity" and node.output[0] not in outputs:
            alias[node.output[0]] = node.input[0]
        else:
            kept.append(node)
    return kept


def _alive(nodes: list[onnx.NodeProto], weights: Weights, outputs: list[str]) -> tuple[list[onnx.NodeProto], Weights]:
    needed = set(outputs)
    kept = []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    return kept[::-1], {name: value for name, value in weights.items() if name in needed}


def _shared(nodes: list[onnx.NodeProto], weights: Weights) -> tuple[list[onnx.NodeProto], Weights]:
    """Equal initialisers become one."""
    first: dict[tuple, str] = {}
    alias = {}
    for name, value in weights.items():
        content = np.asarray(value, order="C")
        key = (value.dtype.str, value.shape, hashlib.sha256(content.data).digest() if value.size else b"")
        alias[name] = first.setdefault(key, name)
    for node in nodes:
        for index, name in enumerate(node.input):
            node.input[index] = alias.get(name, name)
    return nodes, {name: weights[name] for name in first.values()}


def _renamed(nodes: list[onnx.NodeProto], weights: Weights, fixed: set[str]) -> Weights:
    """Nodes are named by their module path, values by the node that makes them, folded weights likewise."""
    names = {name: name.removeprefix("/").removesuffix("_output_0") for name in weights}
    for node in nodes:
        node.ClearField("doc_string")
        node.name = node.name.removeprefix("/")
        for index, name in enumerate(node.input):
            node.input[index] = names.get(name, name)
        for index, name in enumerate(node.output):
            if name not in fixed:
                names[name] = node.name if index == 0 else f"{node.name}:{index}"
                node.output[index] = names[name]
    return {names[name]: value for name, value in weights.items()}
