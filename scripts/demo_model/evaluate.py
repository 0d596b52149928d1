"""Measures a bundle against espeak-ng's own renderings: `evaluate.py STATES BUNDLE`."""

import argparse
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import compare
import corpus
import features
import tokenizer
import words
from features import TOKEN_SAMPLES
from inference import Bundle, Voice
from model_config import TURNS

SENTENCES = 20
CARRIERS = {"{}": 0, "good {} book": 1}  # texts in which a word is a template, and its place there
LEAD = TOKEN_SAMPLES  # samples before a word's first token that belong to it still


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("states", type=Path, help="folder with tokenizer.npz")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    bundle = Bundle(options.bundle)
    weights = dict(np.load(options.states / "tokenizer.npz"))
    alone, prompted = bundle.voice("espeak"), bundle.voice("espeak-prompt")
    figures = {}
    for part in (word_test, sentences):
        for name, value in part(bundle, weights, alone, prompted):
            figures[name] = value
            print(f"{name}: {value}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


Figures = Iterator[tuple[str, float | str]]


def word_test(bundle: Bundle, weights: dict, alone: Voice, prompted: Voice) -> Figures:
    """Share of single words whose audio is nearest to espeak's rendering of the same word."""
    recordings = {word: corpus.render(word, seed=1) for word in words.TEST_WORDS}
    templates = {word: compare.recognition_features(recording.at_24k) for word, recording in recordings.items()}
    ways = {
        "vocoder alone": lambda word: bundle.vocode(features.model_mel(recordings[word].at_24k)),
        "tokens to audio": lambda word: bundle.render(real_tokens(recordings[word], weights), alone),
        "text to audio, sft": lambda word: bundle.speak(f"{word}.", alone),
        "text to audio, zero_shot": lambda word: bundle.speak(f"{word}.", prompted),
    }
    yield "words", len(templates)
    for name, way in ways.items():
        heard = {word: compare.nearest(way(word), templates) for word in templates}
        wrong = {word: other for word, other in heard.items() if word != other}
        yield f"word accuracy, {name}", round(1 - len(wrong) / len(templates), 3)
        yield f"confusions, {name}", ", ".join(f"{word} as {other}" for word, other in wrong.items()) or "none"


def sentences(bundle: Bundle, weights: dict, alone: Voice, prompted: Voice) -> Figures:
    """Words and mel-cepstral distance on sentences that were never trained on, and the speed of this script."""
    texts = corpus.texts(corpus.SEED)[1][:SENTENCES]
    references = [corpus.render(text, seed=2) for text in texts]
    templates = {
        (word, carrier): compare.recognition_features(said[place])
        for word in words.VOCABULARY for carrier, place in CARRIERS.items()
        for said in [_words(corpus.render(carrier.format(word), seed=3))]
    }
    distances, errors = defaultdict(list), Counter()
    took = spoken = 0.0
    for place, (text, reference) in enumerate(zip(texts, references)):
        real, written = real_tokens(reference, weights), f"{text.capitalize()}."
        started = time.perf_counter()
        made = bundle.speech_tokens(written, alone, np.random.default_rng(0))
        from_text = bundle.render(made, alone)
        took += time.perf_counter() - started
        spoken += len(from_text) / features.MODEL_RATE
        prompted_tokens = bundle.speech_tokens(written, prompted, np.random.default_rng(0))
        audio = {
            "recording": (real, reference.at_24k),
            "vocoder alone": (real, bundle.vocode(features.model_mel(reference.at_24k))),
            "tokens to audio": (real, bundle.render(real, alone)),
            "text to audio, sft": (made, from_text),
            "text to audio, zero_shot": (prompted_tokens, bundle.render(prompted_tokens, prompted)),
        }
        for name, (tokens, samples) in audio.items():
            starts = np.flatnonzero(np.array(tokens) % TURNS == 0).tolist()
            heard = [compare.nearest(word, templates)[0] for word in _pieces(samples, starts)]
            errors[name] += compare.edits(text.replace(",", "").split(), heard)
            if name != "recording":
                distances[name].append(compare.mel_cepstral_distance(samples, reference.at_24k))
        other = references[place - 1].at_24k
        distances["another sentence"].append(compare.mel_cepstral_distance(other, reference.at_24k))
    count = sum(len(text.split()) for text in texts)
    yield "held-out sentences", len(texts)
    yield "their words", count
    for name, wrong in errors.items():
        yield f"word error rate in sentences, {name}", round(wrong / count, 3)
    for name, each in distances.items():
        yield f"mel-cepstral distance in dB, {name}", round(float(np.mean(each)), 2)
    yield "seconds per second of audio", round(took / spoken, 2)


def _words(recording: corpus.Recording) -> list[np.ndarray]:
    return _pieces(recording.at_24k, recording.starts)


def _pieces(samples: np.ndarray, starts: list[int]) -> list[np.ndarray]:
    """Samples from every start, in speech tokens, to the next."""
    edges = [*(TOKEN_SAMPLES * start for start in starts), len(samples)]
    return [samples[max(0, first - LEAD) : last] for first, last in zip(edges, edges[1:])]


def real_tokens(recording: corpus.Recording, weights: dict) -> list[int]:
    return tokenizer.tokens(weights, recording.at_16k).tolist()


if __name__ == "__main__":
    main()
