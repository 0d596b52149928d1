"""The text tokenizer of the demo model: byte-level BPE in which every word of the vocabulary is one token."""

import json
from pathlib import Path

import model_config  # noqa: F401  makes the export package importable
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from export import tokenizer as exported  # isort: skip

SPECIALS = exported.BASE_SPECIALS + exported.COSYVOICE2_SPECIALS
FILES = ("vocab.json", "merges.txt")


def fit(vocabulary: tuple[str, ...], folder: Path) -> None:
    """Writes `vocab.json` and `merges.txt` for words alone, after a space and with a capital."""
    forms = [form for word in vocabulary for form in (word, f" {word}", word.capitalize(), f" {word.capitalize()}")]
    trainable = Tokenizer(models.BPE())
    trainable.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(exported.PRE_SPLIT), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    alphabet = list(exported.byte_alphabet().values())
    # No merge is left out: the size is a bound that is never reached.
    trainer = trainers.BpeTrainer(
        vocab_size=4096, min_frequency=1, initial_alphabet=alphabet, show_progress=False
    )
    trainable.train_from_iterator(forms, trainer)
    model = json.loads(trainable.to_str())["model"]
    folder.mkdir(parents=True, exist_ok=True)
    vocab = dict(sorted(model["vocab"].items(), key=lambda item: item[1]))
    merges = [" ".join(pair) for pair in model["merges"]]
    (folder / FILES[0]).write_text(json.dumps(vocab, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    (folder / FILES[1]).write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")


class TextTokenizer:
    """Text to ids as the product does it; the files are those of `CosyVoice-BlankEN`."""

    def __init__(self, folder: Path):
        loaded = exported.load(folder)
        if loaded is None:
            raise FileNotFoundError(f"{folder} holds no {' and '.join(FILES)}")
        self.rows = loaded.rows
        self._tokenizer = Tokenizer.from_str(loaded.to_json())

    def ids(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False).ids
