"""The graphs of a bundle: names, types and axes of their inputs and outputs, and sensible feeds for them.

The signatures are those of `onnx/README.md`. A dynamic dimension is an axis, or an axis with a factor and an offset,
written `480*frames+16`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import nn

from .checkpoint import Checkpoint
from .config import DitConfig, ModelConfig
from .dit import DitEstimator
from .flow_encoder import FlowEncoder
from .hift import F0Predictor, HiftDecoder
from .qwen2 import LlmStep
from .unet import FlowEstimator

F32, I32 = "f32", "i32"
Sizes = Mapping[str, int]
Feeds = dict[str, np.ndarray]

# Selection names beyond the graph ids themselves.
GROUPS = {"hift": ("hift_f0", "hift_decode")}
DIM = re.compile(r"(?:(?P<factor>\d+)\*)?(?P<axis>[a-z]+)(?:\+(?P<offset>\d+))?")


@dataclass(frozen=True)
class Port:
    """An input or output: name, element type, and dimensions that are sizes or axis expressions."""

    name: str
    dtype: str
    dims: tuple[int | str, ...]

    def shape(self, sizes: Sizes) -> tuple[int, ...]:
        return tuple(dim if isinstance(dim, int) else evaluated(dim, sizes) for dim in self.dims)


@dataclass(frozen=True)
class Graph:
    """One graph: its module (parameters declared, not loaded), where they come from, its signature and its trials.

    `trials` are the sizes at which the exported graph is compared with the module; the first is also traced.
    """

    id: str
    checkpoint: str  # llm | flow | hift
    module: nn.Module
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    trials: tuple[Sizes, ...]
    special_feeds: Callable[[Sizes, np.random.Generator], Feeds] = field(default=lambda sizes, random: {})

    def source_names(self) -> dict[str, str]:
        """Parameter of the module → name in the checkpoint."""
        return {name: _in_checkpoint(name, self.module.SOURCE) for name, _ in self.module.named_parameters()}

    def load(self, checkpoint: Checkpoint) -> None:
        """Gives the module its parameters."""
        parameters = {name: checkpoint.tensor(source) for name, source in self.source_names().items()}
        self.module.load_state_dict(dict(self.module.named_buffers()) | parameters, assign=True)

    def feeds(self, sizes: Sizes, random: np.random.Generator) -> Feeds:
        """One feed per input at the given sizes; floats are standard normal unless the input means something else."""
        special = self.special_feeds(sizes, random)
        return {
            port.name: special.get(port.name, random.standard_normal(port.shape(sizes)).astype(np.float32))
            for port in self.inputs
        }


def evaluated(dim: str, sizes: Sizes) -> int:
    """The value of an axis expression."""
    match = DIM.fullmatch(dim)
    if match is None:
        raise ValueError(f"`{dim}` is not an axis expression")
    return int(match["factor"] or 1) * sizes[match["axis"]] + int(match["offset"] or 0)


def graphs(config: ModelConfig, max_positions: int, max_tokens: int) -> list[Graph]:
    """The graphs of a family that are exported from weights."""
    if config.family == "cosyvoice3":
        return [_flow_estimator(config)]
    return [
        _llm(config, max_positions),
        _flow_encoder(config, max_tokens),
        _flow_estimator(config),
        _hift_f0(config),
        _hift_decode(config),
    ]


def selected(all_graphs: Sequence[Graph], names: Sequence[str]) -> list[Graph]:
    """The graphs named, `hift` meaning both of its graphs."""
    wanted = {graph for name in names for graph in GROUPS.get(name, (name,))}
    return [graph for graph in all_graphs if graph.id in wanted]


def _in_checkpoint(name: str, source: Mapping[str, str]) -> str:
    for own, theirs in source.items():
        if name.startswith(own):
            return theirs + name.removeprefix(own)
    return name


def _llm(config: ModelConfig, max_positions: int) -> Graph:
    llm = config.llm
    past = ("batch", llm.kv_heads, "past", llm.head_dim)
    new = ("batch", llm.kv_heads, "new", llm.head_dim)
    caches = [f"{kind}_{layer}" for layer in range(llm.layers) for kind in ("k", "v")]

    def feeds(sizes: Sizes, random: np.random.Generator) -> Feeds:
        batch, rows, capacity = sizes["batch"], sizes["new"], sizes["past"]
        cached = random.integers(0, capacity + 1, batch)
        fresh = random.integers(1, rows + 1, batch)
        positions = cached[:, None] + np.arange(rows)[None, :]
        return {
            "position_ids": positions.astype(np.int32),
            "past_valid": (np.arange(capacity)[None, :] < cached[:, None]).astype(np.float32),
            "new_valid": (np.arange(rows)[None, :] < fresh[:, None]).astype(np.float32),
            "last_index": (fresh - 1).astype(np.int32),
        }

    return Graph(
        id="llm",
        checkpoint="llm",
        module=LlmStep(llm, max_positions),
        inputs=(
            Port("inputs_embeds", F32, ("batch", "new", llm.hidden)),
            Port("position_ids", I32, ("batch", "new")),
            Port("past_valid", F32, ("batch", "past")),
            Port("new_valid", F32, ("batch", "new")),
            Port("last_index", I32, ("batch",)),
            *(Port(f"past_{cache}", F32, past) for cache in caches),
        ),
        outputs=(
            Port("logits", F32, ("batch", llm.head_rows)),
            *(Port(f"new_{cache}", F32, new) for cache in caches),
        ),
        trials=(
            {"batch": 2, "new": 7, "past": 12},
            {"batch": 1, "new": 19, "past": 1},
            {"batch": 3, "new": 1, "past": 40},
        ),
        special_feeds=feeds,
    )


def _flow_encoder(config: ModelConfig, max_tokens: int) -> Graph:
    flow = config.flow

    def feeds(sizes: Sizes, random: np.random.Generator) -> Feeds:
        tokens = sizes["tokens"]
        final = tokens % 2 == 0
        return {
            "token": random.integers(0, flow.vocab, (1, tokens)).astype(np.int32),
            "context": random.integers(0, flow.vocab, (1, flow.look_ahead)).astype(np.int32),
            "context_valid": np.full((1, flow.look_ahead, 1), 0 if final else 1, np.float32),
            "qend": _query_ends(1, tokens, None if final else flow.chunk_tokens),
            "kpos": _key_positions(1, tokens, padding=0),
        }

    return Graph(
        id="flow_encoder",
        checkpoint="flow",
        module=FlowEncoder(flow, max_tokens),
        inputs=(
            Port("token", I32, (1, "tokens")),
            Port("context", I32, (1, flow.look_ahead)),
            Port("context_valid", F32, (1, flow.look_ahead, 1)),
            Port("qend", I32, (1, "tokens")),
            Port("kpos", I32, (1, "tokens")),
            Port("embedding", F32, (1, flow.speaker_dim)),
        ),
        outputs=(
            Port("mu", F32, (1, flow.mel_bins, f"{flow.frames_per_token}*tokens")),
            Port("spks", F32, (1, flow.mel_bins)),
        ),
        trials=({"tokens": 11}, {"tokens": 64}, {"tokens": 53}),
        special_feeds=feeds,
    )


def _flow_estimator(config: ModelConfig) -> Graph:
    flow, bins = config.flow, config.flow.estimator.out_channels

    def feeds(sizes: Sizes, random: np.random.Generator) -> Feeds:
        batch, frames = sizes["batch"], sizes["frames"]
        # The last row of a larger batch is padded; odd lengths take chunk masks.
        padding = 4 if batch > 2 else 0
        mask = np.ones((batch, 1, frames), np.float32)
        mask[-1, 0, frames - padding :] = 0
        chunk = flow.chunk_tokens * flow.frames_per_token if frames % 2 else None
        return {
            "mask": mask,
            "t": random.random(batch, np.float32),
            "qend": _query_ends(batch, frames, chunk),
            "kpos": _key_positions(batch, frames, padding),
        }

    estimator = DitEstimator if isinstance(flow.estimator, DitConfig) else FlowEstimator
    mel, frame = ("batch", bins, "frames"), ("batch", "frames")
    return Graph(
        id="flow_estimator",
        checkpoint="flow",
        module=estimator(flow.estimator),
        inputs=(
            Port("x", F32, mel),
            Port("mask", F32, ("batch", 1, "frames")),
            Port("mu", F32, mel),
            Port("t", F32, ("batch",)),
            Port("spks", F32, ("batch", bins)),
            Port("cond", F32, mel),
            Port("qend", I32, frame),
            Port("kpos", I32, frame),
        ),
        outputs=(Port("estimator_out", F32, mel),),
        trials=({"batch": 2, "frames": 18}, {"batch": 3, "frames": 121}, {"batch": 4, "frames": 60}),
        special_feeds=feeds,
    )


def _hift_f0(config: ModelConfig) -> Graph:
    return Graph(
        id="hift_f0",
        checkpoint="hift",
        module=F0Predictor(config.hift),
        inputs=(Port("mel", F32, (1, config.hift.mel_bins, "frames")),),
        outputs=(Port("f0", F32, (1, "frames")),),
        trials=({"frames": 9}, {"frames": 50}),
    )


def _hift_decode(config: ModelConfig) -> Graph:
    samples = config.hift.samples_per_frame

    def feeds(sizes: Sizes, random: np.random.Generator) -> Feeds:
        length = samples * sizes["frames"] + config.hift.n_fft
        return {"source_pad": (0.1 * random.standard_normal((1, 1, length))).astype(np.float32)}

    return Graph(
        id="hift_decode",
        checkpoint="hift",
        module=HiftDecoder(config.hift),
        inputs=(
            Port("mel", F32, (1, config.hift.mel_bins, "frames")),
            Port("source_pad", F32, (1, 1, f"{samples}*frames+{config.hift.n_fft}")),
        ),
        outputs=(Port("wav_raw", F32, (1, f"{samples}*frames")),),
        trials=({"frames": 9}, {"frames": 30}),
        special_feeds=feeds,
    )


PADDED_KEY = 1_000_000


def _query_ends(batch: int, length: int, chunk: int | None) -> np.ndarray:
    ends = np.full(length, length) if chunk is None else (np.arange(length) // chunk + 1) * chunk
    return np.broadcast_to(ends, (batch, length)).astype(np.int32)


def _key_positions(batch: int, length: int, padding: int) -> np.ndarray:
    """Positions of the keys; the last `padding` keys of the last row are invisible."""
    positions = np.tile(np.arange(length, dtype=np.int32), (batch, 1))
    positions[-1, length - padding :] = PADDED_KEY
    return positions
