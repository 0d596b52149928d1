"""Voices: prepared prompt features under a name, one safetensors file each."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from .errors import ModelFolderError, Problem

SPK2INFO = "spk2info.pt"
UNSAFE = re.compile(r"[^\w.-]+")


@dataclass(frozen=True)
class Voice:
    """`prompt_token` i32 `[P]`, `prompt_mel` f32 `[2P, 80]`, `embedding` f32 `[192]`; P = 0 without a prompt."""

    name: str
    embedding: torch.Tensor
    prompt_token: torch.Tensor
    prompt_mel: torch.Tensor
    transcript: str

    @property
    def has_prompt(self) -> bool:
        return self.prompt_token.numel() > 0

    def save(self, folder: Path) -> None:
        tensors = {
            "embedding": self.embedding.float().contiguous(),
            "prompt_mel": self.prompt_mel.float().contiguous(),
            "prompt_token": self.prompt_token.to(torch.int32).contiguous(),
        }
        save_file(tensors, folder / f"{self.name}.safetensors", metadata={"transcript": self.transcript})


def without_prompt(name: str, embedding: torch.Tensor, mel_bins: int) -> Voice:
    return Voice(name, embedding.flatten(), torch.zeros(0, dtype=torch.int32), torch.zeros(0, mel_bins), "")


def load(folder: Path, mel_bins: int, decode: Callable[[list[int]], str] | None) -> list[Voice]:
    """The voices of `spk2info.pt`; `decode` turns the stored transcript ids into text, where there is a tokenizer."""
    path = folder / SPK2INFO
    if not path.is_file():
        return []
    try:
        entries = torch.load(path, map_location="cpu", weights_only=True)
        return [_voice(name, entry, mel_bins, decode) for name, entry in sorted(entries.items())]
    except Exception as error:  # torch.load reports damaged files in many types
        what = f"cannot be read as voices: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        problem = Problem(SPK2INFO, "unreadable", what, f"download {SPK2INFO} again, or remove it")
        raise ModelFolderError([problem]) from error


def _voice(name: str, entry: dict, mel_bins: int, decode: Callable[[list[int]], str] | None) -> Voice:
    file_name = UNSAFE.sub("_", name).strip(".") or "voice"
    tokens, mel = entry.get("flow_prompt_speech_token"), entry.get("prompt_speech_feat")
    embedding = entry["flow_embedding"] if "flow_embedding" in entry else entry["embedding"]
    if tokens is None or mel is None or decode is None or "prompt_text" not in entry:
        return without_prompt(file_name, embedding, mel_bins)
    tokens, mel = tokens.flatten(), mel.reshape(-1, mel_bins)
    # Two frames per token, as the flow assumes.
    count = min(tokens.numel(), mel.shape[0] // 2)
    transcript = decode(entry["prompt_text"].flatten().tolist())
    return Voice(file_name, embedding.flatten(), tokens[:count], mel[: 2 * count], transcript)
