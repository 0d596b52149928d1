"""Measures a bundle against espeak-ng's own renderings: `evaluate.py CORPUS BUNDLE`."""

import argparse
import json
import time
from pathlib import Path

import numpy as np

import compare
import corpus
import features
import tokenizer
import words
from inference import Bundle, Voice

SENTENCES = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("states", type=Path, help="folder with tokenizer.npz")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    bundle = Bundle(options.bundle)
    weights = dict(np.load(options.states / "tokenizer.npz"))
    alone, prompted = bundle.voice("espeak"), bundle.voice("espeak-prompt")
    figures = word_test(bundle, weights, alone, prompted) | sentences(bundle, weights, alone, prompted, options.corpus)
    for name, value in figures.items():
        print(f"{name}: {value}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def word_test(bundle: Bundle, weights: dict, alone: Voice, prompted: Voice) -> dict:
    """Share of single words whose audio is nearest to espeak's rendering of the same word."""
    recordings = {word: corpus.render(word, seed=1) for word in words.TEST_WORDS}
    templates = {word: compare.recognition_features(recording.at_24k) for word, recording in recordings.items()}
    ways = {
        "vocoder alone": lambda word: bundle.vocode(features.model_mel(recordings[word].at_24k)),
        "tokens to audio": lambda word: bundle.render(real_tokens(recordings[word], weights), alone),
        "text to audio, sft": lambda word: bundle.speak(f"{word}.", alone),
        "text to audio, zero_shot": lambda word: bundle.speak(f"{word}.", prompted),
    }
    figures = {"words": len(templates)}
    for name, way in ways.items():
        heard = {word: compare.nearest(way(word), templates) for word in templates}
        wrong = {word: other for word, other in heard.items() if word != other}
        figures[f"word accuracy, {name}"] = round(1 - len(wrong) / len(templates), 3)
        figures[f"confusions, {name}"] = ", ".join(f"{word} as {other}" for word, other in wrong.items()) or "none"
    return figures


def sentences(bundle: Bundle, weights: dict, alone: Voice, prompted: Voice, folder: Path) -> dict:
    """Mel-cepstral distance on sentences that were never trained on, and the speed of this script."""
    data = corpus.load(folder)
    chosen = np.flatnonzero(data.held_out)[:SENTENCES]
    distances = {name: [] for name in ("vocoder alone", "tokens to audio", "text to audio, sft", "text to audio, zero_shot")}
    distances["another sentence"] = []
    took = spoken = 0.0
    references = [corpus.render(data.texts[index], seed=2) for index in chosen]
    for place, (index, reference) in enumerate(zip(chosen, references)):
        written = f"{data.texts[index].capitalize()}."
        started = time.perf_counter()
        from_text = bundle.speak(written, alone)
        took, spoken = took + time.perf_counter() - started, spoken + len(from_text) / features.MODEL_RATE
        audio = {
            "vocoder alone": bundle.vocode(features.model_mel(reference.at_24k)),
            "tokens to audio": bundle.render(real_tokens(reference, weights), alone),
            "text to audio, sft": from_text,
            "text to audio, zero_shot": bundle.speak(written, prompted),
            "another sentence": references[place - 1].at_24k,
        }
        for name, samples in audio.items():
            distances[name].append(compare.mel_cepstral_distance(samples, reference.at_24k))
    figures = {f"mel-cepstral distance in dB, {name}": round(float(np.mean(each)), 2) for name, each in distances.items()}
    return figures | {"held-out sentences": len(chosen), "seconds per second of audio": round(took / spoken, 2)}


def real_tokens(recording: corpus.Recording, weights: dict) -> list[int]:
    return tokenizer.ids(tokenizer.sounds(weights, features.whisper_mel(recording.at_16k))).tolist()


if __name__ == "__main__":
    main()
