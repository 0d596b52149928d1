"""Distances between recordings: mel-cepstra under dynamic time warping, and the nearest of a set of words."""

import numpy as np
from scipy.fft import dct
from scipy.spatial.distance import cdist

import features

COEFFICIENTS = 13  # after the first, which is loudness
LOUDNESS_WEIGHT = 0.3
DEPTH = 7.0  # log-mel below the peak of an utterance that still counts
SLOPE_FRAMES = 2
DECIBELS = 10 / np.log(10) * np.sqrt(2)


def cepstra(samples: np.ndarray) -> np.ndarray:
    """Mel-cepstra of 24 kHz samples with coefficient 0 first, `[frames, 14]`."""
    mel = features.model_mel(samples)
    return dct(np.maximum(mel, mel.max() - DEPTH), axis=0, norm="ortho")[: COEFFICIENTS + 1].T


def recognition_features(samples: np.ndarray) -> np.ndarray:
    """Cepstra, loudness weighted down, and their slopes, `[frames, 28]`."""
    values = cepstra(samples)
    values[:, 0] *= LOUDNESS_WEIGHT
    padded = np.pad(values, ((SLOPE_FRAMES, SLOPE_FRAMES), (0, 0)), mode="edge")
    return np.concatenate([values, padded[2 * SLOPE_FRAMES :] - padded[: -2 * SLOPE_FRAMES]], axis=1)


def warped_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Mean distance along the cheapest alignment, in which a diagonal step counts twice."""
    costs = cdist(first, second)
    total = np.full((costs.shape[0] + 1, costs.shape[1] + 1), np.inf)
    total[0, 0] = 0
    for row, prices in enumerate(costs.tolist(), start=1):
        above, here = total[row - 1].tolist(), [np.inf]
        for column, price in enumerate(prices, start=1):
            here.append(min(above[column - 1] + 2 * price, above[column] + price, here[-1] + price))
        total[row] = here
    return float(total[-1, -1] / sum(costs.shape))


def mel_cepstral_distance(first: np.ndarray, second: np.ndarray) -> float:
    """In dB over coefficients 1 to 13, scaled to the usual definition: the log spectrum is their cosine series."""
    distance = warped_distance(cepstra(first)[:, 1:], cepstra(second)[:, 1:])
    return DECIBELS * distance * np.sqrt(2 / features.MEL_BINS)


def nearest(samples: np.ndarray, templates: dict[str, np.ndarray]) -> str:
    """The word whose features are nearest."""
    heard = recognition_features(samples)
    return min(templates, key=lambda word: warped_distance(heard, templates[word]))


def edits(expected: list[str], heard: list[str]) -> int:
    """Words to insert, delete or replace."""
    row = list(range(len(heard) + 1))
    for place, word in enumerate(expected, start=1):
        before, row = row, [place]
        for column, other in enumerate(heard, start=1):
            row.append(min(before[column] + 1, row[-1] + 1, before[column - 1] + (word != other)))
    return row[-1]
