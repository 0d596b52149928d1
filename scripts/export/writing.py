"""Writes a traced graph as an ONNX file, large weights beside it, and checks what it wrote."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, external_data_helper, numpy_helper, shape_inference

from .errors import ExportError
from .tracing import TracedGraph

# Above this, weights go to `<graph>.onnx.data`: readers map that file; a protobuf has to be copied, and ends at 2 GB.
EXTERNAL_BYTES = 1_000_000_000
# Smaller tensors stay inside the ONNX file: shape inference needs some of them.
EXTERNAL_TENSOR_BYTES = 4096
ALIGNMENT = 4096


def write(traced: TracedGraph, folder: Path, name: str, external_bytes: int = EXTERNAL_BYTES) -> list[str]:
    """Writes `<name>.onnx` and returns the names of the files written, the ONNX file first.

    Raises `ExportError` when the ONNX checker refuses the result.
    """
    model = onnx.ModelProto()
    model.CopyFrom(traced.model)
    path = folder / f"{name}.onnx"
    total = sum(value.nbytes for value in traced.weights.values())
    files = [path.name]
    if total > external_bytes:
        files.append(f"{path.name}.data")
        model.graph.initializer.extend(_external(traced.weights, folder / files[1]))
    else:
        model.graph.initializer.extend(_inline(name, value) for name, value in traced.weights.items())
    path.write_bytes(model.SerializeToString(deterministic=True))
    _check(path)
    return files


def _inline(name: str, value: np.ndarray) -> TensorProto:
    return numpy_helper.from_array(np.asarray(value, order="C"), name)


def _external(weights: dict[str, np.ndarray], path: Path) -> list[TensorProto]:
    """Streams the large weights to `path`, one at a time."""
    tensors = []
    with path.open("wb") as data:
        for name, value in weights.items():
            if value.nbytes < EXTERNAL_TENSOR_BYTES:
                tensors.append(_inline(name, value))
                continue
            data.write(bytes(-data.tell() % ALIGNMENT))
            offset = data.tell()
            data.write(np.asarray(value, order="C").data)
            tensor = TensorProto(
                name=name, data_type=onnx.helper.np_dtype_to_tensor_dtype(value.dtype), dims=value.shape, raw_data=b"\0"
            )
            external_data_helper.set_external_data(tensor, path.name, offset, data.tell() - offset)
            tensor.ClearField("raw_data")
            tensors.append(tensor)
    return tensors


def _check(path: Path) -> None:
    try:
        onnx.checker.check_model(str(path), full_check=True)
        declared = onnx.load(str(path), load_external_data=False)
        inferred = shape_inference.infer_shapes(declared, check_type=True, strict_mode=True)
    except (onnx.checker.ValidationError, shape_inference.InferenceError) as error:
        raise ExportError(f"{path.name} does not pass the ONNX checker: {error}") from error
    for before, after in zip(declared.graph.output, inferred.graph.output, strict=True):
        if before != after:
            raise ExportError(f"{path.name}: output `{before.name}` is declared {before.type}, inferred {after.type}")
