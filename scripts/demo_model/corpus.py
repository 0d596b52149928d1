"""Renders the corpus with espeak-ng and stores audio and features: `corpus.py OUT`."""

import argparse
import random
import re
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
from features import TOKEN_SAMPLES

VOICE = ("-v", "en-us", "-s", "145", "-p", "75", "-g", "20", "-m")
# Half the usual movement of the pitch: less for the speech tokens to carry.
PROSODY = "<prosody range='50%'>{}.</prosody>"
SENTENCES, HELD_OUT, SEED = 2600, 60, 7
# A faint noise floor: without it silence sits far below speech in the log domain and dominates every error.
FLOOR = 1e-4
ONSET_LEVEL = 0.004
# espeak-ng joins these to one word where no gap can be, unless the article is spelled in its phonemes.
FUSED = re.compile(r"\b(in|on|with) the\b")
SHORTEST_GAP_S = 0.15  # of the silences that VOICE has between words; those within words are shorter
# Silent speech tokens before the first word, between words, after a comma and after the last word.
LEAD_TOKENS, GAP_TOKENS, COMMA_TOKENS, TAIL_TOKENS = 2, 2, 5, 3


@dataclass(frozen=True)
class Recording:
    """Speech at the model's rate and at the encoders' rate, both a whole number of speech tokens long."""

    at_24k: np.ndarray
    at_16k: np.ndarray
    starts: list[int]  # first speech token of every word


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
    """What espeak-ng makes of `text`, word by word on the grid of speech tokens, with fixed silences between."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        spelled = FUSED.sub(r"\1 [[D@2]]", text)
        subprocess.run(["espeak-ng", *VOICE, "-w", file.name, PROSODY.format(spelled)], check=True)
        rate, raw = wavfile.read(file.name)
    at_24k = resample_poly(raw.astype(np.float64) / 32768, features.MODEL_RATE // 150, rate // 150)
    written = text.split()
    pieces, starts, length = [np.zeros(LEAD_TOKENS * TOKEN_SAMPLES)], [], LEAD_TOKENS
    for place, (first, last) in enumerate(_spoken_words(at_24k, len(written))):
        pause = COMMA_TOKENS if written[place].endswith(",") else GAP_TOKENS
        tokens = -(-(last - first) // TOKEN_SAMPLES) + (pause if place + 1 < len(written) else TAIL_TOKENS)
        pieces.append(np.pad(at_24k[first:last], (0, tokens * TOKEN_SAMPLES - (last - first))))
        starts.append(length)
        length += tokens
    padded = np.clip(np.concatenate(pieces), -0.98, 0.98)
    padded += FLOOR * np.random.default_rng(seed).standard_normal(len(padded))
    return Recording(padded.astype(np.float32), resample_poly(padded, 2, 3).astype(np.float32), starts)


def _spoken_words(samples: np.ndarray, count: int) -> list[tuple[int, int]]:
    """The stretches of speech between the gaps, as sample ranges."""
    loud = np.flatnonzero(np.abs(samples) > ONSET_LEVEL)
    cuts = np.flatnonzero(np.diff(loud) > SHORTEST_GAP_S * features.MODEL_RATE)
    if len(cuts) + 1 != count:
        raise ValueError(f"espeak-ng said {len(cuts) + 1} words instead of {count}")
    firsts, lasts = loud[np.concatenate([[0], cuts + 1])], loud[np.concatenate([cuts, [len(loud) - 1]])]
    return [(int(first), int(last) + 1) for first, last in zip(firsts, lasts)]


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
    tokens = [len(recording.at_24k) // TOKEN_SAMPLES for recording in recordings]
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
