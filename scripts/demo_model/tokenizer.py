"""The speech tokenizer: sounds found by k-means over 40 ms of log-mel, as an ONNX graph: `tokenizer.py CORPUS OUT`."""

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from scipy.cluster.vq import kmeans2

import corpus
from model_config import CLUSTERS, TURNS

BINS, FRAMES = 128, 4  # feature frames of one token
DIMENSIONS = 24
WHITENING = 0.5  # 0 keeps the principal components' variances, 1 makes them equal
OPSET, IR_VERSION = 17, 8


def fit(whisper: np.ndarray, seed: int = 3) -> dict[str, np.ndarray]:
    """Weights of the graph from features `[128, 4 N]`: projection `[D, 128, 4]` with bias, codebook `[K, D, 1]` with bias."""
    stacked = _stacked(whisper)
    mean = stacked.mean(axis=0)
    variances, axes = np.linalg.eigh(np.cov((stacked - mean).T))
    keep = np.argsort(variances)[::-1][:DIMENSIONS]
    projection = axes[:, keep] * variances[keep] ** (-WHITENING / 2)
    points = (stacked - mean) @ projection
    codebook, _ = kmeans2(points, CLUSTERS, iter=40, minit="++", rng=np.random.default_rng(seed))
    return {
        "projection": np.ascontiguousarray(projection.T.reshape(DIMENSIONS, FRAMES, BINS).transpose(0, 2, 1)),
        "projection_bias": -mean @ projection,
        # The nearest entry c has the largest 2 x·c - |c|².
        "codebook": 2 * codebook[:, :, None],
        "codebook_bias": -(codebook**2).sum(axis=1),
    }


def sounds(weights: dict[str, np.ndarray], whisper: np.ndarray) -> np.ndarray:
    """Cluster of every token, `[N]`."""
    flat = weights["projection"].transpose(0, 2, 1).reshape(DIMENSIONS, -1)
    points = _stacked(whisper) @ flat.T + weights["projection_bias"]
    return (points @ weights["codebook"][:, :, 0].T + weights["codebook_bias"]).argmax(axis=1)


def ids(clusters: np.ndarray, first: int = 0) -> np.ndarray:
    """Token ids of consecutive sounds, the first of which is the `first`-th of its utterance."""
    return clusters * TURNS + (first + np.arange(len(clusters))) % TURNS


def write(weights: dict[str, np.ndarray], path: Path) -> None:
    """`feats` `[1, 128, T]`, `feats_length` i32 `[1]` → `indices` i64 `[1, length / 4]`."""
    constants = {name: value.astype(np.float32) for name, value in weights.items()} | {
        "zero": np.array([0], np.int32), "time": np.array([2], np.int32),
        "start": np.array(0, np.int64), "step": np.array(1, np.int64), "axis": np.array(1, np.int64),
        "turns": np.array(TURNS, np.int64),
    }
    node = helper.make_node
    nodes = [
        node("Slice", ["feats", "zero", "feats_length", "time"], ["heard"]),
        node("Conv", ["heard", "projection", "projection_bias"], ["point"], kernel_shape=[FRAMES], strides=[FRAMES]),
        node("Conv", ["point", "codebook", "codebook_bias"], ["closeness"], kernel_shape=[1]),
        node("ArgMax", ["closeness"], ["sound"], axis=1, keepdims=0),
        node("Shape", ["sound"], ["extent"]),
        node("Gather", ["extent", "axis"], ["count"]),
        node("Range", ["start", "count", "step"], ["place"]),
        node("Mod", ["place", "turns"], ["turn"]),
        node("Mul", ["sound", "turns"], ["row"]),
        node("Add", ["row", "turn"], ["indices"]),
    ]
    inputs = [
        helper.make_tensor_value_info("feats", TensorProto.FLOAT, [1, BINS, "features"]),
        helper.make_tensor_value_info("feats_length", TensorProto.INT32, [1]),
    ]
    outputs = [helper.make_tensor_value_info("indices", TensorProto.INT64, [1, "tokens"])]
    initialisers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "speech_tokenizer", inputs, outputs, initialisers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _stacked(whisper: np.ndarray) -> np.ndarray:
    """`[128, 4 N]` → `[N, 512]`, frame by frame."""
    return whisper.T.reshape(-1, FRAMES * BINS).astype(np.float64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path, help="folder for tokenizer.npz, sounds.npy and speech_tokenizer_v2.onnx")
    options = parser.parse_args()
    data = corpus.load(options.corpus)
    training = data.bounds[int(np.flatnonzero(data.held_out)[0])]
    weights = fit(data.whisper[:, : 4 * training])
    clusters = sounds(weights, data.whisper)
    options.out.mkdir(parents=True, exist_ok=True)
    np.savez(options.out / "tokenizer.npz", **weights)
    np.save(options.out / "sounds.npy", clusters)
    write(weights, options.out / "speech_tokenizer_v2.onnx")
    used = np.bincount(clusters, minlength=CLUSTERS)
    share = used[used > 0] / used.sum()
    repeated = (clusters[1:] == clusters[:-1]).mean()
    print(f"{(used > 0).sum()} sounds, perplexity {np.exp(-(share * np.log(share)).sum()):.0f}, "
          f"{100 * repeated:.0f} % follow themselves, longest share {100 * share.max():.1f} %")


if __name__ == "__main__":
    main()
