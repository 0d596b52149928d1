#!/usr/bin/env python3
"""Times a decode step of a language model with one input per key and value side against one input for all of them.

    python scripts/compare_kv_layout.py BUNDLE [--past 256,1024] [--threads 2] [--rounds 15]

The second graph is the first behind a `Split` of the stacked past. Both run on ONNX Runtime's processor kernels, a step
of one in turn with a step of the other, and give the same logits.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

SIDES = ("past_k_", "past_v_")
STACKED = "past"


def stacked(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its sides of the past as one input `[sides * batch, heads, past, head]`, a side after the other."""
    sides = [port for port in model.graph.input if port.name.startswith(SIDES)]
    heads, head = (sides[0].type.tensor_type.shape.dim[axis].dim_value for axis in (1, 3))
    for port in sides:
        model.graph.input.remove(port)
    model.graph.input.append(helper.make_tensor_value_info(STACKED, TensorProto.FLOAT, ["rows", heads, "past", head]))
    names = [port.name for port in sides]
    model.graph.node.insert(0, helper.make_node("Split", [STACKED], names, name="unstack", axis=0))
    return model


def session(model: onnx.ModelProto, folder: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # External data is found beside the file.
    with tempfile.NamedTemporaryFile(suffix=".onnx", dir=folder) as file:
        file.write(model.SerializeToString())
        file.flush()
        return onnxruntime.InferenceSession(file.name, options, providers=["CPUExecutionProvider"])


def feeds(model: onnx.ModelProto, past: int) -> dict[str, np.ndarray]:
    """One row, one new position behind `past` others."""
    generator = np.random.default_rng(0)
    sizes = {"batch": 1, "new": 1, "past": past}
    given = {}
    for port in model.graph.input:
        dims = [dim.dim_value or sizes[dim.dim_param] for dim in port.type.tensor_type.shape.dim]
        if port.type.tensor_type.elem_type == TensorProto.FLOAT:
            given[port.name] = generator.standard_normal(dims).astype(np.float32)
        else:
            given[port.name] = np.zeros(dims, np.int32)
    for name, value in {"position_ids": past, "past_valid": 1, "new_valid": 1}.items():
        given[name].fill(value)
    return given


def bound(of: onnxruntime.InferenceSession, given: dict[str, np.ndarray]) -> onnxruntime.IOBinding:
    """Inputs and outputs bound once, as the pipeline does, so that no copy of Python's is timed."""
    binding = of.io_binding()
    for name, value in given.items():
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(value))
    for port in of.get_outputs():
        binding.bind_output(port.name)
    return binding


def milliseconds(of: onnxruntime.InferenceSession, binding: onnxruntime.IOBinding) -> tuple[float, np.ndarray]:
    begin = time.perf_counter()
    of.run_with_iobinding(binding)
    taken = (time.perf_counter() - begin) * 1e3
    names = [port.name for port in of.get_outputs()]
    return taken, binding.get_outputs()[names.index("logits")].numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--past", type=lambda text: [int(word) for word in text.split(",")], default=[256, 1024])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()

    model = onnx.load(options.bundle / "llm.onnx", load_external_data=False)
    apart = session(model, options.bundle, options.threads)
    inputs = {past: feeds(model, past) for past in options.past}
    sides = [port.name for port in model.graph.input if port.name.startswith(SIDES)]
    together = session(stacked(model), options.bundle, options.threads)

    print("| past | one input per side | one input | ratio |")
    print("| --- | --- | --- | --- |")
    for past, given in inputs.items():
        joined = {name: value for name, value in given.items() if name not in sides}
        joined[STACKED] = np.concatenate([given[name] for name in sides])
        of_one, of_other = bound(apart, given), bound(together, joined)
        rounds = []
        for _ in range(options.rounds):
            (one, want), (other, got) = milliseconds(apart, of_one), milliseconds(together, of_other)
            np.testing.assert_allclose(got, want, rtol=0, atol=1e-4)
            rounds.append((one, other))
        one, other = (statistics.median(column) for column in zip(*rounds, strict=True))
        ratio = statistics.median(other / one for one, other in rounds)
        print(f"| {past} | {one:.1f} ms | {other:.1f} ms | {ratio:.2f} |")


if __name__ == "__main__":
    main()
