"""Where ONNX Runtime's time goes, by operator, in the graphs of a bundle as exported."""

import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from export.graphs import Graph
from peer_torch import SIZES

RUNS = 3
ROWS = 6


def operator_table(bundle: Path, graphs: Sequence[Graph], threads: int) -> str:
    """Markdown: the operators of each graph that take longest, their share of its time and how many nodes they are."""
    lines = ["| graph | operators: share of the time, nodes |", "| --- | --- |"]
    for graph in graphs:
        times, nodes = profiled(bundle / f"{graph.id}.onnx", graph, threads)
        total = sum(times.values())
        rows = [f"{name} {time / total:.0%} ({nodes[name]})" for name, time in times.most_common(ROWS)]
        lines.append(f"| {graph.id} | {', '.join(rows)} |")
    return "\n".join(lines) + "\n"


def profiled(path: Path, graph: Graph, threads: int) -> tuple[Counter, Counter]:
    """Time and nodes of each operator in one run."""
    with tempfile.TemporaryDirectory() as scratch:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.enable_mem_pattern = False
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.enable_profiling = True
        options.profile_file_prefix = f"{scratch}/profile"
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        feeds = graph.feeds(SIZES[graph.id], np.random.default_rng(0))
        for _ in range(RUNS):
            session.run(None, feeds)
        events = json.loads(Path(session.end_profiling()).read_text())
    times, nodes = Counter(), Counter()
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            times[event["args"]["op_name"]] += event["dur"]
            nodes[event["args"]["op_name"]] += 1
    return times, Counter({name: count // RUNS for name, count in nodes.items()})
