#!/usr/bin/env python3
"""Writes the small ONNX graphs of tests/data/graphs and the archives of tests/data/golden.

Needs `onnx` and `numpy`. The files are committed; run this again only to change them:

    python3 scripts/make_test_graphs.py tests/data
"""

import sys
from pathlib import Path

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8
SEED = 20240607


def model(nodes, inputs, outputs, constants=()):
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(*port) for port in inputs],
        [helper.make_tensor_value_info(*port) for port in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(made, full_check=True)
    return made


def affine():
    """y = 2x + 1, small enough to check by hand."""
    return model(
        [
            helper.make_node("Mul", ["x", "two"], ["doubled"]),
            helper.make_node("Add", ["doubled", "one"], ["y"]),
        ],
        [("x", TensorProto.FLOAT, ["batch", "frames"])],
        [("y", TensorProto.FLOAT, ["batch", "frames"])],
        [("two", numpy.float32([2])), ("one", numpy.float32([1]))],
    )


def conv(random):
    """Convolutions over a time axis: fused and laid out for the processor by an optimiser, not by an exporter."""
    return model(
        [
            helper.make_node("Conv", ["mel", "w0", "b0"], ["c0"], kernel_shape=[3], pads=[1, 1]),
            helper.make_node("Relu", ["c0"], ["r0"]),
            helper.make_node("Conv", ["r0", "w1"], ["c1"], kernel_shape=[3], pads=[1, 1]),
            helper.make_node("Add", ["c1", "c0"], ["sum"]),
            helper.make_node("ConvTranspose", ["sum", "w2"], ["wav"], kernel_shape=[4], strides=[4]),
        ],
        [("mel", TensorProto.FLOAT, [1, 16, "frames"])],
        [("wav", TensorProto.FLOAT, [1, 1, "4*frames"])],
        [
            ("w0", random.standard_normal((32, 16, 3), numpy.float32)),
            ("b0", random.standard_normal(32, numpy.float32)),
            ("w1", random.standard_normal((32, 32, 3), numpy.float32)),
            ("w2", random.standard_normal((32, 1, 4), numpy.float32)),
        ],
    )


def types():
    """One operation per element type."""
    return model(
        [
            helper.make_node("Add", ["ids", "seven"], ["ids_out"]),
            helper.make_node("Add", ["half", "half"], ["half_out"]),
            helper.make_node("Not", ["flag"], ["flag_out"]),
            helper.make_node("Neg", ["wide"], ["wide_out"]),
        ],
        [
            ("ids", TensorProto.INT32, ["batch", "new"]),
            ("half", TensorProto.FLOAT16, ["batch"]),
            ("flag", TensorProto.BOOL, ["batch"]),
            ("wide", TensorProto.INT64, ["batch"]),
        ],
        [
            ("ids_out", TensorProto.INT32, ["batch", "new"]),
            ("half_out", TensorProto.FLOAT16, ["batch"]),
            ("flag_out", TensorProto.BOOL, ["batch"]),
            ("wide_out", TensorProto.INT64, ["batch"]),
        ],
        [("seven", numpy.int32([7]))],
    )


def nonzero():
    """An output whose size depends on the data, beside one that is its input."""
    return model(
        [
            helper.make_node("NonZero", ["x"], ["found"]),
            helper.make_node("Identity", ["x"], ["same"]),
        ],
        [("x", TensorProto.FLOAT, ["frames"])],
        [("found", TensorProto.INT64, [1, None]), ("same", TensorProto.FLOAT, ["frames"])],
    )


def append():
    """Rows of a bucket and new rows, joined: either side may have none."""
    return model(
        [helper.make_node("Concat", ["past", "new"], ["joined"], axis=1)],
        [("past", TensorProto.FLOAT, ["batch", "past", 4]), ("new", TensorProto.FLOAT, ["batch", "new", 4])],
        [("joined", TensorProto.FLOAT, ["batch", "joined", 4])],
    )


def huge():
    """Asks for as many bytes as its input says."""
    return model(
        [
            helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
            helper.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0),
        ],
        [("size", TensorProto.INT64, [1])],
        [("sum", TensorProto.FLOAT, [])],
    )


def slow():
    """A file of a few kilobytes whose constants take a second to fold."""
    size, products = 512, 300
    nodes = [helper.make_node("ConstantOfShape", ["shape"], ["m0"], value=helper.make_tensor("v", TensorProto.FLOAT, [1], [1 / size]))]
    nodes += [helper.make_node("MatMul", [f"m{i}", "m0"], [f"m{i + 1}"]) for i in range(products)]
    nodes += [
        helper.make_node("ReduceMean", [f"m{products}"], ["mean"], keepdims=0),
        helper.make_node("Add", ["x", "mean"], ["y"]),
    ]
    return model(
        nodes,
        [("x", TensorProto.FLOAT, ["batch"])],
        [("y", TensorProto.FLOAT, ["batch"])],
        [("shape", numpy.int64([size, size]))],
    )


def sequence():
    """An output that is no tensor."""
    made = model(
        [helper.make_node("SequenceConstruct", ["x"], ["y"])],
        [("x", TensorProto.FLOAT, ["batch"])],
        [],
    )
    made.graph.output.append(helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None))
    onnx.checker.check_model(made)
    return made


def external(random):
    return model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [("x", TensorProto.FLOAT, ["batch", 16])],
        [("y", TensorProto.FLOAT, ["batch", 16])],
        [("w", random.standard_normal((16, 16), numpy.float32))],
    )


def goldens(folder):
    numpy.savez_compressed(
        folder / "types.npz",
        ids=numpy.int32([[1, -2], [3, 4]]),
        half=numpy.float16([0.5]),
        flag=numpy.array([True, False]),
        scalar=numpy.float32(2.5),
    )
    numpy.savez(folder / "double.npz", wide=numpy.float64([1]))


def main():
    data = Path(sys.argv[1])
    goldens(data / "golden")
    folder = data / "graphs"
    random = numpy.random.default_rng(SEED)
    graphs = {
        "affine": affine(),
        "conv": conv(random),
        "types": types(),
        "nonzero": nonzero(),
        "append": append(),
        "huge": huge(),
        "slow": slow(),
        "sequence": sequence(),
    }
    for name, made in graphs.items():
        onnx.save(made, folder / f"{name}.onnx")
    (folder / "external.onnx.data").unlink(missing_ok=True)
    onnx.save(
        external(random),
        folder / "external.onnx",
        save_as_external_data=True,
        location="external.onnx.data",
        size_threshold=0,
    )


if __name__ == "__main__":
    main()
