"""Trains the language model on texts and their speech tokens: `train_llm.py CORPUS STATES --minutes N`.

An id is a sound and a turn, and its logit here is the sum of one for each; the assembled checkpoint holds the sums.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import corpus
import model_config
import more_text
import words
from features import TOKEN_SAMPLES
from model_config import CLUSTERS, TURNS
from networks import trainable
from text import TextTokenizer, fit
from training import Run

from export.qwen2 import LlmStep  # isort: skip

SOS, TASK = 0, 1
BATCH_POSITIONS = 1200
ALONE, TWO, THREE = 0.45, 0.4, 0.15  # utterances of one sequence: without a prompt, with one, longer texts
SINGLE_WORD, STRUNG = 0.15, 0.4  # shares of utterances that are one word, and words strung together
LEAD, TAIL = corpus.LEAD_SAMPLES // TOKEN_SAMPLES, corpus.TAIL_SAMPLES // TOKEN_SAMPLES  # silent tokens of a recording
CAPITAL = 0.5
NOISY = 0.04  # share of input tokens replaced, so that the model recovers from its own slips


class Llm(nn.Module):
    """The Qwen2 body with factorised tables for speech ids."""

    def __init__(self, config):
        super().__init__()
        self.step = trainable(LlmStep(config.llm, model_config.MAX_POSITIONS))
        self.step.head = nn.Identity()
        hidden = config.llm.hidden
        self.text = nn.Embedding(config.llm.text_vocab, hidden)
        self.marks = nn.Embedding(2, hidden)
        self.sound, self.turn = nn.Embedding(CLUSTERS, hidden), nn.Embedding(TURNS, hidden)
        self.sound_head, self.turn_head, self.end_head = (nn.Linear(hidden, rows) for rows in (CLUSTERS, TURNS, 1))
        for table in (self.text, self.marks, self.sound, self.turn):
            nn.init.normal_(table.weight, std=0.3)

    def forward(self, sequences: "Sequences") -> Tensor:
        """Mean negative log-likelihood of the marked targets."""
        kinds = sequences.kind[:, :-1, None]
        ids = sequences.read[:, :-1]
        text = self.text(ids.clamp(max=self.text.num_embeddings - 1))
        x = torch.where(kinds == Sequences.MARK, self.marks(ids.clamp(max=1)), text)
        speech = self.sound((ids // TURNS).clamp(max=CLUSTERS - 1)) + self.turn(ids % TURNS)
        hidden = self._body(torch.where(kinds == Sequences.SPEECH, speech, x))

        sound, turn, end = self.sound_head(hidden), self.turn_head(hidden), self.end_head(hidden)[..., 0]
        target = sequences.id[:, 1:]
        chosen = sound.gather(-1, (target // TURNS).clamp(max=CLUSTERS - 1)[..., None])[..., 0]
        chosen = chosen + turn.gather(-1, (target % TURNS)[..., None])[..., 0]
        chosen = torch.where(sequences.kind[:, 1:] == Sequences.END, end, chosen)
        total = torch.logaddexp(torch.logsumexp(sound, -1) + torch.logsumexp(turn, -1), end)
        return ((total - chosen) * sequences.counts[:, 1:]).sum() / sequences.counts[:, 1:].sum()

    def _body(self, x: Tensor) -> Tensor:
        """All positions at once; right padding is behind every query."""
        step, length = self.step, x.shape[1]
        cos, sin = step.rotary_cos[None, None, :length], step.rotary_sin[None, None, :length]
        causal = torch.ones(length, length, dtype=torch.bool).tril()[None, None].repeat(1, 1, step.group, 1)
        for layer in step.layers:
            attention = layer.self_attn
            empty = x.new_zeros(x.shape[0], attention.kv_heads, 0, attention.head_dim)
            x, _, _ = layer(x, cos, sin, empty, empty, causal[..., :0], causal)
        return step.norm(x)


@dataclass(frozen=True)
class Sequences:
    """`[B, S]` each: what a position is, its id, the id the model is shown, and whether predicting it counts."""

    MARK, TEXT, SPEECH, END, NOTHING = range(5)
    kind: Tensor
    id: Tensor
    read: Tensor
    counts: Tensor


@dataclass(frozen=True)
class Spoken:
    """Texts and the sounds that say them."""

    texts: list[str]
    sounds: list[np.ndarray]


def training_set(folder: Path, states: Path) -> Spoken:
    """The training part of the corpus and the further sentences."""
    data, sounds, more = corpus.load(folder), np.load(states / "sounds.npy"), np.load(states / more_text.FILE)
    known = np.flatnonzero(~data.held_out)
    return Spoken(
        [*(data.texts[index] for index in known), *more["texts"].tolist()],
        [*(sounds[data.bounds[index] : data.bounds[index + 1]] for index in known),
         *np.split(more["sounds"].astype(np.int64), more["bounds"][1:-1])],
    )


class Composer:
    """Puts random utterances together as the product will ask for them."""

    def __init__(self, spoken: "Spoken", tokenizer: TextTokenizer, random: np.random.Generator):
        self.spoken, self.tokenizer, self.random = spoken, tokenizer, random
        self.single = [index for index, text in enumerate(spoken.texts) if " " not in text]

    def batch(self) -> Sequences:
        rows = [self._row()]
        while (len(rows) + 1) * max(len(row) for row in rows) < BATCH_POSITIONS:
            rows.append(self._row())
        length = max(len(row) for row in rows)
        table = np.full((len(rows), length, 3), (Sequences.NOTHING, 0, 0))
        for place, row in enumerate(rows):
            table[place, : len(row)] = row
        kind, number, counts = (table[..., column] for column in range(3))
        arrays = (kind, number, self._disturbed(kind, number), counts.astype(np.float32))
        return Sequences(*(torch.from_numpy(array) for array in arrays))

    def _row(self) -> list[tuple[int, int, int]]:
        count = 1 + self.random.choice(3, p=(ALONE, TWO, THREE))
        utterances = [self._utterance() for _ in range(count)]
        text = [number for written, _ in utterances for number in self.tokenizer.ids(self._written(written))]
        sounds = np.concatenate([each for _, each in utterances])
        return [
            (Sequences.MARK, SOS, 0), *((Sequences.TEXT, number, 0) for number in text), (Sequences.MARK, TASK, 0),
            *((Sequences.SPEECH, sound * TURNS + place % TURNS, 1) for place, sound in enumerate(sounds.tolist())),
            (Sequences.END, 0, 1),
        ]

    def _utterance(self) -> tuple[str, np.ndarray]:
        kind = self.random.random()
        if kind < STRUNG:
            return self._strung(self.random.integers(2, 9))
        alone = kind < STRUNG + SINGLE_WORD
        index = self.random.choice(self.single) if alone else self.random.integers(len(self.spoken.texts))
        return self.spoken.texts[index], self.spoken.sounds[index]

    def _strung(self, count: int) -> tuple[str, np.ndarray]:
        """Words in any order, put together from their lone recordings: nothing but the text tells what comes next."""
        chosen = self.random.choice(self.single, count)
        parts = [self.spoken.sounds[index] for index in chosen]
        lead, tail = parts[0][:LEAD], parts[-1][-TAIL:]
        return (
            " ".join(self.spoken.texts[index] for index in chosen),
            np.concatenate([lead, *(part[LEAD:-TAIL] for part in parts), tail]),
        )

    def _written(self, text: str) -> str:
        return (text[0].upper() + text[1:] if self.random.random() < CAPITAL else text) + "."

    def _disturbed(self, kind: np.ndarray, number: np.ndarray) -> np.ndarray:
        """Some speech ids with another sound and the same turn."""
        other = self.random.integers(0, CLUSTERS, number.shape) * TURNS + number % TURNS
        return np.where((kind == Sequences.SPEECH) & (self.random.random(number.shape) < NOISY), other, number)


def prepared(states: Path) -> TextTokenizer:
    """The text tokenizer, made at the first call."""
    folder = states / "text"
    if not (folder / "vocab.json").is_file():
        fit(words.VOCABULARY, folder)
    return TextTokenizer(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("states", type=Path)
    parser.add_argument("--minutes", type=float, default=30)
    options = parser.parse_args()
    torch.manual_seed(3)
    tokenizer = prepared(options.states)
    llm = Llm(model_config.load(tokenizer.rows))
    run = Run(options.states, "llm", llm, rate=2e-3, minutes=options.minutes)
    spoken = training_set(options.corpus, options.states)
    composer = Composer(spoken, tokenizer, np.random.default_rng(run.step))
    while not run.finished:
        run.update({"nll": llm(composer.batch())})
    run.save()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
