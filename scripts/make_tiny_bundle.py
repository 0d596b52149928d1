#!/usr/bin/env python3
"""Makes the committed small bundle from the reduced-width fixture: `make_tiny_bundle.py FIXTURE OUT`.

The weights and the demo voice come from the fixture and its recorded flow case; the tokenizer is trained here on a few
sentences; the prompt encoders are stand-ins.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from tokenizers import Regex, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Trainable

from export import bundle, preflight, stand_ins, tokenizer, voices
from export.bundle import Contents
from export.errors import ExportError, ModelFolderError
from export.exporting import ExportOptions, export
from export.preflight import ModelFolder
from export_onnx import print_graph

DESCRIPTION = "random weights, CosyVoice2 structure at reduced width"
TRANSCRIPT = "The morning train leaves at half past seven."
FBANK_BINS = 80
# Sized for a committed file: 2048 positions hold the largest KV bucket, 1024 tokens are 41 seconds.
MAX_POSITIONS, MAX_TOKENS = 2048, 1024
SENTENCES = """
The morning train leaves at half past seven, and the evening train comes back at nine.
She opened the window because the room was warm, then sat down to read her letters.
There is nothing in the garden this winter but the old stone bench and a few birds.
We were walking along the river when the rain started, so we ran to the nearest bridge.
Could you tell me where the station is? It is not far: turn left, then straight on.
The speaker thanked everyone for coming and promised that the next meeting would be shorter.
I think that these are the right answers, but I would like to hear what the others say.
Please call me again tomorrow; the doctor will be in her office until five o'clock.
A small boat was waiting for them at the end of the harbour, under the yellow light.
His brother has been working with computers for more than ten years, and it shows.
What a wonderful surprise! Nobody had expected the children to sing so well.
The weather will be cloudy in the north, with some sunshine in the south and west.
When the music stopped, the whole theatre was silent for a moment, and then they cheered.
You can have either the soup or the salad, and there is fresh bread on every table.
This is a test of the voice, and that was the sound of the same voice speaking slowly.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fixture", type=Path, help="folder of the reduced-width fixture of cosyvoice2")
    parser.add_argument("out", type=Path, help="bundle to write")
    options = parser.parse_args()
    try:
        folder = preflight.check(options.fixture)
        export(
            folder,
            options.out,
            ExportOptions(None, DESCRIPTION, None, MAX_POSITIONS, MAX_TOKENS),
            report=lambda graph: print_graph(graph, sys.stdout),
            addition=lambda staged, contents: _complete(folder, staged, contents),
        )
    except ModelFolderError as error:
        print("\n".join(f"error: {problem}" for problem in error.problems), file=sys.stderr)
        return 2
    except ExportError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    size = sum(path.stat().st_size for path in options.out.rglob("*") if path.is_file())
    print(f"bundle: {options.out}, {size} bytes")
    return 0


def _complete(folder: ModelFolder, staged: Path, contents: Contents) -> None:
    config = folder.config
    contents.tokenizer = _tokenizer(config.llm.text_vocab, config.endofprompt)
    (staged / bundle.TOKENIZER).write_text(contents.tokenizer.to_json(), encoding="utf-8")

    stand_ins.write_speech_tokenizer(staged / "speech_tokenizer.onnx", config.llm.speech_vocab)
    stand_ins.write_campplus(staged / "campplus.onnx", FBANK_BINS, config.flow.speaker_dim)
    contents.stand_ins = ["speech_tokenizer", "campplus"]
    contents.graphs |= {graph: [f"{graph}.onnx"] for graph in contents.stand_ins}

    contents.voices = _voices(folder)
    (staged / bundle.VOICES).mkdir()
    for voice in contents.voices:
        voice.save(staged / bundle.VOICES)


def _voices(folder: ModelFolder) -> list[voices.Voice]:
    flow = np.load(folder.path / "golden_flow.npz")
    llm = np.load(folder.path / "golden_llm.npz")
    demo = voices.Voice(
        name="demo",
        embedding=torch.from_numpy(flow["embedding"]).flatten(),
        prompt_token=torch.from_numpy(flow["prompt_token"]).flatten(),
        prompt_mel=torch.from_numpy(flow["prompt_feat"])[0],
        transcript=TRANSCRIPT,
    )
    plain = voices.without_prompt("plain", torch.from_numpy(llm["embedding"]), folder.config.flow.mel_bins)
    return [demo, plain]


def _tokenizer(rows: int, endofprompt: int) -> tokenizer.Tokenizer:
    """Byte-level BPE in which `<|endofprompt|>` has the id of the fixture and as many specials follow as fit."""
    specials = tokenizer.BASE_SPECIALS + tokenizer.COSYVOICE2_SPECIALS
    size = endofprompt - len(tokenizer.BASE_SPECIALS)
    trainable = Trainable(models.BPE())
    trainable.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(tokenizer.PRE_SPLIT), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    alphabet = list(tokenizer.byte_alphabet().values())
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    trainable.train_from_iterator(SENTENCES.strip().splitlines(), trainer)
    model = json.loads(trainable.to_str())["model"]
    vocab = dict(sorted(model["vocab"].items(), key=lambda item: item[1]))
    if len(vocab) != size:
        raise ExportError(f"the sentences give {len(vocab)} tokens, {size} are needed: write more sentences")
    made = tokenizer.with_specials(vocab, [tuple(pair) for pair in model["merges"]], specials[: rows - size])
    if made.endofprompt != endofprompt:
        raise ExportError(f"<|endofprompt|> has id {made.endofprompt}, the fixture says {endofprompt}")
    return made


if __name__ == "__main__":
    sys.exit(main())
