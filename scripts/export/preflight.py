"""Compares a model folder with what its family needs, and lists everything that is wrong at once."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import config as configuration
from . import tables
from .checkpoint import WEIGHT_NORM_PAIRS, Checkpoint, find_checkpoint
from .config import ModelConfig
from .errors import ExportError, ModelFolderError, Problem
from .files import BY_NAME, CHECKPOINTS, NOT_EXPORTED, SUFFIXES
from .graphs import graphs

# Present in released files and used by no graph that is exported. The text head is tied to the text embedding and never
# evaluated.
UNUSED = {
    ("cosyvoice2", "llm"): frozenset({"llm.model.lm_head.weight"}),
    ("cosyvoice3", "flow"): frozenset({
        "input_embedding.weight", "spk_embed_affine_layer.weight", "spk_embed_affine_layer.bias",
        *(f"pre_lookahead_layer.{layer}.{part}" for layer in ("conv1", "conv2") for part in ("weight", "bias")),
    }),
}


@dataclass(frozen=True)
class ModelFolder:
    """A folder that passed: its configuration and its open checkpoints."""

    path: Path
    config: ModelConfig
    checkpoints: Mapping[str, Checkpoint]


def check(folder: Path, wanted: Sequence[str] | None = None) -> ModelFolder:
    """Raises `ModelFolderError` with every problem found, or `ExportError` for a graph that is not exported yet.

    `wanted` are the graphs that will be exported; none means all of the family.
    """
    if not folder.is_dir():
        raise ModelFolderError([Problem(str(folder), "missing_file", "is not a folder", "pass the folder of a model")])
    problems: list[Problem] = []
    checkpoints = _opened(folder, _needed(folder, wanted), problems)
    try:
        config = configuration.load(folder, {stem: file.shapes for stem, file in checkpoints.items()})
        expected = expected_shapes(config)
    except ModelFolderError as error:
        raise ModelFolderError([*error.problems, *problems]) from error
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        what = f"describes no model of this family: {str(error).splitlines()[0]}"
        problem = Problem(config.file, "config", what, configuration.RESTORE)
        raise ModelFolderError([problem, *problems]) from error
    for stem, checkpoint in checkpoints.items():
        unused = UNUSED.get((config.family, stem), frozenset())
        problems += compared(checkpoint.path.name, expected[stem], checkpoint.shapes, unused)
    if problems:
        raise ModelFolderError(problems)
    return ModelFolder(folder, config, checkpoints)


def _needed(folder: Path, wanted: Sequence[str] | None) -> Sequence[str]:
    """The checkpoints that the wanted graphs come from."""
    try:
        family, _ = configuration.find(folder)
    except ModelFolderError:
        return CHECKPOINTS  # loading the configuration says what is wrong with it
    if family not in NOT_EXPORTED:
        return CHECKPOINTS
    by_name, checkpoints = BY_NAME.get(family, (frozenset(), ()))
    if wanted and by_name.issuperset(wanted):
        return checkpoints
    reason = f"{folder}: `{family}` is not exported yet; it needs {NOT_EXPORTED[family]}"
    if by_name:
        reason += f" (--graphs {','.join(sorted(by_name))} exports what there is)"
    raise ExportError(reason)


def expected_shapes(config: ModelConfig) -> dict[str, dict[str, tuple[int, ...]]]:
    """Every parameter a checkpoint of this configuration must hold, by file and name."""
    expected: dict[str, dict[str, tuple[int, ...]]] = {stem: {} for stem in CHECKPOINTS}
    for graph in graphs(config, max_positions=1, max_tokens=1):
        names = graph.source_names()
        expected[graph.checkpoint] |= {
            names[name]: tuple(parameter.shape) for name, parameter in graph.module.named_parameters()
        }
    for stem, shapes in tables.expected_shapes(config).items():
        expected[stem] |= shapes
    return expected


def compared(
    file: str, expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]], unused: frozenset[str]
) -> list[Problem]:
    """Missing, unknown and misshapen parameters of one file."""
    missing = sorted(expected.keys() - found.keys())
    unknown = sorted(found.keys() - expected.keys() - unused)
    wrong = sorted(name for name in expected.keys() & found.keys() if expected[name] != found[name])
    return [
        *(_missing(file, name, expected[name], unknown) for name in missing),
        *(_unknown(file, name, missing) for name in unknown),
        *(_misshapen(file, name, expected[name], found[name]) for name in wrong),
    ]


def _opened(folder: Path, stems: Sequence[str], problems: list[Problem]) -> dict[str, Checkpoint]:
    checkpoints = {}
    for stem in stems:
        path = find_checkpoint(folder, stem)
        if path is None:
            names = " or ".join(stem + suffix for suffix in SUFFIXES)
            problems.append(Problem(f"{stem}{SUFFIXES[0]}", "missing_file", f"the folder holds no {names}",
                                    f"download {stem}{SUFFIXES[0]} of the model into {folder}"))
            continue
        try:
            checkpoints[stem] = Checkpoint(path)
        except ModelFolderError as error:
            problems += error.problems
    return checkpoints


def _missing(file: str, name: str, shape: tuple[int, ...], unknown: list[str]) -> Problem:
    partner = next((key for key in unknown if _is_part_of(key, name)), None)
    if partner:
        fix = f"only one half of its weight-norm pair is there (`{partner}`); use the complete file"
    else:
        fix = _renamed_hint(name, unknown) or f"use the {file} that belongs to this configuration"
    return Problem(file, "missing", f"parameter `{name}` {_dims(shape)} is missing", fix)


def _unknown(file: str, name: str, missing: list[str]) -> Problem:
    fix = _renamed_hint(name, missing) or "use a file of this family, or a configuration that has this part"
    return Problem(file, "unknown", f"parameter `{name}` belongs to no part of this model", fix)


def _misshapen(file: str, name: str, expected: tuple[int, ...], found: tuple[int, ...]) -> Problem:
    what = f"parameter `{name}` is {_dims(found)}, the configuration makes it {_dims(expected)}"
    return Problem(file, "misshapen", what, f"use the configuration and the {file} of the same model")


def _is_part_of(key: str, name: str) -> bool:
    stem = name.removesuffix(".weight")
    return any(key == stem + suffix for pair in WEIGHT_NORM_PAIRS for suffix in pair)


def _renamed_hint(name: str, candidates: list[str]) -> str | None:
    close = difflib.get_close_matches(name, candidates[:200], n=1, cutoff=0.9)
    return f"did it become `{close[0]}`? use the file as published" if close else None


def _dims(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"
