"""The Qwen2 byte-level BPE tokenizer as one `tokenizer.json`, with the specials CosyVoice adds."""

import json
from dataclasses import dataclass
from pathlib import Path

from .errors import ModelFolderError, Problem

ENDOFPROMPT = "<|endofprompt|>"
BASE_SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
COSYVOICE2_SPECIALS = (
    ENDOFPROMPT, "[breath]", "<strong>", "</strong>", "[noise]", "[laughter]", "[cough]", "[clucking]", "[accent]",
    "[quick_breath]", "<laughter>", "</laughter>", "[hissing]", "[sigh]", "[vocalized-noise]", "[lipsmack]", "[mn]",
)
PRE_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class Tokenizer:
    """A resolved vocabulary: ordinary tokens, merges in order of rank, and specials matched before BPE."""

    vocab: dict[str, int]
    merges: list[tuple[str, str]]
    specials: dict[str, int]

    @property
    def endofprompt(self) -> int | None:
        return self.specials.get(ENDOFPROMPT)

    @property
    def rows(self) -> int:
        """Rows of the text embedding that the ids need."""
        return 1 + max([*self.vocab.values(), *self.specials.values()])

    def decode(self, ids: list[int]) -> str:
        """The text of the ids; bytes that are not UTF-8 are replaced."""
        special = {number: text for text, number in self.specials.items()}
        ordinary = {number: text for text, number in self.vocab.items()}
        to_byte = {char: byte for byte, char in byte_alphabet().items()}
        out = bytearray()
        for number in ids:
            if number in special:
                out += special[number].encode()
            else:
                out += bytes(to_byte[char] for char in ordinary[number])
        return out.decode("utf-8", errors="replace")

    def to_json(self) -> str:
        """The Hugging Face `tokenizer.json` document."""
        byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
        document = {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [
                {"id": number, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
                 "normalized": False, "special": True}
                for text, number in self.specials.items()
            ],
            "normalizer": {"type": "NFC"},
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [
                    {"type": "Split", "pattern": {"Regex": PRE_SPLIT}, "behavior": "Isolated", "invert": False},
                    byte_level,
                ],
            },
            "post_processor": byte_level,
            "decoder": byte_level,
            "model": {
                "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
                "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                "vocab": self.vocab,
                "merges": [list(pair) for pair in self.merges],
            },
        }
        return json.dumps(document, ensure_ascii=False, indent=None, separators=(",", ":")) + "\n"


def with_specials(vocab: dict[str, int], merges: list[tuple[str, str]], specials: tuple[str, ...]) -> Tokenizer:
    """`specials` get the ids that follow the vocabulary, in their order."""
    first = 1 + max(vocab.values())
    return Tokenizer(vocab, merges, {text: first + index for index, text in enumerate(specials)})


def load(folder: Path) -> Tokenizer | None:
    """The tokenizer of `CosyVoice-BlankEN`, or none where the folder has no `vocab.json` and `merges.txt`."""
    vocab_file, merges_file = folder / "vocab.json", folder / "merges.txt"
    if not (vocab_file.is_file() and merges_file.is_file()):
        return None
    try:
        vocab = json.loads(vocab_file.read_text(encoding="utf-8"))
        merges = _merges(merges_file.read_text(encoding="utf-8"))
        return with_specials(vocab, merges, BASE_SPECIALS + COSYVOICE2_SPECIALS)
    except (ValueError, AttributeError, TypeError) as error:
        problem = Problem(
            f"{folder.name}/{vocab_file.name}", "unreadable", f"is not a byte-level BPE vocabulary: {error}",
            f"download {folder.name} again",
        )
        raise ModelFolderError([problem]) from error


def byte_alphabet() -> dict[int, str]:
    """The printable character that stands for each byte in a byte-level vocabulary."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + index) for index, byte in enumerate(others)}


def _merges(text: str) -> list[tuple[str, str]]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#version")]
    pairs = [tuple(line.split(" ")) for line in lines]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError("a line of merges.txt is not a pair")
    return pairs
