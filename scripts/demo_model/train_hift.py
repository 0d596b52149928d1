"""Trains the vocoder on recorded mel and pitch with spectral losses: `train_hift.py CORPUS STATES --minutes N`."""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import corpus
import features
import model_config
from networks import trainable
from source import Source
from training import Run

from export.hift import HiftDecoder  # isort: skip

FRAMES, BATCH = 24, 8
RESOLUTIONS = (2048, 1024, 512, 240, 100)


class Vocoder(nn.Module):
    """Names are those of `hift.pt`, but for `decoder.`."""

    def __init__(self, config):
        super().__init__()
        self.decoder = trainable(HiftDecoder(config.hift))
        with torch.no_grad():
            self.decoder.conv_post.weight.mul_(0.1)
            self.decoder.conv_post.bias[: config.hift.n_fft // 2 + 1] = -3.0
        self.m_source = Source()

    def forward(self, mel: Tensor, f0: Tensor, start: Tensor) -> Tensor:
        return self.decoder(mel, self.m_source(f0, start))


class SpectralLoss(nn.Module):
    """Log-magnitude and linear distances at several resolutions, and the distance of the model's own log-mel."""

    def __init__(self):
        super().__init__()
        for size in RESOLUTIONS:
            self.register_buffer(f"window{size}", torch.hann_window(size))
        bank = features.mel_bank(features.MODEL_RATE, 2048, features.MEL_BINS, 0, 12000)
        self.register_buffer("bank", torch.from_numpy(bank).float())

    def forward(self, made: Tensor, real: Tensor) -> dict[str, Tensor]:
        logs, linear, mel = 0.0, 0.0, 0.0
        for size in RESOLUTIONS:
            got, want = (self._magnitude(signal, size) for signal in (made, real))
            logs = logs + (got.log() - want.log()).abs().mean()
            linear = linear + torch.linalg.vector_norm(got - want) / torch.linalg.vector_norm(want)
            if size == 2048:
                got, want = (torch.log(self.bank @ signal + 1e-4) for signal in (got, want))
                mel = (got - want).abs().mean()
        return {"log": logs / len(RESOLUTIONS), "linear": linear / len(RESOLUTIONS), "mel": 2 * mel}

    def _magnitude(self, signal: Tensor, size: int) -> Tensor:
        window = getattr(self, f"window{size}")
        spectrum = torch.stft(signal, size, max(size // 4, 1), window=window, return_complex=True)
        # The floor lies at the corpus's own noise, which no model can predict.
        floor = 1e-7 * size
        return torch.sqrt(spectrum.real**2 + spectrum.imag**2 + floor)


def batches(data: corpus.Corpus, random: np.random.Generator):
    """Segments anywhere in the training utterances: mel `[B, 80, F]`, F0 `[B, F]`, samples `[B, 480 F]`."""
    last = 2 * data.bounds[int(np.flatnonzero(data.held_out)[0])] - FRAMES
    while True:
        starts = random.integers(0, last, BATCH)
        yield (
            torch.from_numpy(np.stack([data.mel[:, start : start + FRAMES] for start in starts])),
            torch.from_numpy(np.stack([data.f0[start : start + FRAMES] for start in starts])),
            torch.from_numpy(np.stack([
                data.audio[features.HOP * start : features.HOP * (start + FRAMES)] for start in starts
            ])),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("states", type=Path)
    parser.add_argument("--minutes", type=float, default=60)
    options = parser.parse_args()
    torch.manual_seed(1)
    vocoder, loss = Vocoder(model_config.load()), SpectralLoss()
    run = Run(options.states, "hift", vocoder, rate=1.5e-3, minutes=options.minutes)
    stream = batches(corpus.load(options.corpus), np.random.default_rng(run.step))
    while not run.finished:
        mel, f0, audio = next(stream)
        made = vocoder(mel, f0, torch.rand(BATCH))
        # The ends of a segment see less context than in use.
        edge = 2 * features.HOP
        run.update(loss(made[:, edge:-edge], audio[:, edge:-edge]))
    run.save()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
