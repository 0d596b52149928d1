"""The speech tokenizer: sounds found by k-means over 40 ms of log-mel, as an ONNX graph: `tokenizer.py CORPUS OUT`."""

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from scipy.cluster.vq import kmeans2

import corpus
import features
from model_config import CLUSTERS, TURNS

BINS, FRAMES = 128, 4  # feature frames of one token
DIMENSIONS = 24
WHITENING = 0.5  # 0 keeps the principal components' variances, 1 makes them equal
SILENCE = -0.43  # mean feature below which a sound is silence, or nothing but the edge of a word
PAUSE = 2  # silent tokens between words at least; a stop within a word has one at most
OPSET, IR_VERSION = 17, 8


def fit(whisper: np.ndarray, seed: int = 3) -> dict[str, np.ndarray]:
    """Weights of the graph from features `[128, 4 N]`: projection `[D, 128, 4]`, codebook `[K, D, 1]`, their biases."""
    stacked = _stacked(whisper)
    mean = stacked.mean(axis=0)
    variances, axes = np.linalg.eigh(np.cov((stacked - mean).T))
    keep = np.argsort(variances)[::-1][:DIMENSIONS]
    projection = axes[:, keep] * variances[keep] ** (-WHITENING / 2)
    points = (stacked - mean) @ projection
    codebook, found = kmeans2(points, CLUSTERS, iter=40, minit="++", rng=np.random.default_rng(seed))
    levels = np.bincount(found, stacked.mean(axis=1), CLUSTERS) / np.maximum(np.bincount(found, minlength=CLUSTERS), 1)
    return {
        "silent": levels < SILENCE,
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


def turns(clusters: np.ndarray, silent: np.ndarray) -> np.ndarray:
    """Place of every token behind the first of its word, at most the last turn; words follow `PAUSE` silent tokens."""
    quiet = np.concatenate([np.ones(PAUSE, bool), silent[clusters]])
    begins = ~quiet[PAUSE:]
    for back in range(1, PAUSE + 1):
        begins &= quiet[PAUSE - back : len(quiet) - back]
    places = np.arange(len(clusters))
    return np.minimum(places - np.maximum.accumulate(np.where(begins, places, 1 - TURNS)), TURNS - 1)


def ids(clusters: np.ndarray, silent: np.ndarray) -> np.ndarray:
    """Token ids of the sounds of an utterance."""
    return clusters * TURNS + turns(clusters, silent)


def tokens(weights: dict[str, np.ndarray], at_16k: np.ndarray) -> np.ndarray:
    """Token ids of a recording."""
    return ids(sounds(weights, features.whisper_mel(at_16k)), weights["silent"])


def write(weights: dict[str, np.ndarray], path: Path) -> None:
    """`feats` `[1, 128, T]`, `feats_length` i32 `[1]` → `indices` i64 `[1, length / 4]`."""
    reals = ("projection", "projection_bias", "codebook", "codebook_bias")
    constants = {name: weights[name].astype(np.float32) for name in reals} | {
        "loudness": np.where(weights["silent"], 0, 1).astype(np.float32),
        "zero": np.array([0], np.int32), "time": np.array([2], np.int32),
        "first": np.array(0, np.int64), "step": np.array(1, np.int64), "axis": np.array(1, np.int64),
        "rows": np.array([1], np.int64), "columns": np.array([0], np.int64), "flat": np.array([1, -1], np.int64),
        "line": np.array([1, 1, -1], np.int64), "turns": np.array(TURNS, np.int64),
        "long_ago": np.array(1 - TURNS, np.int64), "last_turn": np.array(TURNS - 1, np.int64),
        "half": np.array(0.5, np.float32),
    }
    node = helper.make_node
    nodes = [
        node("Slice", ["feats", "zero", "feats_length", "time"], ["heard"]),
        node("Conv", ["heard", "projection", "projection_bias"], ["point"], kernel_shape=[FRAMES], strides=[FRAMES]),
        node("Conv", ["point", "codebook", "codebook_bias"], ["closeness"], kernel_shape=[1]),
        node("ArgMax", ["closeness"], ["sound"], axis=1, keepdims=0),
        # A word begins at a loud token before which the loudest of PAUSE is silent.
        node("Gather", ["loudness", "sound"], ["loud"]),
        node("Reshape", ["loud", "line"], ["loud_line"]),
        node("Pad", ["loud_line", "pads"], ["loud_padded"]),
        node("MaxPool", ["loud_padded"], ["before_line"], kernel_shape=[PAUSE]),
        node("Reshape", ["before_line", "flat"], ["before"]),
        node("Sub", ["loud", "before"], ["rise"]),
        node("Greater", ["rise", "half"], ["begins"]),
        # The place of the latest beginning, for every token.
        node("Shape", ["sound"], ["extent"]),
        node("Gather", ["extent", "axis"], ["count"]),
        node("Range", ["first", "count", "step"], ["place"]),
        node("Unsqueeze", ["place", "rows"], ["now"]),
        node("Unsqueeze", ["place", "columns"], ["then"]),
        node("LessOrEqual", ["then", "now"], ["past"]),
        node("And", ["past", "begins"], ["begun"]),
        node("Where", ["begun", "then", "long_ago"], ["beginnings"]),
        node("ReduceMax", ["beginnings"], ["latest"], axes=[1], keepdims=0),
        node("Sub", ["place", "latest"], ["age"]),
        node("Min", ["age", "last_turn"], ["turn"]),
        node("Mul", ["sound", "turns"], ["row"]),
        node("Add", ["row", "turn"], ["indices"]),
    ]
    # The window of MaxPool at token t covers the PAUSE tokens before t: the last one is dropped.
    constants["pads"] = np.array([0, 0, PAUSE, 0, 0, -1], np.int64)
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
