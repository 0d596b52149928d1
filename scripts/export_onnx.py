#!/usr/bin/env python3
"""Exports a CosyVoice model folder to a bundle; `cvtrt export` runs this.

Exit codes: 0 done; 1 the export failed; 2 the model folder (or an argument) is bad, with everything that is wrong.
"""

import argparse
import json
import sys
from pathlib import Path

DONE, FAILED, BAD_INPUT = 0, 1, 2


def refuse_python(error: ModuleNotFoundError) -> int:
    """Says which package this Python lacks, and what to do about it."""
    what = f"{sys.executable} cannot import `{error.name}`: {error}"
    lock = Path(__file__).parent / "export/requirements.lock"
    fix = (f"{sys.executable} -m pip install -r {lock}, or leave out --export-python: cvtrt then makes an environment "
           "of its own")
    print(f"error: {what}\nhint:  {fix}", file=sys.stderr)
    if "--json" in sys.argv:
        print(json.dumps({"error": what, "hint": fix}))
    return FAILED


try:
    from export import preflight
    from export.bundle import WEIGHT_GRAPHS
    from export.errors import ExportError, ModelFolderError
    from export.exporting import MAX_POSITIONS, MAX_TOKENS, ExportedGraph, ExportOptions, export
    from export.graphs import GROUPS
except ModuleNotFoundError as error:
    # A module of the exporter's own is no package to install.
    if (error.name or "export").split(".")[0] == "export":
        raise
    sys.exit(refuse_python(error))

GRAPH_NAMES = {*WEIGHT_GRAPHS, *GROUPS}


def main(arguments: list[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.out is None and not options.check_only:
        parser.error("--out is needed, unless --check-only is given")
    unknown = sorted(set(options.graphs or ()) - GRAPH_NAMES)
    if unknown:
        parser.error(f"no graph `{unknown[0]}`; there are {', '.join(sorted(GRAPH_NAMES))}")
    # With --json, stdout carries one document and everything for people goes to stderr.
    talk = sys.stderr if options.json else sys.stdout
    try:
        result = _run(options, talk)
    except ModelFolderError as error:
        for problem in error.problems:
            print(f"error: {problem}\nhint:  {problem.fix}", file=sys.stderr)
        print(f"{options.model_dir}: {error}", file=sys.stderr)
        _emit(options, {"error": str(error), "problems": [problem.as_dict() for problem in error.problems]})
        return BAD_INPUT
    except (ExportError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        _emit(options, {"error": str(error)})
        return FAILED
    except KeyboardInterrupt:
        print("interrupted; nothing was left behind", file=sys.stderr)
        return FAILED
    _emit(options, result)
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model-dir", type=Path, required=True, help="folder of a released model")
    parser.add_argument("--out", type=Path, help="bundle to write; needed unless --check-only")
    parser.add_argument(
        "--graphs", type=lambda text: text.split(","), help="comma-separated graph ids; `hift` means both of its graphs"
    )
    parser.add_argument("--name", help="name of the bundle (default: that of the output folder)")
    parser.add_argument("--max-positions", type=int, default=MAX_POSITIONS, help="rows of the LLM's rotary table")
    parser.add_argument("--max-tokens", type=int, default=MAX_TOKENS, help="speech tokens the flow encoder can take")
    parser.add_argument("--check-only", action="store_true", help="compare files, names and shapes; export nothing")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def _run(options: argparse.Namespace, talk) -> dict:
    folder = preflight.check(options.model_dir, options.graphs)
    count = sum(len(checkpoint.shapes) for checkpoint in folder.checkpoints.values())
    print(f"{options.model_dir}: {folder.config.family}, {count} parameters as expected", file=talk)
    checked = {"family": folder.config.family, "parameters": count}
    if options.check_only:
        return checked

    exported = []

    def report(graph: ExportedGraph) -> None:
        exported.append(graph)
        print_graph(graph, talk)

    selection = ExportOptions(options.name, None, options.graphs, options.max_positions, options.max_tokens)
    contents = export(folder, options.out, selection, report)
    print(f"bundle: {options.out}", file=talk)
    return checked | {
        "bundle": str(options.out),
        "name": contents.name,
        "graphs": [
            {"graph": graph.id, "files": graph.files, "bytes": graph.bytes, "nodes": graph.nodes,
             "parity": [vars(comparison) for comparison in graph.comparisons]}
            for graph in exported
        ],
    }


def print_graph(graph: ExportedGraph, talk) -> None:
    """One line per graph and one per output: the largest error over all trials."""
    print(f"{graph.id}: {graph.nodes} nodes, {graph.bytes} bytes", file=talk)
    outputs = dict.fromkeys(comparison.output for comparison in graph.comparisons)
    for output in outputs:
        errors = [comparison.max_abs_error for comparison in graph.comparisons if comparison.output == output]
        print(f"  {output:16} max abs error {max(errors):.2e} over {len(errors)} sizes", file=talk)


def _emit(options: argparse.Namespace, document: dict) -> None:
    if options.json:
        print(json.dumps(document))


if __name__ == "__main__":
    # A caller that reads a pipe sees every graph when it is done.
    sys.stdout.reconfigure(line_buffering=True)
    sys.exit(main())
