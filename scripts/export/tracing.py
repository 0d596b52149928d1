"""From a torch module to a clean ONNX graph.

The module is traced without its weights (they stay where they are until the file is written), constants are folded,
and the interface gets the names and dimensions of the contract.
"""

import io
import warnings
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper

from .folding import simplified
from .graphs import F32, Graph

OPSET = 17
IR_VERSION = 8
PRODUCER = "cvtrt export"
ELEMENT_TYPES = {F32: TensorProto.FLOAT, "i32": TensorProto.INT32}
TRACE_SEED = 1


@dataclass
class TracedGraph:
    """An ONNX model without initialisers, and the initialisers it needs, by name."""

    model: onnx.ModelProto
    weights: dict[str, np.ndarray]


def traced(graph: Graph) -> TracedGraph:
    """The graph of a module whose parameters are loaded."""
    names = [port.name for port in graph.inputs]
    feeds = graph.feeds(graph.trials[0], np.random.default_rng(TRACE_SEED))
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # The trace-based exporter is deprecated, and warns wherever a size is read.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph.module,
            tuple(torch.from_numpy(feeds[name]) for name in names),
            buffer,
            dynamo=False,
            opset_version=OPSET,
            export_params=False,
            do_constant_folding=False,
            input_names=names,
            output_names=[port.name for port in graph.outputs],
            dynamic_axes={
                port.name: {axis: f"{port.name}_{axis}" for axis, dim in enumerate(port.dims) if isinstance(dim, str)}
                for port in (*graph.inputs, *graph.outputs)
            },
        )
    proto = onnx.load_from_string(buffer.getvalue()).graph
    state = dict(graph.module.named_parameters()) | dict(graph.module.named_buffers())
    weights = {value.name: state[value.name].numpy() for value in proto.input if value.name not in names}
    nodes, weights = simplified(list(proto.node), weights, names, [port.name for port in graph.outputs])
    return TracedGraph(_model(graph, nodes), weights)


def _model(graph: Graph, nodes: list[onnx.NodeProto]) -> onnx.ModelProto:
    proto = helper.make_graph(
        nodes,
        graph.id,
        [helper.make_tensor_value_info(port.name, ELEMENT_TYPES[port.dtype], port.dims) for port in graph.inputs],
        [helper.make_tensor_value_info(port.name, ELEMENT_TYPES[port.dtype], port.dims) for port in graph.outputs],
    )
    return helper.make_model(
        proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name=PRODUCER
    )
