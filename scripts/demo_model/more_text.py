"""Renders further sentences for the language model and keeps their speech tokens alone: `more_text.py CORPUS STATES`."""

import argparse
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import corpus
import features
import tokenizer
import words

SENTENCES, SEED = 4500, 8
FILE = "more_text.npz"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("states", type=Path, help="folder with tokenizer.npz; more_text.npz is written there")
    options = parser.parse_args()
    known = set((options.corpus / "texts.txt").read_text(encoding="utf-8").splitlines())
    weights = dict(np.load(options.states / "tokenizer.npz"))
    pick = random.Random(SEED)
    texts = [text for text in dict.fromkeys(words.sentence(pick) for _ in range(SENTENCES)) if text not in known]

    def sounds(text: str) -> np.ndarray:
        return tokenizer.sounds(weights, features.whisper_mel(corpus.render(text).at_16k)).astype(np.int16)

    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(sounds, texts))
    bounds = np.concatenate([[0], np.cumsum([len(each) for each in made])])
    np.savez(options.states / FILE, texts=np.array(texts), bounds=bounds, sounds=np.concatenate(made))
    print(f"{len(texts)} further sentences, {bounds[-1]} speech tokens")


if __name__ == "__main__":
    main()
