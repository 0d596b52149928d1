"""The whole export, from a checked model folder to a bundle folder."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save_file

from . import bundle, tables, tokenizer, voices
from .bundle import Contents
from .config import QWEN_FOLDER
from .errors import ExportError, ModelFolderError, Problem
from .graphs import Graph, graphs, selected
from .parity import Comparison, compare
from .preflight import ModelFolder
from .tracing import traced
from .writing import write

# Upstream graphs that a bundle takes as they come: id → file of a model folder.
PROMPT_ENCODERS = {"speech_tokenizer": "speech_tokenizer_v2.onnx", "campplus": "campplus.onnx"}
MAX_POSITIONS = 4096
MAX_TOKENS = 2048


@dataclass(frozen=True)
class ExportOptions:
    name: str | None = None
    description: str | None = None
    graphs: Sequence[str] | None = None  # none: all of them
    max_positions: int = MAX_POSITIONS
    max_tokens: int = MAX_TOKENS


@dataclass(frozen=True)
class ExportedGraph:
    id: str
    files: list[str]
    nodes: int
    bytes: int
    comparisons: list[Comparison]


# Puts more into the staged folder before the manifest is written.
Addition = Callable[[Path, Contents], None]


def export(
    folder: ModelFolder, out: Path, options: ExportOptions, report: Callable[[ExportedGraph], None],
    addition: Addition | None = None,
) -> Contents:
    """Writes the bundle `out`; an older bundle there is replaced once the new one is complete.

    Raises `ExportError` when a graph differs from its module, `ModelFolderError` when a file of the folder is bad.
    """
    if out.exists() and not bundle.is_replaceable(out):
        raise ExportError(f"{out} exists and is not a bundle; choose another folder")
    all_graphs = graphs(folder.config, options.max_positions, options.max_tokens)
    wanted = selected(all_graphs, options.graphs) if options.graphs else all_graphs
    out.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        contents = _contents(folder, out, options)
        _write_tokenizer(folder, staged, contents)
        _write_voices(folder, staged, contents)
        save_file(tables.tables(dict(folder.checkpoints)), staged / bundle.TABLES)
        for graph in wanted:
            exported = _export_graph(graph, folder, staged)
            contents.graphs[exported.id] = exported.files
            report(exported)
        _copy_prompt_encoders(folder, staged, contents)
        if addition:
            addition(staged, contents)
        bundle.write_manifest(staged, folder.config, contents)
        bundle.replace_folder(staged, out)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return contents


def _contents(folder: ModelFolder, out: Path, options: ExportOptions) -> Contents:
    return Contents(
        name=options.name or out.name,
        description=options.description or f"exported from {folder.path.resolve().name}",
        source_digest=bundle.digest_of([checkpoint.path for checkpoint in folder.checkpoints.values()]),
        max_positions=options.max_positions,
        max_tokens=options.max_tokens,
    )


def _write_tokenizer(folder: ModelFolder, staged: Path, contents: Contents) -> None:
    found = tokenizer.load(folder.path / QWEN_FOLDER)
    if found is None:
        return
    rows = folder.config.llm.text_vocab
    if found.rows > rows:
        what = f"gives ids up to {found.rows - 1}, the text embedding has {rows} rows"
        raise ModelFolderError([Problem(f"{QWEN_FOLDER}/vocab.json", "config", what,
                                        f"use the {QWEN_FOLDER} that came with the model")])
    contents.tokenizer = found
    (staged / bundle.TOKENIZER).write_text(found.to_json(), encoding="utf-8")


def _write_voices(folder: ModelFolder, staged: Path, contents: Contents) -> None:
    decode = contents.tokenizer.decode if contents.tokenizer else None
    contents.voices = voices.load(folder.path, folder.config.flow.mel_bins, decode)
    if contents.voices:
        (staged / bundle.VOICES).mkdir()
    for voice in contents.voices:
        voice.save(staged / bundle.VOICES)


def _export_graph(graph: Graph, folder: ModelFolder, staged: Path) -> ExportedGraph:
    graph.load(folder.checkpoints[graph.checkpoint])
    model = traced(graph)
    files = write(model, staged, graph.id)
    nodes = len(model.model.graph.node)
    del model
    comparisons = compare(graph, staged / files[0])
    failed = [comparison for comparison in comparisons if not comparison.passed]
    if failed:
        worst = max(failed, key=lambda comparison: comparison.max_abs_error / comparison.limit)
        raise ExportError(
            f"graph `{graph.id}` differs from its module: `{worst.output}` at {dict(worst.sizes)} by "
            f"{worst.max_abs_error:.3g}, allowed {worst.limit:.3g}"
        )
    return ExportedGraph(graph.id, files, nodes, sum((staged / file).stat().st_size for file in files), comparisons)


def _copy_prompt_encoders(folder: ModelFolder, staged: Path, contents: Contents) -> None:
    for graph, file in PROMPT_ENCODERS.items():
        if (folder.path / file).is_file():
            shutil.copyfile(folder.path / file, staged / f"{graph}.onnx")
            contents.graphs[graph] = [f"{graph}.onnx"]
