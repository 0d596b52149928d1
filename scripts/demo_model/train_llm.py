"""Trains the language model on texts and their speech tokens: `train_llm.py STATES --minutes N`.

An id is a sound and a turn, and its logit here is the sum of one for each; the assembled checkpoint holds the sums.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import corpus
import model_config
import sentences
import words
from model_config import CLUSTERS, TURNS
from networks import trainable
from sentences import Spoken
from text import TextTokenizer, fit
from tokenizer import ids
from training import Run

from export.qwen2 import LlmStep, _rotated  # isort: skip

SOS, TASK = 0, 1
BATCH_POSITIONS, POOL = 1000, 80
ALONE, TWO, THREE = 0.7, 0.25, 0.05  # utterances of one sequence: without a prompt, with one, longer texts
STRUNG = 0.5  # share of utterances that are words strung together
LONGEST, STEPS_PER_WORD = 12, 40  # words of those at most, and the pace at which they get there
SPACED = 0.5  # share of sequences with spaces between utterances; a prompt's text has none behind it
CAPITAL, FULL_STOP = 0.5, 0.65
FORMS = (" {}".format, "{}".format, lambda word: f" {word.capitalize()}", str.capitalize)
# The first heads of the first layers learn where in the text the speech is: a word of the text is drawn to the word
# before it, a speech token to the word it is of, and the last token of a word to the word said next.
GUIDES, GUIDE_WEIGHT = ("before", "now", "next"), 0.2
NOISY = 0.04  # share of input tokens replaced, so that the model recovers from its own slips


class Llm(nn.Module):
    """The Qwen2 body with factorised tables for text and speech ids."""

    def __init__(self, config, forms: "Forms"):
        super().__init__()
        self.step = trainable(LlmStep(config.llm, model_config.MAX_POSITIONS))
        self.step.head = nn.Identity()
        hidden = config.llm.hidden
        self.register_buffer("words", forms.word, persistent=False)
        self.register_buffer("forms", forms.form, persistent=False)
        self.text, self.form = nn.Embedding(config.llm.text_vocab, hidden), nn.Embedding(len(FORMS), hidden)
        self.marks = nn.Embedding(2, hidden)
        self.sound, self.turn = nn.Embedding(CLUSTERS, hidden), nn.Embedding(TURNS, hidden)
        self.sound_head, self.turn_head, self.end_head = (nn.Linear(hidden, rows) for rows in (CLUSTERS, TURNS, 1))
        for table in (self.text, self.form, self.marks, self.sound, self.turn):
            nn.init.normal_(table.weight, std=0.3)

    def forward(self, sequences: "Sequences") -> dict[str, Tensor]:
        """Mean negative log-likelihoods of the marked targets, and of what the guided heads are drawn to."""
        kinds, ids = sequences.kind[:, :-1, None], sequences.read[:, :-1]
        x = torch.where(kinds == Sequences.MARK, self.marks(ids.clamp(max=1)), self.text_rows(ids))
        speech = self.sound((ids // TURNS).clamp(max=CLUSTERS - 1)) + self.turn(ids % TURNS)
        hidden, attention = self._body(torch.where(kinds == Sequences.SPEECH, speech, x))

        sound, turn, end = self.sound_head(hidden), self.turn_head(hidden), self.end_head(hidden)[..., 0]
        target, word = sequences.id[:, 1:], sequences.word[:, 1:]
        chosen = sound.gather(-1, (target // TURNS).clamp(max=CLUSTERS - 1)[..., None])[..., 0]
        chosen = chosen + turn.gather(-1, (target % TURNS)[..., None])[..., 0]
        chosen = torch.where(sequences.kind[:, 1:] == Sequences.END, end, chosen)
        total = torch.logaddexp(torch.logsumexp(sound, -1) + torch.logsumexp(turn, -1), end)
        counts = sequences.counts[:, 1:]

        said = (sequences.kind[:, 1:] == Sequences.SPEECH) & (word >= 0)
        known = sequences.word[:, :-1]
        targets = {
            "before": (known, sequences.kind[:, :-1] == Sequences.TEXT),
            "now": (known, said & (sequences.kind[:, :-1] == Sequences.SPEECH)),
            "next": (word, said & (target % TURNS == 0)),
        }
        guides = {name: _missed(attention[index], *targets[name]) for index, name in enumerate(GUIDES)}
        return {"nll": ((total - chosen) * counts).sum() / counts.sum()} | guides

    def text_rows(self, ids: Tensor) -> Tensor:
        """A word's forms share what they mean."""
        ids = ids.clamp(max=len(self.words) - 1)
        return self.text(self.words[ids]) + self.form(self.forms[ids])

    def _body(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """All positions at once, and the guided heads' scores `[B, S, S]`; right padding is behind every query."""
        step, length = self.step, x.shape[1]
        cos, sin = step.rotary_cos[None, None, :length], step.rotary_sin[None, None, :length]
        guided = []
        for layer in step.layers:
            mixed, scores = _attended(layer.self_attn, layer.input_layernorm(x), cos, sin)
            x = x + mixed
            x = x + layer.mlp(layer.post_attention_layernorm(x))
            if len(guided) < len(GUIDES):
                guided.append(scores())
        return step.norm(x), guided


def _missed(scores: Tensor, place: Tensor, asked: Tensor) -> Tensor:
    """Weighted mean negative log-probability of attending to `place`, over the positions that are `asked` and have one."""
    length = scores.shape[-1]
    asked = asked & (place >= 0)
    later = torch.ones(length, length, dtype=torch.bool).triu(1)
    attention = scores.masked_fill(later, -torch.inf).log_softmax(-1)
    missed = -attention.gather(-1, place.clamp(min=0)[..., None])[..., 0]
    return GUIDE_WEIGHT * torch.where(asked, missed, 0).sum() / asked.sum().clamp(min=1)


def _attended(attention: nn.Module, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Callable[[], Tensor]]:
    """The exported attention over new rows alone, in one fused product, and a way to the first head's scores."""
    half = attention.head_dim // 2
    query, key, value = (
        part.unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)
        for part in (attention.q_proj(x), attention.k_proj(x), attention.v_proj(x))
    )
    query, key = _rotated(query, half, cos, sin), _rotated(key, half, cos, sin)
    mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
    scores = lambda: query[:, 0] @ key[:, 0].mT / math.sqrt(attention.head_dim)  # noqa: E731
    return attention.o_proj(mixed.transpose(1, 2).flatten(2)), scores


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


def prepared(states: Path) -> TextTokenizer:
    """The text tokenizer, made at the first call."""
    folder = states / "text"
    if not (folder / "vocab.json").is_file():
        fit(words.VOCABULARY, folder)
    return TextTokenizer(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("states", type=Path)
    parser.add_argument("--minutes", type=float, default=30)
    options = parser.parse_args()
    torch.manual_seed(3)
    tokenizer = prepared(options.states)
    forms = Forms(tokenizer)
    llm = Llm(model_config.load(tokenizer.rows), forms)
    known, held_out = sentences.load(options.states)
    silent = np.load(options.states / "tokenizer.npz")["silent"]
    run = Run(options.states, "llm", llm, rate=2e-3, minutes=options.minutes)
    composer = Composer(known, tokenizer, forms, silent, seed=run.step)
    watcher = Composer(known, tokenizer, forms, silent, seed=-1 % 2**32)
    watched = {
        "sentences": watcher.said([(each.text, each.sounds) for each in held_out]),
        "strung": watcher.said([watcher.strung(6) for _ in range(len(held_out))]),
    }

    @torch.no_grad()
    def held_out_losses() -> dict[str, float]:
        return {name: llm(sequences)["nll"].item() for name, sequences in watched.items()}

    while not run.finished:
        for batch in composer.batches(longest=2 + min(run.step // STEPS_PER_WORD, LONGEST - 2)):
            run.update(llm(batch), report_every=100, watch=held_out_losses)
    run.save()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
