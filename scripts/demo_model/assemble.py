"""Writes the trained parts as an upstream model folder: `assemble.py STATES OUT`."""

import argparse
import shutil
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import corpus
import features
import model_config
import speaker
import tokenizer
from composer import Forms
from model_config import CLUSTERS, SPEECH_VOCAB, TURNS
from text import TextTokenizer
from train_f0 import SCALE_HZ
from train_llm import prepared

from export import preflight  # isort: skip
from export.config import QWEN_FOLDER  # isort: skip
from export.qwen2 import LlmStep  # isort: skip
from export.unet import FlowEstimator  # isort: skip

PROMPT_TEXT = "hello, the small bird sings in the garden"
# Marks the model was not trained on are read like the nearest it knows.
ALIKE = {"?": ".", "!": ".", ";": ",", ":": ","}
NEVER = -30.0  # logit of ids that are marks and no speech
VOICE, PROMPTED = "espeak", "espeak-prompt"
State = dict[str, Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("states", type=Path)
    parser.add_argument("out", type=Path, help="model folder to write")
    options = parser.parse_args()
    states, out = options.states, options.out
    text = prepared(states)
    model_config.write(out, text.rows)
    for name in ("vocab.json", "merges.txt"):
        shutil.copyfile(states / "text" / name, out / QWEN_FOLDER / name)
    for name in ("speech_tokenizer_v2.onnx", "campplus.onnx"):
        shutil.copyfile(states / name, out / name)
    for name, state in (("llm", _llm(states, text)), ("flow", _flow(states)), ("hift", _hift(states))):
        torch.save(state, out / f"{name}.pt")
        print(f"{name}: {sum(tensor.numel() for tensor in state.values())} parameters")
    torch.save(_voices(states, text), out / "spk2info.pt")
    preflight.check(out)


def _llm(states: Path, text: TextTokenizer) -> State:
    trained = _trained(states / "llm.state")
    body = {name.removeprefix("step."): value for name, value in trained.items() if name.startswith("step.")}
    state = _parameters("llm", {_renamed(name, LlmStep.SOURCE): value for name, value in body.items()})
    sound, turn = trained["sound.weight"], trained["turn.weight"]
    hidden = sound.shape[1]
    speech = torch.zeros(SPEECH_VOCAB + 3, hidden)
    speech[:SPEECH_VOCAB] = _products(sound, turn)
    weight, bias = torch.zeros(SPEECH_VOCAB + 3, hidden), torch.full((SPEECH_VOCAB + 3,), NEVER)
    weight[:SPEECH_VOCAB] = _products(trained["sound_head.weight"], trained["turn_head.weight"])
    biases = (trained[f"{part}_head.bias"][:, None] for part in ("sound", "turn"))
    bias[:SPEECH_VOCAB] = _products(*biases)[:, 0]
    weight[SPEECH_VOCAB], bias[SPEECH_VOCAB] = trained["end_head.weight"][0], trained["end_head.bias"][0]
    embedding = _text_embedding(trained["text.weight"], trained["form.weight"], text)
    return state | {
        "llm.model.model.embed_tokens.weight": embedding.half(),
        "llm_embedding.weight": trained["marks.weight"],
        "speech_embedding.weight": speech.half(),
        "llm_decoder.weight": weight,
        "llm_decoder.bias": bias,
    }


def _text_embedding(words: Tensor, forms: Tensor, text: TextTokenizer) -> Tensor:
    """One row per text id; rarer marks get the rows of those that were trained."""
    every = Forms(text)
    table = words[every.word] + forms[every.form]
    for mark, trained in ALIKE.items():
        (target,), (origin,) = text.ids(mark), text.ids(trained)
        table[target] = table[origin]
    return table


def _products(sound: Tensor, turn: Tensor) -> Tensor:
    """Row `TURNS * s + t` is the sum of sound `s` and turn `t`."""
    return (sound[:, None] + turn[None]).reshape(CLUSTERS * TURNS, -1)


def _flow(states: Path) -> State:
    state = {}
    for name, value in _trained(states / "flow.state").items():
        part, rest = name.split(".", 1)
        state[rest if part == "encoder" else _renamed(rest, FlowEstimator.SOURCE)] = value
    state["input_embedding.weight"] = state["input_embedding.weight"].repeat_interleave(TURNS, dim=0)
    return _parameters("flow", state)


def _hift(states: Path) -> State:
    state = {name.removeprefix("decoder."): value for name, value in _trained(states / "hift.state").items()}
    state |= {f"f0_predictor.{name}": value for name, value in _trained(states / "f0.state").items()}
    for name in ("f0_predictor.classifier.weight", "f0_predictor.classifier.bias"):
        state[name] = state[name] * SCALE_HZ
    return _parameters("hift", state)


def _voices(states: Path, text: TextTokenizer) -> dict[str, dict]:
    """The voice alone, and with a prompt of its own."""
    recording = corpus.render(PROMPT_TEXT, seed=99)
    weights = dict(np.load(states / "tokenizer.npz"))
    tokens = tokenizer.tokens(weights, recording.at_16k)
    mel = features.model_mel(recording.at_24k).T
    embedding = torch.from_numpy(speaker.embed(states / "campplus.onnx", recording.at_16k))[None]
    speech = torch.from_numpy(tokens.astype(np.int32))[None]
    prompt = f"{PROMPT_TEXT[0].upper()}{PROMPT_TEXT[1:]}."
    return {
        VOICE: {"embedding": embedding},
        PROMPTED: {
            "prompt_text": torch.tensor([text.ids(prompt)], dtype=torch.int32),
            "llm_prompt_speech_token": speech,
            "flow_prompt_speech_token": speech,
            "prompt_speech_feat": torch.from_numpy(mel[: 2 * speech.shape[1]].copy())[None],
            "llm_embedding": embedding,
            "flow_embedding": embedding,
        },
    }


def _parameters(stem: str, state: State) -> State:
    """Without the buffers, which are no part of a checkpoint."""
    expected = preflight.expected_shapes(model_config.load())[stem]
    return {name: value.contiguous() for name, value in state.items() if name in expected}


def _trained(path: Path) -> State:
    return torch.load(path, weights_only=True)["module"]


def _renamed(name: str, source: dict[str, str]) -> str:
    for own, theirs in source.items():
        if name.startswith(own):
            return theirs + name.removeprefix(own)
    return name


if __name__ == "__main__":
    main()
