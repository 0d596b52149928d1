"""Trains the language model on texts and their speech tokens: `train_llm.py STATES --minutes N`.

An id is a sound and a turn, and its logit here is the sum of one for each; the assembled checkpoint holds the sums.
"""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import model_config
import sentences
import words
from composer import FORMS, LONGEST, Composer, Forms, Sequences
from model_config import CLUSTERS, TURNS
from networks import trainable
from text import TextTokenizer, fit
from training import Run

from export.qwen2 import LlmStep, _rotated  # isort: skip

STEPS_PER_WORD = 40  # the pace at which strung utterances get longer
# The first heads of the first layers learn where in the text the speech is: a word of the text is drawn to the word
# before it, a speech token to the word it is of, and the last token of a word to the word said next.
GUIDES, GUIDE_WEIGHT = ("before", "now", "next"), 0.2


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
    """Weighted mean negative log-probability of attending to `place`, over those `asked` positions that have one."""
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
