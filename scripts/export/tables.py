"""The constant tensors the host works with: what it gathers embeddings from, and the merge of the sine source."""

import torch

from .checkpoint import Checkpoint
from .config import ModelConfig

# Table of the bundle → file and name of the checkpoint.
SOURCES = {
    "text_embedding": ("llm", "llm.model.model.embed_tokens.weight"),
    "speech_embedding": ("llm", "speech_embedding.weight"),
    "marks": ("llm", "llm_embedding.weight"),
    "source_weight": ("hift", "m_source.l_linear.weight"),
    "source_bias": ("hift", "m_source.l_linear.bias"),
}


def expected_shapes(config: ModelConfig) -> dict[str, dict[str, tuple[int, ...]]]:
    """Parameters that go into the tables, by checkpoint file."""
    if config.family == "cosyvoice3":
        return {}  # its tables serve graphs that are not exported yet
    llm = config.llm
    return {
        "llm": {
            "llm.model.model.embed_tokens.weight": (llm.text_vocab, llm.hidden),
            "speech_embedding.weight": (llm.head_rows, llm.hidden),
            "llm_embedding.weight": (2, llm.hidden),
        },
        "hift": {
            "m_source.l_linear.weight": (1, config.hift.harmonics),
            "m_source.l_linear.bias": (1,),
        },
    }


def tables(checkpoints: dict[str, Checkpoint]) -> dict[str, torch.Tensor]:
    """f16 where the checkpoint is, else f32; `source_weight` is flat."""
    read = {}
    for table, (file, name) in SOURCES.items():
        if file not in checkpoints:
            continue
        tensor = checkpoints[file].stored(name)
        tensor = tensor if tensor.dtype == torch.float16 else tensor.float()
        read[table] = tensor.flatten() if table == "source_weight" else tensor
    return {table: tensor.contiguous() for table, tensor in read.items()}
