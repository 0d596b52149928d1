"""Assembles a bundle folder and its manifest."""

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .config import ModelConfig
from .errors import ExportError
from .tokenizer import Tokenizer
from .voices import Voice

FORMAT = 1
MANIFEST = "bundle.yaml"
TOKENIZER = "tokenizer.json"
TABLES = "tables.safetensors"
VOICES = "voices"
# The revision of the original modules that these graphs reproduce.
UPSTREAM_REVISION = "ace7c47f"
SINE = {"cosyvoice2": "interpolated", "cosyvoice3": "framewise"}
SILENT = {"cosyvoice3": [1, 2, 28, 29, 55, 248, 494, 2241, 2242, 2322, 2323]}
WEIGHT_GRAPHS = ("llm", "flow_encoder", "flow_estimator", "hift_f0", "hift_decode")


@dataclass
class Contents:
    """What goes into a bundle besides the configuration of the model."""

    name: str
    description: str
    source_digest: str
    max_positions: int
    max_tokens: int
    graphs: dict[str, list[str]] = field(default_factory=dict)  # id → files, the ONNX file first
    stand_ins: list[str] = field(default_factory=list)
    tokenizer: Tokenizer | None = None
    voices: list[Voice] = field(default_factory=list)


def write_manifest(folder: Path, config: ModelConfig, contents: Contents) -> None:
    """Writes `bundle.yaml` over the files that lie in `folder`."""
    modes, lacks = modes_of(contents)
    document = _document(config, contents, modes, lacks) | {"files": _files(folder)}
    text = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def modes_of(contents: Contents) -> tuple[list[str], dict[str, str]]:
    """The modes a bundle can do, and why it cannot do the others."""
    prompted = any(voice.has_prompt for voice in contents.voices)
    encoders = [graph for graph in ("speech_tokenizer", "campplus") if graph not in contents.graphs]
    absent = [graph for graph in WEIGHT_GRAPHS if graph not in contents.graphs]
    no_encoders = f"no {' and no '.join(encoders)}" if encoders else None
    no_text = None if contents.tokenizer else "no tokenizer"
    no_prompt = None if prompted or not encoders else f"no voice with a prompt, and {no_encoders} to make one"
    no_voice = None if contents.voices or "campplus" in contents.graphs else "no voice, and no campplus to make one"
    obstacles = {
        "sft": no_text or no_voice,
        "zero_shot": no_text or no_prompt,
        "cross_lingual": no_text or no_prompt,
        "instruct2": no_text or no_prompt,
        "vc": no_encoders,
    }
    if absent:
        obstacles = dict.fromkeys(obstacles, f"exported without {', '.join(absent)}")
    modes = [mode for mode, why in obstacles.items() if why is None]
    return modes, {mode: why for mode, why in obstacles.items() if why is not None}


def digest_of(paths: list[Path]) -> str:
    """SHA-256 over the digests and names of the files, in the order of their names."""
    total = hashlib.sha256()
    for path in sorted(paths, key=lambda path: path.name):
        total.update(f"{sha256(path)}  {path.name}\n".encode())
    return total.hexdigest()


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def replace_folder(staged: Path, out: Path) -> None:
    """Puts a finished bundle in the place of an older one. A folder that is no bundle is left alone."""
    if out.exists():
        if not is_replaceable(out):
            raise ExportError(f"{out} exists and is not a bundle; choose another folder")
        shutil.rmtree(out)
    # The folder and some of the files were made for their owner only.
    staged.chmod(0o755)
    for path in staged.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    staged.rename(out)


def is_replaceable(out: Path) -> bool:
    return out.is_dir() and ((out / MANIFEST).is_file() or not any(out.iterdir()))


def _document(config: ModelConfig, contents: Contents, modes: list[str], lacks: Mapping[str, str]) -> dict[str, Any]:
    llm, flow, hift, sampling = config.llm, config.flow, config.hift, config.sampling
    tokenizer = None
    if contents.tokenizer:
        tokenizer = {"file": TOKENIZER, "endofprompt": contents.tokenizer.endofprompt}
    return {
        "format": FORMAT,
        "name": contents.name,
        "family": config.family,
        "description": contents.description,
        "source": {"revision": UPSTREAM_REVISION, "digest": contents.source_digest},
        "sample_rate": config.sample_rate,
        "token_rate": config.token_rate,
        "frames_per_token": flow.frames_per_token,
        "samples_per_frame": hift.samples_per_frame,
        "mel_bins": flow.mel_bins,
        "modes": modes,
        "lacks": dict(lacks),
        "stand_ins": contents.stand_ins,
        "llm": {
            "layers": llm.layers,
            "hidden": llm.hidden,
            "kv_heads": llm.kv_heads,
            "head_dim": llm.head_dim,
            "kv_dtype": "f32",
            "head_rows": llm.head_rows,
            "speech_vocab": llm.speech_vocab,
            "eos": llm.eos,
            "fill": llm.fill,
            "stop": list(llm.stop),
            "silent": SILENT.get(config.family, []),
            "max_positions": contents.max_positions,
        },
        "sampling": dict(vars(sampling)),
        "flow": {
            "steps": flow.steps,
            "guidance": flow.guidance,
            "look_ahead": flow.look_ahead,
            "chunk_tokens": flow.chunk_tokens,
            "noise": "fixed",
            # The encoder of v3 has no position table.
            "max_tokens": contents.max_tokens if flow.encoder else None,
        },
        "hift": {
            "harmonics": hift.harmonics,
            "sine_amplitude": hift.sine_amplitude,
            "noise_std": hift.noise_std,
            "voiced_threshold_hz": hift.voiced_threshold_hz,
            "audio_limit": hift.audio_limit,
            "sine": SINE[config.family],
        },
        "tokenizer": tokenizer,
        "graphs": {graph: {"file": files[0], "data": files[1:]} for graph, files in contents.graphs.items()},
    }


def _files(folder: Path) -> dict[str, dict[str, Any]]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in paths
    }


class _Dumper(yaml.SafeDumper):
    """Short lists stay on one line; nothing is written as an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_list(dumper: yaml.Dumper, data: list) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)


_Dumper.add_representer(list, _represent_list)
