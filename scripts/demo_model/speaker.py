"""The speaker encoder: fixed random projections pooled over time, as an ONNX graph: `speaker.py CORPUS OUT`.

One voice needs no training here; the flow only has to see the vector it will be given.
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import corpus
import features
from model_config import SPEAKER_DIM

WIDTH, SEED = 48, 11
OPSET, IR_VERSION = 17, 8
SAMPLED = 60


def write(path: Path) -> None:
    """`input` `[1, T, 80]` → `output` `[1, 192]`: mean and mean square of tanh units, projected."""
    random = np.random.default_rng(SEED)
    weights = {
        "first": random.standard_normal((80, WIDTH)) / np.sqrt(80),
        "second": random.standard_normal((2 * WIDTH, SPEAKER_DIM)) / np.sqrt(2 * WIDTH),
    }
    node = helper.make_node
    nodes = [
        node("MatMul", ["input", "first"], ["projected"]),
        node("Tanh", ["projected"], ["active"]),
        node("Mul", ["active", "active"], ["squared"]),
        node("Concat", ["active", "squared"], ["both"], axis=2),
        node("ReduceMean", ["both"], ["pooled"], axes=[1], keepdims=0),
        node("MatMul", ["pooled", "second"], ["output"]),
    ]
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, "features", 80])]
    outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, SPEAKER_DIM])]
    initialisers = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "campplus", inputs, outputs, initialisers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def embed(path: Path, at_16k: np.ndarray) -> np.ndarray:
    """Speaker vector `[192]` of a recording at 16 kHz."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"input": features.fbank(at_16k)[None]})[0][0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path, help="folder for campplus.onnx and speaker.npz")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    write(options.out / "campplus.onnx")
    texts = corpus.load(options.corpus).texts[-SAMPLED:]
    vectors = np.stack([embed(options.out / "campplus.onnx", corpus.render(text).at_16k) for text in texts])
    mean, deviation = vectors.mean(axis=0), vectors.std(axis=0)
    np.savez(options.out / "speaker.npz", mean=mean, deviation=deviation)
    print(f"speaker vector: norm {np.linalg.norm(mean):.2f}, varies by {deviation.mean():.3f}")


if __name__ == "__main__":
    main()
