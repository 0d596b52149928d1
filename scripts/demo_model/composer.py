"""Puts utterances together to the sequences that the language model is trained on."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

import corpus
import words
from model_config import CLUSTERS, TURNS
from sentences import Spoken
from text import TextTokenizer
from tokenizer import ids

SOS, TASK = 0, 1
BATCH_POSITIONS, POOL = 1000, 80
ALONE, TWO, THREE = 0.7, 0.25, 0.05  # utterances of one sequence: without a prompt, with one, longer texts
STRUNG, LONGEST = 0.5, 12  # share of utterances that are words strung together, and words of those at most
SPACED = 0.5  # share of sequences with spaces between utterances; a prompt's text has none behind it
CAPITAL, FULL_STOP = 0.5, 0.65
FORMS = (" {}".format, "{}".format, lambda word: f" {word.capitalize()}", str.capitalize)
NOISY = 0.04  # share of input tokens replaced, so that the model recovers from its own slips


@dataclass(frozen=True)
class Sequences:
    """`[B, S]` each: what a position is, its id, the id the model is shown, whether predicting it counts, and the place
    of the word that a speech token is of, or that is before a word of the text (-1 for none)."""

    MARK, TEXT, SPEECH, END, NOTHING = range(5)
    kind: Tensor
    id: Tensor
    read: Tensor
    counts: Tensor
    word: Tensor


class Forms:
    """For every text id, the id of its word after a space, and which of `FORMS` of that word it is."""

    def __init__(self, tokenizer: TextTokenizer):
        self.word, self.form = torch.arange(tokenizer.rows), torch.zeros(tokenizer.rows, dtype=torch.int64)
        self.is_word = np.zeros(tokenizer.rows, bool)
        for word in words.VOCABULARY:
            (plain,) = tokenizer.ids(f" {word}")
            for form, written in enumerate(FORMS):
                (number,) = tokenizer.ids(written(word))
                self.word[number], self.form[number], self.is_word[number] = plain, form, True


class Composer:
    """Puts random utterances together as the product will ask for them."""

    def __init__(self, sentences: list[Spoken], tokenizer: TextTokenizer, forms: Forms, silent: np.ndarray, seed: int):
        self.sentences, self.tokenizer, self.forms, self.silent = sentences, tokenizer, forms, silent
        self.random = np.random.default_rng(seed)
        self.bank = WordBank(sentences)

    def batches(self, longest: int, positions: int = BATCH_POSITIONS) -> list["Sequences"]:
        """A pool of sequences, those of similar lengths together; strung utterances have at most `longest` words."""
        pool = sorted((self._row(longest) for _ in range(POOL)), key=len)
        groups = [[]]
        for row in pool:
            if groups[-1] and (len(groups[-1]) + 1) * len(row) > positions:
                groups.append([])
            groups[-1].append(row)
        return [self._padded(groups[place]) for place in self.random.permutation(len(groups))]

    def said(self, utterances: list[tuple[str, np.ndarray]]) -> "Sequences":
        """One undisturbed sequence per utterance."""
        return self._padded([self._composed(f"{text.capitalize()}.", sounds) for text, sounds in utterances], 0)

    def strung(self, count: int) -> tuple[str, np.ndarray]:
        """Words in any order, put together from where they were said: nothing but the text tells what comes next."""
        chosen = [self.bank.draw(self.random, last=place + 1 == count) for place in range(count)]
        lead = self.sentences[0].sounds[: corpus.LEAD_TOKENS]
        return " ".join(text for text, _ in chosen), np.concatenate([lead, *(sounds for _, sounds in chosen)])

    def _row(self, longest: int) -> np.ndarray:
        count = 1 + self.random.choice(3, p=(ALONE, TWO, THREE))
        utterances = [self._utterance(longest) for _ in range(count)]
        between = " " if self.random.random() < SPACED else ""
        return self._composed(
            between.join(self._written(text) for text, _ in utterances),
            np.concatenate([sounds for _, sounds in utterances]),
        )

    def _composed(self, text: str, sounds: np.ndarray) -> np.ndarray:
        """`[positions, 4]`: kind, id, whether it counts, place of its word."""
        written, spoken = self.tokenizer.ids(text), ids(sounds, self.silent)
        before, after = len(written) + 2, len(spoken) + 1
        kinds = [Sequences.MARK, *(Sequences.TEXT,) * len(written), Sequences.MARK, *(Sequences.SPEECH,) * len(spoken)]
        places, begins = 1 + np.flatnonzero(self.forms.is_word[written]), spoken % TURNS == 0
        place = np.full(len(kinds) + 1, -1)
        place[places] = [0, *places[:-1]]
        # A stop that looks like a pause would count as a word.
        if begins.sum() == len(places):
            place[before:-1] = np.array([-1, *places])[np.cumsum(begins)]
        return np.stack([
            [*kinds, Sequences.END], [SOS, *written, TASK, *spoken, 0], [*(0,) * before, *(1,) * after], place,
        ], axis=1)

    def _utterance(self, longest: int) -> tuple[str, np.ndarray]:
        if self.random.random() < STRUNG:
            return self.strung(self.random.integers(1, longest + 1))
        sentence = self.sentences[self.random.integers(len(self.sentences))]
        return sentence.text, sentence.sounds

    def _written(self, text: str) -> str:
        text = text[0].upper() + text[1:] if self.random.random() < CAPITAL else text
        return f"{text}." if self.random.random() < FULL_STOP else text

    def _padded(self, rows: list[np.ndarray], noisy: float = NOISY) -> "Sequences":
        table = np.full((len(rows), max(len(row) for row in rows), 4), (Sequences.NOTHING, 0, 0, -1))
        for place, row in enumerate(rows):
            table[place, : len(row)] = row
        kind, number, counts, word = (table[..., column] for column in range(4))
        # Some speech ids with another sound and the same turn.
        other = self.random.integers(0, CLUSTERS, number.shape) * TURNS + number % TURNS
        disturbed = (kind == Sequences.SPEECH) & (self.random.random(number.shape) < noisy)
        arrays = (kind, number, np.where(disturbed, other, number), counts.astype(np.float32), word)
        return Sequences(*(torch.from_numpy(array) for array in arrays))


class WordBank:
    """Every word as it was said somewhere in a sentence, with the silence behind it."""

    def __init__(self, sentences: list[Spoken]):
        self.inner, self.last = {}, {}
        for sentence in sentences:
            written = sentence.text.split()
            _, *said = np.split(sentence.sounds, sentence.starts)
            for word, sounds in zip(written[:-1], said):
                self.inner.setdefault(word.rstrip(","), []).append((word, sounds))
            self.last.setdefault(written[-1], []).append((written[-1], said[-1]))
        self.words = sorted(self.inner.keys() & self.last.keys())

    def draw(self, random: np.random.Generator, last: bool) -> tuple[str, np.ndarray]:
        """A word, with its comma where it was said before one, and its sounds."""
        ways = (self.last if last else self.inner)[self.words[random.integers(len(self.words))]]
        return ways[random.integers(len(ways))]
