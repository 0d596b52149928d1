#!/usr/bin/env python3
"""Times a model folder's graphs as torch modules: the peer that engines are measured against.

Prints one JSON document: the machine, and per graph the sizes and the median and spread of its time in milliseconds.
With `--positions` it prints the times of an utterance's stages instead, as `scripts/bench-peer` takes them on the processor.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from export import preflight, unet
from export.graphs import Graph, graphs
from torch.utils.flop_counter import FlopCounterMode

# 5 s of audio behind a 3 s prompt: 200 tokens, 400 frames of which 250 are vocoded; one decode step in the middle.
SIZES = {
    "llm": {"batch": 1, "new": 1, "past": 256},
    "flow_encoder": {"tokens": 200},
    "flow_estimator": {"batch": 2, "frames": 400},
    "hift_f0": {"frames": 250},
    "hift_decode": {"frames": 250},
}
EULER_STEPS = 10
DECODE_STEPS = 16
TEXT_VOCABULARY = 151_936  # rows of the text head that upstream's Qwen2 evaluates at every position and nobody reads
PEAK_SIZE = 2048


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model-dir", type=Path, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=None, help="processor threads")
    parser.add_argument("--positions", type=int, help="time stages, behind a prompt of so many positions")
    parser.add_argument("--autocast", action="store_true", help="let torch compute in FP16 where it thinks it can")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.positions:
        peer = Peer(options.model_dir, options.positions, options.device)
        with torch.autocast(options.device, torch.float16, enabled=options.autocast):
            rounds = [peer.times() for _ in range(options.runs)]
        stages = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
        print(json.dumps({"peer": f"torch {torch.__version__}", "machine": machine(options.device), "stages": stages}))
        return
    rows = []
    for graph in loaded(options.model_dir):
        rows.append({"graph": graph.id, "sizes": SIZES[graph.id]} | measured(graph, options.device, options.runs))
    report = {"peer": f"torch {torch.__version__}", "machine": machine(options.device), "graphs": rows}
    print(json.dumps(report, indent=2))


class Peer:
    """The stages of an utterance as torch modules, whose prompt has `positions` positions."""

    def __init__(self, model: Path, positions: int, device: str = "cpu"):
        self.device = device
        self.positions = positions
        self.graphs = loaded(model)
        by_id = {graph.id: graph for graph in self.graphs}
        hidden = by_id["llm"].inputs[0].dims[-1]
        self.text_head = torch.randn(TEXT_VOCABULARY, hidden, device=device)
        self.hidden = torch.randn(1, positions, hidden, device=device)
        self.calls = {
            "prefill": call(by_id["llm"], {"batch": 1, "new": positions, "past": 1}, device),
            "decode": call(by_id["llm"], SIZES["llm"], device),
            **{name: call(by_id[name], SIZES[name], device) for name in list(SIZES)[1:]},
        }

    def times(self) -> dict[str, float]:
        """Milliseconds per stage. The first run of each call, which warms up, is not counted."""
        took = {name: timed(run) for name, run in self.calls.items() if name not in ("decode", "flow_estimator")}
        decode = timed(self.calls["decode"], DECODE_STEPS) / DECODE_STEPS
        flow = timed(self.calls["flow_estimator"], EULER_STEPS)
        every = timed(lambda: F.linear(self.hidden, self.text_head))
        last = timed(lambda: F.linear(self.hidden[:, :1], self.text_head))
        return {
            "prefill": took["prefill"],
            "prefill with text head": took["prefill"] + every,
            "decode step": decode,
            "decode step with text head": decode + last,
            "flow": took["flow_encoder"] + flow,
            "vocoder": took["hift_f0"] + took["hift_decode"],
        }

    def work(self) -> dict[str, float]:
        """GFLOP per stage, without the text head."""
        counted = {name: flops(run) for name, run in self.calls.items()}
        return {
            "prefill": counted["prefill"],
            "prefill with text head": counted["prefill"],
            "decode step": counted["decode"],
            "decode step with text head": counted["decode"],
            "flow": counted["flow_encoder"] + EULER_STEPS * counted["flow_estimator"],
            "vocoder": counted["hift_f0"] + counted["hift_decode"],
        }


def matmul_peak() -> float:
    """GFLOP/s of a large square matrix product, the best of five."""
    left, right = torch.randn(PEAK_SIZE, PEAK_SIZE), torch.randn(PEAK_SIZE, PEAK_SIZE)
    best = min(timed(lambda: left @ right) for _ in range(5))
    return 2 * PEAK_SIZE**3 / best / 1e6


def loaded(model: Path) -> list[Graph]:
    """The graphs of a model folder with their parameters, and with torch's own attention in the estimator."""
    unet._Attention.forward = _fused_attention
    folder = preflight.check(model)
    found = graphs(folder.config, max_positions=4096, max_tokens=2048)
    for graph in found:
        graph.load(folder.checkpoints[graph.checkpoint])
        graph.module.eval()
    return found


def _fused_attention(self: unet._Attention, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """As upstream runs it; the exported form keeps to operators that every backend takes."""
    heads = (part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.to_q, self.to_k, self.to_v))
    mixed = F.scaled_dot_product_attention(*heads, attn_mask=bias)
    return self.to_out[0](mixed.transpose(1, 2).flatten(2))


def call(graph: Graph, sizes: dict[str, int], device: str = "cpu") -> Callable[[], object]:
    """A run of the module on feeds of these sizes."""
    feeds = graph.feeds(sizes, np.random.default_rng(0))
    inputs = [torch.from_numpy(np.asarray(feeds[port.name])).to(device) for port in graph.inputs]
    module = graph.module.to(device)
    return lambda: module(*inputs)


def timed(run: Callable[[], object], times: int = 1) -> float:
    """Milliseconds of `times` runs behind one to warm up."""
    with torch.inference_mode():
        run()
        wait()
        start = time.perf_counter()
        for _ in range(times):
            run()
        wait()
        return (time.perf_counter() - start) * 1e3


def wait() -> None:
    """Until the device has done what it was given, where one is in use."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def flops(run: Callable[[], object]) -> float:
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 1e9


def measured(graph: Graph, device: str, runs: int) -> dict:
    """Median, fastest and slowest of `runs` runs, in milliseconds, after three to warm up."""
    run = call(graph, SIZES[graph.id], device)
    times = []
    with torch.inference_mode():
        for index in range(runs + 3):
            start = time.perf_counter()
            run()
            wait()
            if index >= 3:
                times.append((time.perf_counter() - start) * 1e3)
    return {"median_ms": statistics.median(times), "min_ms": min(times), "max_ms": max(times), "runs": runs}


def machine(device: str) -> dict:
    if device != "cuda":
        return {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}
    properties = torch.cuda.get_device_properties(0)
    return {"gpu": properties.name, "memory_bytes": properties.total_memory, "cuda": torch.version.cuda}


if __name__ == "__main__":
    main()
