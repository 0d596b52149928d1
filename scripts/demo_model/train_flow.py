"""Trains encoder and estimator of the flow for the product's solver: `train_flow.py CORPUS STATES --minutes N`.

Conditional flow matching as upstream trains it (guidance dropout, a prefix of the mel as condition, chunk masks), plus
a distance of the encoder's output from the mel, which lets a small model learn quickly.
"""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import corpus
import model_config
from networks import trainable
from training import Run

from export.flow_encoder import FlowEncoder  # isort: skip
from export.unet import FlowEstimator  # isort: skip

# Tokens of a window, and windows of a batch.
SHAPES = ((40, 26), (64, 17), (112, 9))
DROPPED = 0.2  # share of windows without any condition, for guidance
PREFIXED, CHUNKED, FIXED_NOISE = 0.5, 0.25, 0.5
CHUNK_TOKENS, RATIO = 25, 2
MEL_SPREAD = 2.25  # standard deviation of the log-mel


@dataclass(frozen=True)
class Batch:
    token: Tensor  # sounds, i64 [B, N]
    mel: Tensor  # [B, 80, 2N]
    prefix: Tensor  # frames given as condition, [B]


class Flow(nn.Module):
    """Names are those of `flow.pt`."""

    def __init__(self, config, mean: Tensor):
        super().__init__()
        self.encoder = trainable(FlowEncoder(config.flow, model_config.MAX_TOKENS))
        self.estimator = trainable(FlowEstimator(config.flow.estimator))
        with torch.no_grad():
            # One embedding per sound: ids that differ in their turn alone mean the same.
            table = 0.5 * torch.randn(model_config.CLUSTERS, config.flow.dim)
            self.encoder.input_embedding.weight = nn.Parameter(table)
            self.encoder.encoder_proj.bias.copy_(mean)
            self.estimator.final_proj.bias.copy_(mean)
            self.estimator.final_proj.weight.mul_(0.5)

    def forward(self, batch: Batch, noise: Tensor, embedding: Tensor, chunked: bool) -> dict[str, Tensor]:
        count, tokens = batch.token.shape
        frames = RATIO * tokens
        none = torch.zeros(count, 3, dtype=torch.int64), torch.zeros(count, 3, 1)
        mu, spks = self.encoder(batch.token, *none, *masks(count, tokens, 1, chunked), embedding)
        prior = ((mu - batch.mel) / MEL_SPREAD).abs().mean()

        keep = (torch.rand(count, 1, 1) > DROPPED).float()
        given = (torch.arange(frames)[None, :] < batch.prefix[:, None]).float()[:, None]
        t = 1 - torch.cos(0.5 * math.pi * torch.rand(count))
        at = t[:, None, None]
        x = (1 - at) * noise + at * batch.mel
        field = self.estimator(
            x, torch.ones(count, 1, frames), mu * keep, t, spks * keep[:, :, 0], batch.mel * given * keep,
            *masks(count, frames, RATIO, chunked),
        )
        return {"prior": prior, "field": ((field - (batch.mel - noise)) ** 2).mean()}


def masks(count: int, length: int, ratio: int, chunked: bool) -> tuple[Tensor, Tensor]:
    """`qend`, `kpos`: full attention, or chunks as in streaming."""
    order, chunk = torch.arange(length), CHUNK_TOKENS * ratio
    ends = (order // chunk + 1) * chunk if chunked else torch.full((length,), length)
    return ends.expand(count, -1), order.expand(count, -1)


def fixed_noise(frames: int) -> Tensor:
    """The noise every synthesis starts from, `[80, frames]`."""
    return torch.randn(1, 80, 15000, generator=torch.Generator().manual_seed(0))[0, :, :frames]


def batches(data: corpus.Corpus, sounds: np.ndarray, random: np.random.Generator):
    """Windows that start where an utterance starts (so the second utterance of a window follows a prompt)."""
    first_held_out = int(np.flatnonzero(data.held_out)[0])
    while True:
        tokens, count = SHAPES[random.integers(len(SHAPES))]
        usable = np.flatnonzero(data.bounds[:first_held_out] + tokens <= data.bounds[first_held_out])
        starts = data.bounds[random.choice(usable, count)]
        shifted = random.random(count) < 0.3
        starts = np.where(shifted, random.integers(0, data.bounds[first_held_out] - tokens, count), starts)
        mel = np.stack([data.mel[:, RATIO * start : RATIO * (start + tokens)] for start in starts])
        token = np.stack([sounds[start : start + tokens] for start in starts])
        prefix = np.where(random.random(count) < PREFIXED, random.integers(1, tokens, count) * RATIO, 0)
        # Long prompts in half of them, as in use.
        prefix = np.where(random.random(count) < 0.5, prefix, prefix * 3 // 10)
        yield Batch(torch.from_numpy(token), torch.from_numpy(mel), torch.from_numpy(prefix))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("states", type=Path)
    parser.add_argument("--minutes", type=float, default=40)
    options = parser.parse_args()
    torch.manual_seed(2)
    data, sounds = corpus.load(options.corpus), np.load(options.states / "sounds.npy")
    speaker = np.load(options.states / "speaker.npz")
    mean, deviation = (torch.from_numpy(speaker[name]).float() for name in ("mean", "deviation"))
    flow = Flow(model_config.load(), torch.from_numpy(data.mel.mean(axis=1)))
    run = Run(options.states, "flow", flow, rate=2e-3, minutes=options.minutes)
    fixed = fixed_noise(RATIO * max(tokens for tokens, _ in SHAPES))
    stream = batches(data, sounds, np.random.default_rng(run.step))
    while not run.finished:
        batch = next(stream)
        count = len(batch.mel)
        noise = torch.where(
            torch.rand(count, 1, 1) < FIXED_NOISE, fixed[None, :, : batch.mel.shape[2]], torch.randn_like(batch.mel)
        )
        embedding = mean + deviation * torch.randn(count, model_config.SPEAKER_DIM)
        losses = flow(batch, noise, embedding, chunked=torch.rand(()).item() < CHUNKED)
        run.update(losses)
    run.save()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
