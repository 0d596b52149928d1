"""Trains the vocoder's pitch predictor on recorded mel: `train_f0.py CORPUS STATES --minutes N`."""

import argparse
from pathlib import Path

import numpy as np
import torch

import corpus
import model_config
from networks import trainable
from training import Run

from export.hift import F0Predictor  # isort: skip

FRAMES, BATCH = 64, 24
SCALE_HZ = 100.0  # the network's output for this pitch is 1; folded into its last layer when assembled
NOISE = 0.1  # added to the mel: the flow's mel is not as clean as a recorded one


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("states", type=Path)
    parser.add_argument("--minutes", type=float, default=5)
    options = parser.parse_args()
    torch.manual_seed(4)
    predictor = trainable(F0Predictor(model_config.load().hift))
    data = corpus.load(options.corpus)
    last = 2 * data.bounds[int(np.flatnonzero(data.held_out)[0])] - FRAMES
    run = Run(options.states, "f0", predictor, rate=2e-3, minutes=options.minutes)
    random = np.random.default_rng(run.step)
    while not run.finished:
        starts = random.integers(0, last, BATCH)
        mel = torch.from_numpy(np.stack([data.mel[:, start : start + FRAMES] for start in starts]))
        want = torch.from_numpy(np.stack([data.f0[start : start + FRAMES] for start in starts])) / SCALE_HZ
        got = predictor(mel + NOISE * torch.rand(()) * torch.randn_like(mel))
        run.update({"f0": 10 * (got - want).abs()[:, 5:-5].mean()}, report_every=100)
    run.save()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
