#!/usr/bin/env python3
"""Times a model folder's graphs as torch modules: the peer that engines are measured against.

Prints one JSON document: the machine, and per graph the sizes and the median and spread of its time in milliseconds.
"""

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from export import preflight
from export.graphs import Graph, graphs

# 5 s of audio behind a 3 s prompt: 200 tokens, 400 frames of which 250 are vocoded; one decode step in the middle.
SIZES = {
    "llm": {"batch": 1, "new": 1, "past": 256},
    "flow_encoder": {"tokens": 200},
    "flow_estimator": {"batch": 2, "frames": 400},
    "hift_f0": {"frames": 250},
    "hift_decode": {"frames": 250},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model-dir", type=Path, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=None, help="processor threads")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    folder = preflight.check(options.model_dir)
    rows = []
    for graph in graphs(folder.config, max_positions=4096, max_tokens=2048):
        graph.load(folder.checkpoints[graph.checkpoint])
        rows.append({"graph": graph.id, "sizes": SIZES[graph.id]} | measured(graph, options.device, options.runs))
    print(json.dumps({"peer": f"torch {torch.__version__}", "machine": machine(options.device), "graphs": rows}, indent=2))


def measured(graph: Graph, device: str, runs: int) -> dict:
    """Median, fastest and slowest of `runs` runs, in milliseconds, after three to warm up."""
    feeds = graph.feeds(SIZES[graph.id], np.random.default_rng(0))
    inputs = [torch.from_numpy(np.asarray(feeds[port.name])).to(device) for port in graph.inputs]
    module = graph.module.to(device).eval()
    times = []
    with torch.inference_mode():
        for run in range(runs + 3):
            start = time.perf_counter()
            module(*inputs)
            if device == "cuda":
                torch.cuda.synchronize()
            if run >= 3:
                times.append((time.perf_counter() - start) * 1e3)
    return {"median_ms": statistics.median(times), "min_ms": min(times), "max_ms": max(times), "runs": runs}


def machine(device: str) -> dict:
    if device != "cuda":
        return {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}
    properties = torch.cuda.get_device_properties(0)
    return {"gpu": properties.name, "memory_bytes": properties.total_memory, "cuda": torch.version.cuda}


if __name__ == "__main__":
    main()
