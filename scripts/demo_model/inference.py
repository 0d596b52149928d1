"""Speech from an exported bundle with ONNX Runtime, step for step as `cvtrt` does it."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import yaml
from safetensors import safe_open
from tokenizers import Tokenizer

import source

NOISE_COLUMNS = 15000


@dataclass(frozen=True)
class Voice:
    token: np.ndarray
    mel: np.ndarray  # [2P, 80]
    embedding: np.ndarray
    transcript: str


class Bundle:
    """A bundle on two threads at most."""

    def __init__(self, folder: Path, threads: int = 1):
        self.folder = folder
        self.manifest = yaml.safe_load((folder / "bundle.yaml").read_text(encoding="utf-8"))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        self._graphs = {
            name: onnxruntime.InferenceSession(folder / entry["file"], options, providers=["CPUExecutionProvider"])
            for name, entry in self.manifest["graphs"].items()
        }
        with safe_open(folder / "tables.safetensors", framework="np") as tables:
            self._tables = {name: tables.get_tensor(name).astype(np.float32) for name in tables.keys()}
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        noise = torch.randn(1, 80, NOISE_COLUMNS, generator=torch.Generator().manual_seed(0))
        self._noise = noise.numpy()

    def voice(self, name: str) -> Voice:
        with safe_open(self.folder / "voices" / f"{name}.safetensors", framework="np") as file:
            return Voice(
                file.get_tensor("prompt_token"), file.get_tensor("prompt_mel"), file.get_tensor("embedding"),
                (file.metadata() or {}).get("transcript", ""),
            )

    def speak(self, text: str, voice: Voice, seed: int = 0) -> np.ndarray:
        """Samples of `text`; with a prompt where the voice has one."""
        return self.render(self.speech_tokens(text, voice, np.random.default_rng(seed)), voice)

    def speech_tokens(self, text: str, voice: Voice, random: np.random.Generator) -> list[int]:
        """The language model with repetition-aware sampling."""
        llm, sampling = self.manifest["llm"], self.manifest["sampling"]
        spoken = self._tokenizer.encode(text, add_special_tokens=False).ids
        prompt = self._tokenizer.encode(voice.transcript, add_special_tokens=False).ids if len(voice.token) else []
        marks, speech = self._tables["marks"], self._tables["speech_embedding"]
        x = np.concatenate([
            marks[:1], self._tables["text_embedding"][prompt + spoken], marks[1:], speech[voice.token]
        ])[None]
        least, most = sampling["min_ratio"] * len(spoken), sampling["max_ratio"] * len(spoken)
        decoder, made = _Decoder(self._graphs["llm"], llm), []
        first, last = llm["stop"]
        for step in range(most):
            logits = decoder.step(x)
            if step < least:
                logits[first : last + 1] = -np.inf
            chosen = repetition_aware(logits, made, sampling, random)
            if first <= chosen <= last:
                break
            made.append(chosen)
            x = speech[chosen][None, None]
        return made

    def render(self, tokens: list[int], voice: Voice) -> np.ndarray:
        """Flow and vocoder in one shot."""
        return self.vocode(self.flow(tokens, voice))

    def flow(self, tokens: list[int], voice: Voice) -> np.ndarray:
        """Log-mel `[80, 2 N]` without the prompt."""
        every = np.concatenate([voice.token, np.asarray(tokens)]).astype(np.int32)[None]
        count, known = every.shape[1], len(voice.mel)
        mu, spks = self._graphs["flow_encoder"].run(None, {
            "token": every, "context": np.zeros((1, 3), np.int32), "context_valid": np.zeros((1, 3, 1), np.float32),
            "qend": np.full((1, count), count, np.int32), "kpos": np.arange(count, dtype=np.int32)[None],
            "embedding": voice.embedding.reshape(1, -1),
        })
        frames = mu.shape[2]
        cond = np.zeros_like(mu)
        cond[0, :, :known] = voice.mel.T
        x = self._noise[:, :, :frames].copy()
        steps, guidance = self.manifest["flow"]["steps"], self.manifest["flow"]["guidance"]
        times = [1 - math.cos(0.5 * math.pi * step / steps) for step in range(steps + 1)]
        order = np.arange(frames, dtype=np.int32)
        for now, after in zip(times, times[1:]):
            with_and_without = self._graphs["flow_estimator"].run(None, {
                "x": np.repeat(x, 2, axis=0), "mask": np.ones((2, 1, frames), np.float32),
                "mu": np.concatenate([mu, 0 * mu]), "t": np.full(2, now, np.float32),
                "spks": np.concatenate([spks, 0 * spks]), "cond": np.concatenate([cond, 0 * cond]),
                "qend": np.full((2, frames), frames, np.int32), "kpos": np.tile(order, (2, 1)),
            })[0]
            x = x + (after - now) * ((1 + guidance) * with_and_without[:1] - guidance * with_and_without[1:])
        return x[0, :, known:]

    def vocode(self, mel: np.ndarray, seed: int = 0) -> np.ndarray:
        """Samples at 24 kHz."""
        mel = np.ascontiguousarray(mel, np.float32)[None]
        f0 = self._graphs["hift_f0"].run(None, {"mel": mel})[0]
        torch.manual_seed(seed)
        waves = source.harmonics(torch.from_numpy(f0), torch.zeros(1))[0].numpy()
        merged = np.tanh(self._tables["source_weight"] @ waves + self._tables["source_bias"])
        padded = np.pad(merged, source.PAD, mode="reflect").astype(np.float32)[None, None]
        wav = self._graphs["hift_decode"].run(None, {"mel": mel, "source_pad": padded})[0][0]
        overlap = 1.5 / np.array([1.25, 1.404730, 1.478553, 1.498551])
        wav[:4] *= overlap
        wav[-3:] *= overlap[:0:-1]
        limit = self.manifest["hift"]["audio_limit"]
        return np.clip(wav, -limit, limit)

    def pitch(self, mel: np.ndarray) -> np.ndarray:
        """F0 in Hz per frame as the vocoder sees it."""
        return self._graphs["hift_f0"].run(None, {"mel": np.ascontiguousarray(mel, np.float32)[None]})[0][0]


class _Decoder:
    """The language model and its cache."""

    def __init__(self, session: onnxruntime.InferenceSession, llm: dict):
        self._session, self._layers = session, llm["layers"]
        rows = np.zeros((1, llm["kv_heads"], 0, llm["head_dim"]), np.float32)
        self._cache = [rows] * (2 * llm["layers"])

    def step(self, x: np.ndarray) -> np.ndarray:
        """Logits of the last of the new rows `[1, S, H]`."""
        count, past = x.shape[1], self._cache[0].shape[2]
        names = [f"past_{kind}_{layer}" for layer in range(self._layers) for kind in ("k", "v")]
        # One invalid row, as an empty cache has none.
        heads, width = self._cache[0].shape[1], self._cache[0].shape[3]
        blank = np.zeros((1, heads, 1, width), np.float32)
        feeds = {
            "inputs_embeds": x.astype(np.float32),
            "position_ids": np.arange(past, past + count, dtype=np.int32)[None],
            "past_valid": np.array([[1.0] * past + [0.0]], np.float32),
            "new_valid": np.ones((1, count), np.float32),
            "last_index": np.array([count - 1], np.int32),
        } | {name: np.concatenate([rows, blank], axis=2) for name, rows in zip(names, self._cache)}
        logits, *fresh = self._session.run(None, feeds)
        self._cache = [np.concatenate([old, new], axis=2) for old, new in zip(self._cache, fresh)]
        return logits[0].astype(np.float64)


def repetition_aware(logits: np.ndarray, history: list[int], sampling: dict, random: np.random.Generator) -> int:
    """A draw from the nucleus, and from everything else where that id came lately."""
    weights = np.exp(logits - logits.max())
    weights /= weights.sum()
    order = np.argsort(-weights, kind="stable")
    reached = np.cumsum(weights[order])
    count = min(int(np.searchsorted(reached, sampling["top_p"])) + 1, sampling["top_k"])
    nucleus = order[:count]
    chosen = int(random.choice(nucleus, p=weights[nucleus] / weights[nucleus].sum()))
    window = sampling["window"]
    if history[-window:].count(chosen) >= window * sampling["tau"]:
        weights[chosen] = 0
        chosen = int(random.choice(len(weights), p=weights / weights.sum()))
    return chosen
