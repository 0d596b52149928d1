"""Reading `.pt` and `.safetensors` state dicts by parameter name, one tensor at a time."""

import pickle
import re
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from .errors import ModelFolderError, Problem
from .files import SUFFIXES

# Gain and direction of a weight-normed convolution: the parametrised names, then the older ones.
WEIGHT_NORM_PAIRS = (
    (".parametrizations.weight.original0", ".parametrizations.weight.original1"),
    (".weight_g", ".weight_v"),
)
GENERATOR_PREFIX = "generator."


class Checkpoint:
    """A state dict on disk.

    Names are the module's own: a `generator.` prefix is stripped, and a weight-normed convolution appears as one
    `<name>.weight` with its effective value `g * v / |v|` (norm over all axes but the first).
    """

    def __init__(self, path: Path):
        self.path = path
        self._raw = _open(path)
        prefixed = bool(self._raw) and all(name.startswith(GENERATOR_PREFIX) for name in self._raw)
        self._stored = {name.removeprefix(GENERATOR_PREFIX) if prefixed else name: name for name in self._raw}
        self._pairs = _weight_norm_pairs(self._stored)
        self.shapes = self._logical_shapes()

    def tensor(self, name: str) -> torch.Tensor:
        """The parameter `name` as contiguous float32."""
        pair = self._pairs.get(name)
        if pair is None:
            return self.stored(name).float().contiguous()
        gain, direction = (self.stored(part).float() for part in pair)
        axes = tuple(range(1, direction.dim()))
        return gain * direction / torch.linalg.vector_norm(direction, dim=axes, keepdim=True)

    def stored(self, name: str) -> torch.Tensor:
        """The parameter `name` in the type it is stored in; weight-norm parts under their own names."""
        return self._raw[self._stored[name]].read()

    def _logical_shapes(self) -> dict[str, tuple[int, ...]]:
        parts = {part for pair in self._pairs.values() for part in pair}
        shapes = {name: self._raw[raw].shape for name, raw in self._stored.items() if name not in parts}
        for name, (_, direction) in self._pairs.items():
            shapes[name] = self._raw[self._stored[direction]].shape
        return shapes


def find_checkpoint(folder: Path, stem: str) -> Path | None:
    """`<folder>/<stem>.pt`, else `.safetensors`, else none."""
    return next((path for suffix in SUFFIXES if (path := folder / f"{stem}{suffix}").is_file()), None)


class _InMemory:
    def __init__(self, tensor: torch.Tensor):
        self.shape = tuple(tensor.shape)
        self._tensor = tensor

    def read(self) -> torch.Tensor:
        return self._tensor


class _Lazy:
    def __init__(self, handle, name: str):
        self.shape = tuple(handle.get_slice(name).get_shape())
        self._handle, self._name = handle, name

    def read(self) -> torch.Tensor:
        return self._handle.get_tensor(self._name)


def _open(path: Path) -> dict[str, _InMemory | _Lazy]:
    try:
        if path.suffix == ".safetensors":
            handle = safe_open(path, framework="pt")
            return {name: _Lazy(handle, name) for name in sorted(handle.keys())}
        return {name: _InMemory(tensor) for name, tensor in _state_dict(path).items()}
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        problem = Problem(
            path.name,
            "unreadable",
            f"cannot be read as a state dict: {reason}",
            f"download {path.name} again and compare its size with the published one",
        )
        raise ModelFolderError([problem]) from error


def _state_dict(path: Path) -> dict[str, torch.Tensor]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, ValueError) as error:
        if not re.search("mmap", str(error)):
            raise
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(loaded, dict):
        raise ValueError(f"holds a {type(loaded).__name__}, not a dict of tensors")
    # Training runs save their epoch and step beside the parameters.
    return {name: value for name, value in sorted(loaded.items()) if isinstance(value, torch.Tensor)}


def _weight_norm_pairs(names) -> dict[str, tuple[str, str]]:
    pairs = {}
    for gain_suffix, direction_suffix in WEIGHT_NORM_PAIRS:
        for gain in names:
            if not gain.endswith(gain_suffix):
                continue
            stem = gain.removesuffix(gain_suffix)
            if stem + direction_suffix in names:
                pairs[f"{stem}.weight"] = (gain, stem + direction_suffix)
    return pairs
