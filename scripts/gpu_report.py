"""The report of `scripts/gpu-check`: report.json, which a later run goes on from, and report.md."""

import json
from pathlib import Path

from gpu_machine import Machine, as_dict

# Milliseconds at batch 1 on an H200: a decode step; a solve of ten steps for 5 s of audio; 5 s of audio made of mel.
STAGE_GOALS = {"decode step": 0.7, "flow": 25.0, "vocoder": 5.0}
FASTER_THAN_TORCH = 4.0
WARM_REBUILD = 4.0
READY_SECONDS = 4.0


def read(out: Path) -> dict[str, dict]:
    """The rows of earlier runs, by step."""
    path = out / "report.json"
    if not path.is_file():
        return {}
    return {row["step"]: row for row in json.loads(path.read_text())["steps"]}


def write(out: Path, machine: Machine, rows: list[dict]) -> None:
    document = {"machine": as_dict(machine), "steps": rows}
    replace(out / "report.json", json.dumps(document, indent=2) + "\n")
    replace(out / "report.md", text(machine, {row["step"]: row for row in rows}))


def replace(path: Path, content: str) -> None:
    """At once, so that an interrupted run leaves the report of the one before."""
    new = path.with_name(path.name + ".new")
    new.write_text(content)
    new.replace(path)


def text(machine: Machine, rows: dict[str, dict]) -> str:
    gpu = rows.get("machine", {}).get("figures", {}).get("gpu") or machine.no_gpu or "not looked at yet"
    parts = [f"# GPU check\n\n{gpu}\n", libraries(machine), goals(rows), stages(rows), builds(rows), every_step(rows)]
    return "\n".join(part for part in parts if part)


def libraries(machine: Machine) -> str:
    found = [[library.name, str(library.folder) if not library.missing else library.missing]
             for library in machine.libraries_or_wanted()]
    return table("Libraries", ["library", "run-time folder"], found)


def goals(rows: dict[str, dict]) -> str:
    """What was to be reached, with the best that was."""
    torch = figures(rows, "torch").get("stages", {})
    best = {}
    for row in rows.values():
        for stage, ms in row["figures"].get("stages", {}).items() if row["step"].startswith("stages ") else ():
            if stage not in best or ms < best[stage][0]:
                best[stage] = (ms, f"{row['figures']['tier']}, served in {row['figures']['precisions'][stage]}")
    lines = []
    for stage, goal in STAGE_GOALS.items():
        ms, tier = best.get(stage, (None, ""))
        lines.append([f"{stage} under {goal} ms", measured(ms, "ms", tier), verdict(ms, lambda it: it < goal)])
        faster = torch[stage] / ms if ms and stage in torch else None
        lines.append([f"{stage} {FASTER_THAN_TORCH:g} times PyTorch eager", measured(faster, "x", tier),
                      verdict(faster, lambda it: it >= FASTER_THAN_TORCH)])
    for row in rows.values():
        of = row["step"].split(" ", 1)[-1]
        if row["step"].startswith("rebuild ") and row["figures"]:
            times = row["figures"]["times_faster"]
            lines.append([f"warm rebuild {WARM_REBUILD:g} times faster", measured(times, "x", of),
                          verdict(times, lambda it: it >= WARM_REBUILD)])
        if row["step"].startswith("ready ") and row["figures"]:
            took = row["figures"]["ready_s"]
            lines.append([f"ready from cached engines in {READY_SECONDS:g} s", measured(took, "s", of),
                          verdict(took, lambda it: it < READY_SECONDS)])
    return table("Goals", ["goal", "measured", "reached"], lines)


def stages(rows: dict[str, dict]) -> str:
    torch = figures(rows, "torch").get("stages", {})
    names, lines = list(torch), []
    for step, of in [("torch", "torch eager"), ("torch autocast", "torch eager, FP16 by autocast")]:
        if times := figures(rows, step).get("stages"):
            lines.append([of, *(f"{times[name]:.3g} ms" for name in names or times)])
    for row in rows.values():
        own = row["figures"].get("stages") if row["step"].startswith("stages ") else None
        if own:
            names = names or list(own)
            served = row["figures"]["precisions"]
            cells = [f"{own[name]:.3g} ms in {served[name]}"
                     + (f" ({torch[name] / own[name]:.1f} x)" if name in torch else "")
                     if name in own else "" for name in names]
            lines.append([row["figures"]["tier"], *cells])
    return table("Stages of 5 s of audio", ["tier", *names], lines) if lines else ""


def builds(rows: dict[str, dict]) -> str:
    lines = []
    for row in rows.values():
        for built in row["figures"].get("graphs", []) if row["step"].startswith("build ") else ():
            error = built["max_abs_error"]
            timings = built["timings"] or {}
            lines.append([row["step"].removeprefix("build "), built["graph"], built["precision"],
                          f"{built['build_ms'] / 1e3:.1f} s", f"{built['bytes'] / 1e6:.0f} MB",
                          "-" if built["peak_bytes"] is None else f"{built['peak_bytes'] / 1e9:.1f} GB",
                          "-" if error is None else f"{error:.1e}", f"{timings.get('began_with_bytes', 0)} bytes"])
    heading = ["step", "graph", "precision", "build", "size", "peak host memory", "largest error", "timings begun with"]
    return table("Engines", heading, lines) if lines else ""


def every_step(rows: dict[str, dict]) -> str:
    lines = [[row["step"], row["result"], f"{row['seconds']} s", row["why"]] for row in rows.values()]
    return table("Steps", ["step", "result", "took", "why"], lines)


def figures(rows: dict[str, dict], step: str) -> dict:
    return rows.get(step, {}).get("figures", {})


def measured(value: float | None, unit: str, by: str) -> str:
    return "not measured" if value is None else f"{value:.3g} {unit}" + (f" ({by})" if by else "")


def verdict(value: float | None, reached) -> str:
    return "" if value is None else "yes" if reached(value) else "no"


def table(title: str, heading: list[str], lines: list[list[str]]) -> str:
    cells = [heading, ["---"] * len(heading), *([cell.replace("|", "\\|") for cell in line] for line in lines)]
    return f"## {title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in cells)
