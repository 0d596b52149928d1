"""Everything that needs a GPU, step by step; started by `scripts/gpu-check`, which says how."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import gpu_report
from bench_sentences import SENTENCES, SPEECH_TOKENS, VOICE, positions, stage_precisions, stage_times
from gpu_machine import Machine, look

ROOT = Path(__file__).resolve().parent.parent
STEP_SECONDS = 460
# A tier in half precision serves the others in FP32, as scripts/gpu-check.yaml keeps them.
GRAPHS = {
    "fp32": ["llm", "flow_encoder", "flow_estimator", "hift"],
    "fp16": ["llm", "flow_estimator"],
    "bf16": ["llm", "flow_estimator"],
}
GOLDENS = ROOT / "tests/data/goldens/cosyvoice2-tiny"
PROFILE = ROOT / "scripts/gpu-check.yaml"
PEER_PACKAGES = ["torch", "numpy", "onnx", "onnxruntime", "safetensors", "tokenizers", "yaml"]


class CannotRun(Exception):
    """Something the step needs is not here."""


class Failed(Exception):
    """The step ran and did not do what it should."""


class Check:
    """One check: where it keeps things, and what is on this machine."""

    def __init__(self, out: Path, machine: Machine):
        # Absolute: commands run in the repository, wherever the check was started.
        self.out, self.machine = out.absolute(), machine
        self.python = sys.executable
        self.cvtrt = (named_program() or ROOT / "target/debug/cvtrt").absolute()
        self.scratch = Path(os.environ.get("CVTRT_GPU_SCRATCH", "/tmp/cvtrt-gpu-check")).absolute()
        self.small = Path(os.environ.get("CVTRT_BUNDLE", ROOT / "onnx/cosyvoice2-tiny")).absolute()
        self.model, self.bundle = self.scratch / "model", self.scratch / "bundle"
        self.engines = self.scratch / "engines"
        self.deadline = time.monotonic() + STEP_SECONDS
        self.name = ""

    def run(self, *command: object, seconds: float | None = None) -> str:
        """Standard output of a command; everything it says is kept beside the report."""
        left = self.deadline - time.monotonic()
        words = [str(word) for word in command]
        log = self.out / "logs" / f"{self.name}.log"
        with log.open("a") as kept:
            kept.write("$ " + " ".join(words) + "\n")
            kept.flush()
            try:
                done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                      timeout=min(left, seconds or left), check=False)
            except subprocess.TimeoutExpired as late:
                raise Failed(f"took over {late.timeout:.0f} s") from late
            except FileNotFoundError as missing:
                raise CannotRun(f"no {missing.filename}") from missing
            kept.write(done.stdout + done.stderr)
        if done.returncode == 0:
            return done.stdout
        why = first_error(done.stdout, done.stderr) or f"exit code {done.returncode}"
        raise CannotRun(why) if done.returncode == 3 else Failed(why)

    def cvtrt_json(self, folder: Path, *arguments: object, engines: Path | None = None) -> object:
        """What cvtrt says with the libraries of one run-time folder."""
        places = ["--runtime-dir", folder, "--engines-dir", engines or self.engines]
        return json.loads(self.run(self.cvtrt, *arguments, *places, "--json"))

    def need_gpu(self) -> None:
        if self.machine.no_gpu:
            raise CannotRun(self.machine.no_gpu)
        if not self.cvtrt.is_file():
            raise CannotRun(f"no binary {self.cvtrt}: build it, or name one with CVTRT")

    def need_packages(self) -> None:
        missing = [name for name in PEER_PACKAGES if name not in self.machine.packages]
        if missing:
            raise CannotRun(f"this Python lacks {', '.join(missing)}; carry wheels, or name another with PYTHON")

    def need_bundle(self) -> None:
        if not (self.bundle / "bundle.yaml").is_file():
            raise CannotRun("there is no full-size bundle; the step `bundle` makes it")


def steps(machine: Machine) -> dict:
    """Every step by name, in the order they are done in."""
    found = {"machine": machine_step, "model": model_step, "bundle": bundle_step}
    found["torch"] = of(torch_step)
    found["torch autocast"] = of(torch_step, "--autocast")
    for tier in ["ort-cuda-fp32", "ort-cuda-fp16"]:
        found[f"build {tier}"] = of(build_tier, machine.onnxruntime(), tier)
        found[f"stages {tier}"] = of(stages, machine.onnxruntime(), tier)
    for library in machine.libraries_or_wanted():
        for precision, graphs in GRAPHS.items():
            name = f"{library.name} {precision}"
            for graph in graphs:
                found[f"build {name} {graph}"] = of(build_graph, library, precision, graph)
            found[f"parity {name}"] = of(parity, library, precision)
            found[f"stages {name}"] = of(stages_of, library, precision)
        found[f"rebuild {library.name}"] = of(rebuild, library)
        found[f"ready {library.name}"] = of(ready, library)
    return found


def of(step, *arguments):
    return lambda check: step(check, *arguments)


def machine_step(check: Check) -> dict:
    check.need_gpu()
    query = "name,driver_version,memory.total,compute_cap"
    said = check.run("nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader")
    gpus = "; ".join(said.strip().splitlines())
    # It ends with 1 where no tier can run, and says so all the same.
    try:
        check.run(check.cvtrt, "diagnose", "--report", check.out / "diagnose.txt")
    except Failed as failed:
        return {"gpu": gpus, "diagnose": str(failed)}
    return {"gpu": gpus}


def model_step(check: Check) -> dict:
    check.need_gpu()
    check.need_packages()
    check.run(check.python, "scripts/make_full_size.py", "--family", "cosyvoice2", "--out", check.model)
    return {"bytes": sum(file.stat().st_size for file in check.model.rglob("*") if file.is_file())}


def bundle_step(check: Check) -> dict:
    check.need_gpu()
    check.need_packages()
    if not (check.model / "llm.pt").is_file():
        raise CannotRun("there is no full-size model; the step `model` makes it")
    shutil.rmtree(check.bundle, ignore_errors=True)
    check.run(check.python, "scripts/export_onnx.py", "--model-dir", check.model, "--out", check.bundle)
    return {"bytes": sum(file.stat().st_size for file in check.bundle.rglob("*") if file.is_file())}


def torch_step(check: Check, *flags: str) -> dict:
    """PyTorch's times of the stages that `stages` steps time."""
    check.need_gpu()
    check.need_packages()
    check.need_bundle()
    return json.loads(check.run(check.python, "scripts/peer_torch.py", "--model-dir", check.model, "--device", "cuda",
                                "--positions", positions(check.bundle), *flags))


def build_tier(check: Check, library, tier: str) -> dict:
    check.need_gpu()
    check.need_bundle()
    backend, precision = tier.rsplit("-", 1)
    return {"graphs": built(check, library.folder, backend, precision, ["--profile", PROFILE])}


def build_graph(check: Check, library, precision: str, graph: str) -> dict:
    need_library(check, library, precision)
    check.need_bundle()
    flags = ["--graphs", graph, "--profile", PROFILE]
    return {"graphs": built(check, library.folder, library.backend, precision, flags)}


def built(check: Check, folder: Path, backend: str, precision: str, flags: list, engines: Path | None = None) -> list:
    report = check.cvtrt_json(folder, "build", "--bundle", check.bundle, "--backend", backend, f"--{precision}", *flags,
                              engines=engines)
    keep = ["graph", "precision", "state", "build_ms", "bytes", "peak_bytes", "max_abs_error", "timings", "passed_over"]
    return [{name: row.get(name) for name in keep} for row in report["graphs"]]


def need_library(check: Check, library, precision: str) -> None:
    check.need_gpu()
    if library.missing:
        raise CannotRun(library.missing)
    if precision == "bf16" and library.major == 8:
        raise CannotRun("TensorRT 8.6 has no bf16")


def parity(check: Check, library, precision: str) -> dict:
    """The small bundle's engines against recordings of the reference."""
    need_library(check, library, precision)
    engines = check.scratch / "engines-small"
    backend = ["--backend", library.backend, f"--{precision}"]
    check.cvtrt_json(library.folder, "build", "--bundle", check.small, *backend, engines=engines)
    report = check.cvtrt_json(library.folder, "parity", "--bundle", check.small, "--golden", GOLDENS, "--tier",
                              f"{library.tier}-{precision}", engines=engines)
    return {"cases": len(report["rows"])}


def stages_of(check: Check, library, precision: str) -> dict:
    need_library(check, library, precision)
    return stages(check, library, f"{library.tier}-{precision}")


def stages(check: Check, library, tier: str) -> dict:
    """Times of the stages of 5 s of audio, and of every graph at the shapes of the profile."""
    check.need_gpu()
    check.need_bundle()
    wav = check.out / f"{tier}.wav"
    spoken = check.cvtrt_json(
        library.folder, "synth", " ".join(SENTENCES), "--bundle", check.bundle, "--profile", PROFILE, "--tier", tier,
        "--voice", VOICE, "--max-tokens", SPEECH_TOKENS, "--output", wav)
    warm = check.cvtrt_json(library.folder, "warmup", "--bundle", check.bundle, "--profile", PROFILE, "--tier", tier,
                            "--runs", 30)
    return {"tier": tier, "stages": stage_times(spoken), "precisions": stage_precisions(spoken),
            "graphs": next(iter(warm.values()))}


def rebuild(check: Check, library) -> dict:
    """The same engine built without and with the timings of earlier builds."""
    need_library(check, library, "fp16")
    check.need_bundle()
    if library.backend != "tensorrt":
        raise CannotRun(f"{library.name} times nothing when it builds")
    flags = ["--graphs", "flow_estimator", "--profile", PROFILE, "--no-verify", "--force"]
    engines = check.scratch / "engines-rebuild"
    shutil.rmtree(engines, ignore_errors=True)

    def once(*more: str) -> dict:
        return built(check, library.folder, "tensorrt", "fp16", [*flags, *more], engines)[0]

    cold, first, warm = once("--no-timing-cache"), once(), once()
    return {"cold_ms": cold["build_ms"], "first_ms": first["build_ms"], "warm_ms": warm["build_ms"],
            "timings": warm["timings"], "times_faster": cold["build_ms"] / max(warm["build_ms"], 1)}


def ready(check: Check, library) -> dict:
    """From the start of a server to its readiness with every engine in the cache, and the memory it then holds."""
    need_library(check, library, "fp16")
    check.need_bundle()
    return check.machine.serve(check, [
        check.cvtrt, "serve", "--bundle", check.bundle, "--profile", PROFILE, "--tier", f"{library.tier}-fp16",
        "--runtime-dir", library.folder, "--engines-dir", check.engines])


def named_program() -> Path | None:
    """What the variable CVTRT names; `None` where it is not set."""
    if not (named := os.environ.get("CVTRT")):
        return None
    if not (found := shutil.which(named)):
        raise CannotRun(f"CVTRT names no program: {named}; `cargo build` makes target/debug/cvtrt")
    return Path(found)


def begun(out: Path, machine: Machine) -> tuple[Check, dict[str, dict]]:
    """The check, and the rows of earlier runs."""
    try:
        check = Check(out, machine)
        (check.out / "logs").mkdir(parents=True, exist_ok=True)
    except OSError as why:
        raise CannotRun(f"{out} is no folder for a report: {why.strerror}; name another one") from why
    try:
        return check, gpu_report.read(check.out)
    except (ValueError, KeyError, TypeError) as why:
        raise CannotRun(f"{out / 'report.json'} is no report to go on from; remove it, or name another folder") from why


def first_error(stdout: str, stderr: str) -> str:
    """What went wrong, in the words of cvtrt, plain or JSON, or of Python."""
    lines = [*stdout.splitlines(), *stderr.splitlines()]
    for at, line in enumerate(lines):
        if line.startswith('{"error":'):
            error = json.loads(line)["error"]
            return " — ".join([error["message"], *error["causes"]])[:500]
        if line.startswith("error:"):
            causes = [after.removeprefix("cause: ") for after in lines[at + 1 :] if after.startswith("cause:")]
            return " — ".join([line.removeprefix("error: "), *causes])[:500]
    return next((line for line in reversed(lines) if "Error" in line), "")[:500]


def do(check: Check, name: str, step) -> dict:
    """One step's row."""
    began = time.monotonic()
    check.name, check.deadline = name.replace(" ", "-"), began + STEP_SECONDS
    (check.out / "logs" / f"{check.name}.log").unlink(missing_ok=True)
    row = {"step": name, "result": "worked", "why": "", "figures": {}}
    try:
        row["figures"] = step(check)
    except CannotRun as why:
        row |= {"result": "could not run", "why": str(why)}
    except Failed as why:
        row |= {"result": "failed", "why": str(why)}
    except Exception as strange:  # The next step may do well, whatever became of this one.
        row |= {"result": "failed", "why": f"{type(strange).__name__}: {strange}"}
    return row | {"seconds": round(time.monotonic() - began, 1)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/gpu-check", description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder for the report and what a later run goes on from")
    parser.add_argument("steps", nargs="*", metavar="STEP", help="only steps whose names begin so")
    parser.add_argument("--budget", type=float, metavar="SECONDS", help="begin no step after this time")
    parser.add_argument("--again", action="store_true", help="do steps again that are done")
    parser.add_argument("--list", action="store_true", help="only name the steps")
    options = parser.parse_args()
    machine = look()
    every = steps(machine)
    wanted = [name for name in every if not options.steps or any(name.startswith(word) for word in options.steps)]
    if options.steps and not wanted:
        parser.error(f"no step begins with {' or '.join(options.steps)}; --list names them")
    if options.list:
        print("\n".join(wanted))
        return 0
    try:
        check, kept = begun(options.out, machine)
    except CannotRun as why:
        parser.error(str(why))
    began = time.monotonic()
    for name in wanted:
        if not options.again and kept.get(name, {}).get("result") == "worked":
            continue
        if options.budget is not None and time.monotonic() - began > options.budget:
            print(f"the time is up before `{name}`; the same command goes on from here")
            break
        kept[name] = do(check, name, every[name])
        gpu_report.write(options.out, machine, [kept[name] for name in every if name in kept])
        row = kept[name]
        print(f"{row['step']}: {row['result']}{': ' + row['why'] if row['why'] else ''} ({row['seconds']} s)", flush=True)
    gpu_report.write(options.out, machine, [kept[name] for name in every if name in kept])
    print(f"report: {options.out / 'report.md'}")
    return 0


def quietly(main) -> int:
    """The exit code of a program whose reader may go, and which may be interrupted."""
    try:
        code = main()
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The interpreter flushes once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(quietly(main))
