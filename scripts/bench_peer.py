#!/usr/bin/env python3
"""Times the stages of an utterance in cvtrt and in PyTorch, round by round in one run; started by `scripts/bench-peer`.

5 s of audio (125 speech tokens) behind a prompt of 3 s (75 tokens): prefill, decode step, flow (encoder and ten Euler
steps of two rows), vocoder (F0, source and waveform). cvtrt's figures are what `cvtrt synth --json` says of its second
sentence, after one to warm up.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import peer_torch
import torch
from bench_sentences import SENTENCES, SPEECH_TOKENS, VOICE, positions, stage_times
from operator_table import operator_table

# The decode goal is against the reference as it is, which computes its unused text head.
GOALS = {"decode step with text head": 2.0, "prefill": 1.4, "flow": 1.05, "vocoder": 1.0}


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="bench-peer-") as scratch:
        measure(options, Path(scratch))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cvtrt", type=Path, required=True)
    parser.add_argument("--model-dir", type=Path, help="made by make_full_size.py")
    parser.add_argument("--bundle", type=Path, help="exported from the model")
    parser.add_argument("--engines-dir", type=Path, help="engine cache to use and to fill")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--operators", action="store_true", help="also print where ONNX Runtime's time goes")
    parser.add_argument("--out", type=Path, help="folder for peer.md and peer.json")
    options = parser.parse_args()
    if (options.model_dir is None) != (options.bundle is None):
        parser.error("--model-dir and --bundle belong together")
    return options


def measure(options: argparse.Namespace, scratch: Path) -> None:
    model, bundle = options.model_dir, options.bundle
    if model is None:
        model, bundle = scratch / "model", scratch / "bundle"
        run(sys.executable, "scripts/make_full_size.py", "--family", "cosyvoice2", "--out", model)
        run(sys.executable, "scripts/export_onnx.py", "--model-dir", model, "--out", bundle)
    engines = options.engines_dir or scratch / "engines"
    # The language model is optimised when it is loaded: its engine would be the same 1.5 GB again.
    run(options.cvtrt, "build", "--bundle", bundle, "--backend", "ort-cpu", "--engines-dir", engines,
        "--graphs", "flow_encoder,flow_estimator,hift", "--no-verify")

    torch.set_num_threads(options.threads)
    peer = peer_torch.Peer(model, positions(bundle))
    rounds = []
    for _ in range(options.rounds):
        ours = cvtrt_times(options, bundle, engines, scratch)
        rounds.append({"cvtrt": ours, "torch": peer.times(), "peak_gflops": peer_torch.matmul_peak()})
    report = {"machine": machine(options.threads), "positions": peer.positions, "gflop": peer.work(), "rounds": rounds}
    text = table(report)
    if options.operators:
        text += "\n" + operator_table(bundle, peer.graphs, options.threads)
    print(text)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "peer.md").write_text(text)
        (options.out / "peer.json").write_text(json.dumps(report, indent=2) + "\n")


def run(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True, stdout=sys.stderr)


def cvtrt_times(options: argparse.Namespace, bundle: Path, engines: Path, scratch: Path) -> dict[str, float]:
    """Milliseconds per stage, of the second sentence."""
    spoken = subprocess.run(
        [options.cvtrt, "synth", " ".join(SENTENCES), "--bundle", bundle, "--engines-dir", engines, "--profile", "cpu",
         "--voice", VOICE, "--threads", str(options.threads), "--max-tokens", str(SPEECH_TOKENS), "--json",
         "--output", scratch / "out.wav"],
        check=True, stdout=subprocess.PIPE)
    return stage_times(json.loads(spoken.stdout))


def table(report: dict) -> str:
    rounds, machine = report["rounds"], report["machine"]
    peak = statistics.median(one["peak_gflops"] for one in rounds)
    lines = [
        f"{machine['processor']}, {machine['threads']} threads; ONNX Runtime {machine['onnxruntime']}, "
        f"torch {machine['torch']}; {len(rounds)} rounds; prompt of {report['positions']} positions; "
        f"peak of a matrix product {peak:.0f} GFLOP/s.",
        "",
        "| stage | cvtrt | torch | ratio (each round) | goal | share of the peak: cvtrt, torch |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for stage, work in report["gflop"].items():
        ours_of = stage.removesuffix(" with text head")
        ours = [one["cvtrt"][ours_of] for one in rounds]
        theirs = [one["torch"][stage] for one in rounds]
        ratios = sorted(their / our for our, their in zip(ours, theirs, strict=True))
        shares = [work / statistics.median(times) * 1e3 / peak for times in (ours, theirs)]
        goal = f"{GOALS[stage]} x" if stage in GOALS else ""
        lines.append(
            f"| {stage} | {statistics.median(ours):.1f} ms | {statistics.median(theirs):.1f} ms | "
            f"**{statistics.median(ratios):.2f}** ({ratios[0]:.2f} to {ratios[-1]:.2f}) | {goal} | "
            + (f"{shares[0]:.0%}, {shares[1]:.0%} |" if stage == ours_of else "|")
        )
    return "\n".join(lines) + "\n"


def machine(threads: int) -> dict:
    import onnxruntime

    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    return {"processor": model, "threads": threads, "torch": torch.__version__,
            "onnxruntime": onnxruntime.__version__}


if __name__ == "__main__":
    main()
