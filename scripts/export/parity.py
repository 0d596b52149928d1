"""Compares an exported graph on ONNX Runtime with the module it came from."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from .graphs import Graph, Sizes

TOLERANCE = 1e-4
SEED = 20


@dataclass(frozen=True)
class Comparison:
    """Largest absolute error of one output at one set of sizes, relative to the output's peak where that exceeds 1."""

    output: str
    sizes: Sizes
    max_abs_error: float
    limit: float

    @property
    def passed(self) -> bool:
        # False for NaN as well.
        return self.max_abs_error <= self.limit


def compare(graph: Graph, path: Path) -> list[Comparison]:
    """Runs `graph.trials` on the file and on the module, whose parameters are loaded."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Packed copies of the weights would double the memory for a few runs.
    options.add_session_config_entry("session.disable_prepacking", "1")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(SEED)
    comparisons = []
    for sizes in graph.trials:
        feeds = graph.feeds(sizes, random)
        got = session.run(None, feeds)
        with torch.no_grad():
            want = graph.module(*(torch.from_numpy(feeds[port.name]) for port in graph.inputs))
        want = want if isinstance(want, tuple) else (want,)
        for port, ours, theirs in zip(graph.outputs, got, (tensor.numpy() for tensor in want), strict=True):
            comparisons.append(_compared(port.name, sizes, port.shape(sizes), ours, theirs))
    return comparisons


def _compared(name: str, sizes: Sizes, shape: tuple[int, ...], got: np.ndarray, want: np.ndarray) -> Comparison:
    if got.shape != shape or want.shape != shape:
        return Comparison(name, sizes, float("inf"), TOLERANCE)
    limit = TOLERANCE * max(1.0, float(np.abs(want).max()))
    return Comparison(name, sizes, float(np.abs(got - want).max()), limit)
