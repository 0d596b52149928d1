"""A complete model folder of very small dimensions, in the flat form, for tests."""

import math
from pathlib import Path

import torch
import yaml

from export import config, preflight

CONFIG = {
    "family": "cosyvoice2",
    "sample_rate": 24000,
    "spk_embed_dim": 12,
    "mel_bins": 8,
    "token_rate_hz": 25,
    "token_mel_ratio": 2,
    "llm": {
        "hidden": 16, "intermediate": 24, "layers": 1, "heads": 4, "kv_heads": 2, "text_vocab": 32,
        "rope_theta": 1000000.0, "rms_norm_eps": 1e-6, "speech_vocab": 9, "head_rows": 12, "head_bias": True,
        "eos": 9, "fill": 11, "stop_ids": [9, 11],
    },
    "flow": {
        "vocab": 9, "dim": 16, "pre_lookahead": {"len": 3},
        "encoder": {"heads": 2, "ff": 24, "blocks": 1, "up_blocks": 1, "static_chunk_tokens": 25},
        "estimator": {
            "in_channels": 32, "out_channels": 8, "channels": [16], "heads": 2, "head_dim": 8, "n_blocks": 1,
            "mid_blocks": 1,
        },
    },
    "cfm": {"steps": 10, "cfg_rate": 0.7},
    "hift": {
        "base_channels": 16, "f0_channels": 8, "upsample_rates": [8, 5, 3], "upsample_kernels": [16, 11, 7],
        "source_resblock_kernels": [7, 7, 11], "resblock_kernels": [3, 7, 11], "dilations": [1, 3, 5], "n_fft": 16,
        "hop": 4, "nb_harmonics": 8, "sine_amp": 0.1, "noise_std": 0.003, "voiced_threshold": 10,
        "lrelu_slope": 0.1, "audio_limit": 0.99,
    },
    "sampling": {
        "top_p": 0.8, "top_k": 25, "win_size": 10, "tau_r": 0.1, "min_token_text_ratio": 2, "max_token_text_ratio": 20,
    },
}
# The part of the `cosyvoice3` family that is exported.
COSYVOICE3 = CONFIG | {
    "family": "cosyvoice3",
    "flow": {
        "vocab": 9, "dim": 8, "pre_lookahead": {"len": 3},
        "estimator": {
            "dim": 16, "depth": 2, "heads": 2, "head_dim": 8, "ff_mult": 2, "static_chunk_frames": 50,
            "conv_pos_kernel": 31, "conv_pos_groups": 4, "time_freq_dim": 12,
        },
    },
}


def write(folder: Path, document: dict = CONFIG) -> None:
    """Configuration and the state dicts that its graphs come from, with random weights."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(document))
    random = torch.Generator().manual_seed(5)
    for stem, shapes in preflight.expected_shapes(config.load(folder, {})).items():
        if not shapes:
            continue
        torch.save({name: _weight(name, shape, random) for name, shape in shapes.items()}, folder / f"{stem}.pt")


def edit(folder: Path, stem: str, change) -> None:
    """Applies `change` to the state dict of one file."""
    path = folder / f"{stem}.pt"
    state = torch.load(path, weights_only=True)
    change(state)
    torch.save(state, path)


def _weight(name: str, shape: tuple[int, ...], random: torch.Generator) -> torch.Tensor:
    if len(shape) == 1 and name.endswith((".weight", ".alpha")):
        return torch.ones(shape)
    # Keeps activations of order one: the vocoder's sines turn large ones into noise.
    return torch.randn(shape, generator=random) / math.sqrt(math.prod(shape[1:]) or 1)
