"""Renders sentences for the language model, as speech tokens alone: `sentences.py STATES`."""

import argparse
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import corpus
import features
import tokenizer
import words

SENTENCES, HELD_OUT, SEED = 7000, 120, 8
FILE = "sentences.npz"


@dataclass(frozen=True)
class Spoken:
    """A text without its full stop, the sounds that say it, and the place of every word's first sound."""

    text: str
    sounds: np.ndarray
    starts: np.ndarray


def load(states: Path) -> tuple[list[Spoken], list[Spoken]]:
    """Sentences to train on, every word alone among them, and held-out ones."""
    stored = np.load(states / FILE)
    sounds = np.split(stored["sounds"].astype(np.int64), stored["bounds"][1:-1])
    starts = np.split(stored["starts"], stored["words"][1:-1])
    every = [Spoken(*each) for each in zip(stored["texts"].tolist(), sounds, starts)]
    return every[:-HELD_OUT], every[-HELD_OUT:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("states", type=Path, help=f"folder with tokenizer.npz; {FILE} is written there")
    states = parser.parse_args().states
    weights = dict(np.load(states / "tokenizer.npz"))

    def spoken(text: str) -> Spoken:
        recording = corpus.render(text)
        sounds = tokenizer.sounds(weights, features.whisper_mel(recording.at_16k))
        return Spoken(text, sounds.astype(np.int16), np.array(recording.starts))

    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(spoken, _texts()))
    np.savez(
        states / FILE,
        texts=np.array([each.text for each in made]),
        bounds=np.cumsum([0, *(len(each.sounds) for each in made)]),
        sounds=np.concatenate([each.sounds for each in made]),
        words=np.cumsum([0, *(len(each.starts) for each in made)]),
        starts=np.concatenate([each.starts for each in made]),
    )
    print(f"{len(made)} sentences, {sum(len(each.sounds) for each in made)} speech tokens")


def _texts() -> list[str]:
    """Without those the corpus holds out, which the figures are measured on; the last ones are this file's own."""
    pick = random.Random(SEED)
    _, measured = corpus.texts(corpus.SEED)
    made = dict.fromkeys([*words.VOCABULARY, *(words.sentence(pick) for _ in range(SENTENCES))])
    return [text for text in made if text not in set(measured)]


if __name__ == "__main__":
    main()
