"""Renders the corpus with espeak-ng and stores audio and features: `corpus.py OUT`."""

import argparse
import random
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.io import wavfile
from scipy.signal import resample_poly

import features
import words

VOICE = ("-v", "en-us", "-s", "145", "-p", "75", "-m")
# Half the usual movement of the pitch: less for the speech tokens to carry.
PROSODY = "<prosody range='50%'>{}.</prosody>"
SENTENCES, HELD_OUT, SEED = 2600, 60, 7
GAIN = 1.0
# A faint noise floor: without it silence sits far below speech in the log domain and dominates every error.
FLOOR = 1e-4
ONSET_LEVEL = 0.004
LEAD_SAMPLES, TAIL_SAMPLES = 1920, 2880  # silence around the speech, at the model's rate


@dataclass(frozen=True)
class Recording:
    """Speech at the model's rate and at the encoders' rate, both a whole number of speech tokens long."""

    at_24k: np.ndarray
    at_16k: np.ndarray


@dataclass(frozen=True)
class Corpus:
    """Utterances side by side; `bounds[i]`, `bounds[i + 1]` delimit utterance `i` in speech tokens."""

    texts: list[str]
    held_out: np.ndarray  # bool per utterance
    bounds: np.ndarray
    audio: np.ndarray  # f32 [960 * tokens]
    mel: np.ndarray  # f32 [80, 2 * tokens]
    f0: np.ndarray  # f32 [2 * tokens]
    whisper: np.ndarray  # f32 [128, 4 * tokens]


def render(text: str, seed: int = 0) -> Recording:
    """What espeak-ng makes of `text`, with a fixed silence before and after."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        subprocess.run(["espeak-ng", *VOICE, "-w", file.name, PROSODY.format(text)], check=True)
        rate, raw = wavfile.read(file.name)
    raw = GAIN * raw.astype(np.float64) / 32768
    at_24k = resample_poly(raw, features.MODEL_RATE // 150, rate // 150)
    loud = np.flatnonzero(np.abs(at_24k) > ONSET_LEVEL)
    speech = at_24k[loud[0] : loud[-1] + 1]
    length = LEAD_SAMPLES + len(speech) + TAIL_SAMPLES
    length += -length % features.TOKEN_SAMPLES
    padded = np.zeros(length)
    padded[LEAD_SAMPLES : LEAD_SAMPLES + len(speech)] = speech
    padded = np.clip(padded, -0.98, 0.98) + FLOOR * np.random.default_rng(seed).standard_normal(length)
    return Recording(padded.astype(np.float32), resample_poly(padded, 2, 3).astype(np.float32))


def load(folder: Path) -> Corpus:
    stored = np.load(folder / "corpus.npz")
    texts = (folder / "texts.txt").read_text(encoding="utf-8").splitlines()
    return Corpus(texts, **{name: stored[name] for name in stored.files})


def texts(seed: int) -> tuple[list[str], list[str]]:
    """Training and held-out texts. Every word also stands alone in the training set."""
    pick = random.Random(seed)
    made = list(dict.fromkeys(words.sentence(pick) for _ in range(SENTENCES + HELD_OUT + 400)))
    long = [text for text in made if len(text.split()) >= 4]
    held_out = long[:HELD_OUT]
    hidden = set(held_out)
    return [*words.VOCABULARY, *(text for text in made if text not in hidden)][: SENTENCES], held_out


def build(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    training, held_out = texts(SEED)
    every = [*training, *held_out]
    with ThreadPoolExecutor(2) as pool:
        recordings = list(pool.map(render, every, range(len(every))))
    tokens = [len(recording.at_24k) // features.TOKEN_SAMPLES for recording in recordings]
    np.savez(
        folder / "corpus.npz",
        held_out=np.arange(len(every)) >= len(training),
        bounds=np.concatenate([[0], np.cumsum(tokens)]),
        audio=np.concatenate([recording.at_24k for recording in recordings]),
        mel=np.concatenate([features.model_mel(recording.at_24k) for recording in recordings], axis=1),
        f0=np.concatenate([features.pitch(recording.at_24k) for recording in recordings]),
        whisper=np.concatenate([features.whisper_mel(recording.at_16k) for recording in recordings], axis=1),
    )
    (folder / "texts.txt").write_text("\n".join(every) + "\n", encoding="utf-8")
    print(f"{len(training)} + {len(held_out)} utterances, {sum(tokens) / 25 / 60:.1f} minutes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    build(parser.parse_args().out)
