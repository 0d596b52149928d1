"""Exported graphs on ONNX Runtime against the recorded results of the original modules."""

import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np
import onnxruntime
from safetensors.numpy import load_file

from export import preflight
from export.exporting import ExportOptions, export
from export.tests.fixtures import fixture_or_skip

GATE = 1e-4
F0_GATE_HZ = 5e-3
LOOK_AHEAD, CHUNK_TOKENS, CHUNK_FRAMES = 3, 25, 50
LLM_MODES = ("zs", "xl", "instruct2")
# Run → generated tokens, streaming, final.
FLOW_RUNS = {
    "full": (None, False, True),
    "chunk1": (18, True, False),
    "chunk2": (43, True, False),
    "last_streaming": (None, True, True),
}
# Squared-window overlap of the first four samples, over its constant inside.
EDGES = 1.5 / np.array([1.25, 1.4047299, 1.4785534, 1.4985514], np.float32)


class Goldens(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.bundle = None

    def setUp(self):
        self.fixture = fixture_or_skip(self)
        if Goldens.bundle is None:
            folder = tempfile.TemporaryDirectory()
            self.addClassCleanup(folder.cleanup)
            Goldens.bundle = Path(folder.name) / "bundle"
            options = ExportOptions(max_positions=256, max_tokens=128)
            export(preflight.check(self.fixture), Goldens.bundle, options, report=lambda graph: None)

    def run_graph(self, graph: str, **feeds: np.ndarray) -> list[np.ndarray]:
        path = Goldens.bundle / f"{graph}.onnx"
        return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, feeds)

    def assert_close(self, what: str, got: np.ndarray, want: np.ndarray, gate: float = GATE):
        self.assertEqual(got.shape, want.shape, what)
        error = float(np.abs(got - want).max())
        print(f"{what:32} max abs error {error:.2e}, gate {gate:.0e}", file=sys.stderr)
        self.assertLessEqual(error, gate, what)

    def test_llm_logits_of_prefill_and_of_steps(self):
        golden = np.load(self.fixture / "golden_llm.npz")
        speech = load_file(Goldens.bundle / "tables.safetensors")["speech_embedding"]
        for mode in LLM_MODES:
            prefill, tokens = golden[f"{mode}.lm_input"], golden[f"{mode}.greedy_tokens"]
            got = self.decoded(prefill, [speech[token] for token in tokens])
            want = golden[f"{mode}.tf_logits"][0, prefill.shape[1] - 1 :]
            self.assert_close(f"llm {mode}", got, want)

    def decoded(self, prefill: np.ndarray, steps: list[np.ndarray]) -> np.ndarray:
        """Logits after a padded prefill and after every step, through a cache with more room than rows."""
        rows, padding, capacity = prefill.shape[1], 3, prefill.shape[1] + len(steps) + 5
        names = [f"{kind}_{layer}" for layer in range(2) for kind in ("k", "v")]
        caches = {name: np.zeros((1, 2, capacity, 16), np.float32) for name in names}
        calls = [(prefill, rows, padding)] + [(step[None, None], 1, 0) for step in steps]
        logits, filled = [], 0
        for embeds, new, pad in calls:
            got = self.run_graph(
                "llm",
                inputs_embeds=np.pad(embeds, ((0, 0), (0, pad), (0, 0))),
                position_ids=np.arange(filled, filled + new + pad, dtype=np.int32)[None],
                past_valid=(np.arange(capacity)[None] < filled).astype(np.float32),
                new_valid=(np.arange(new + pad)[None] < new).astype(np.float32),
                last_index=np.array([new - 1], np.int32),
                **{f"past_{name}": cache for name, cache in caches.items()},
            )
            logits.append(got[0][0])
            for name, fresh in zip(names, got[1:], strict=True):
                caches[name][:, :, filled : filled + new] = fresh[:, :, :new]
            filled += new
        return np.stack(logits)

    def test_llm_rows_of_a_batch_do_not_mix(self):
        golden = np.load(self.fixture / "golden_llm.npz")
        inputs = [golden[f"{mode}.lm_input"][0] for mode in LLM_MODES]
        longest = max(len(rows) for rows in inputs)
        empty = np.zeros((len(inputs), 2, 1, 16), np.float32)
        got = self.run_graph(
            "llm",
            inputs_embeds=np.stack([np.pad(rows, ((0, longest - len(rows)), (0, 0))) for rows in inputs]),
            position_ids=np.tile(np.arange(longest, dtype=np.int32), (len(inputs), 1)),
            past_valid=np.zeros((len(inputs), 1), np.float32),
            new_valid=np.stack([(np.arange(longest) < len(rows)).astype(np.float32) for rows in inputs]),
            last_index=np.array([len(rows) - 1 for rows in inputs], np.int32),
            **{f"past_{kind}_{layer}": empty for layer in range(2) for kind in ("k", "v")},
        )[0]
        want = np.stack([
            golden[f"{mode}.tf_logits"][0, len(rows) - 1] for mode, rows in zip(LLM_MODES, inputs, strict=True)
        ])
        self.assert_close("llm, three rows at once", got, want)

    def test_flow_encoder(self):
        golden = np.load(self.fixture / "golden_flow.npz")
        for run, (count, streaming, final) in FLOW_RUNS.items():
            token = np.concatenate([golden["prompt_token"], golden["token"][:, :count]], axis=1)
            context = np.zeros((1, LOOK_AHEAD), np.int32) if final else token[:, -LOOK_AHEAD:]
            token = token if final else token[:, :-LOOK_AHEAD]
            length = token.shape[1]
            mu, spks = self.run_graph(
                "flow_encoder",
                token=token,
                context=context,
                context_valid=np.full((1, LOOK_AHEAD, 1), 0 if final else 1, np.float32),
                qend=query_ends(1, length, CHUNK_TOKENS if streaming else None),
                kpos=np.arange(length, dtype=np.int32)[None],
                embedding=golden["embedding"],
            )
            self.assert_close(f"flow {run} mu", mu, golden[f"{run}.mu"])
            if f"{run}.spks" in golden.files:
                self.assert_close(f"flow {run} spks", spks, golden[f"{run}.spks"])

    def test_flow_encoder_ignores_padded_tokens_when_final(self):
        golden = np.load(self.fixture / "golden_flow.npz")
        token = np.concatenate([golden["prompt_token"], golden["token"]], axis=1)
        length, padding = token.shape[1], 7
        mu, _ = self.run_graph(
            "flow_encoder",
            token=token,
            context=np.zeros((1, LOOK_AHEAD), np.int32),
            context_valid=np.zeros((1, LOOK_AHEAD, 1), np.float32),
            qend=query_ends(1, length, None),
            kpos=np.concatenate([np.arange(length - padding), np.full(padding, 1_000_000)]).astype(np.int32)[None],
            embedding=golden["embedding"],
        )
        shorter, _ = self.run_graph(
            "flow_encoder",
            token=token[:, : length - padding],
            context=token[:, length - padding : length - padding + LOOK_AHEAD],
            context_valid=np.ones((1, LOOK_AHEAD, 1), np.float32),
            qend=query_ends(1, length - padding, None),
            kpos=np.arange(length - padding, dtype=np.int32)[None],
            embedding=golden["embedding"],
        )
        self.assert_close("flow, padded tokens", mu[:, :, : shorter.shape[2]], shorter)

    def test_flow_estimator(self):
        golden = np.load(self.fixture / "golden_flow.npz")
        for run, (_, streaming, _) in FLOW_RUNS.items():
            if f"{run}.est0.x" not in golden.files:
                continue
            first = {name: golden[f"{run}.est0.{name}"] for name in ("x", "mask", "mu", "t", "spks", "cond")}
            sixth = first | {name: golden[f"{run}.est6.{name}"] for name in ("x", "t")}
            batch, _, frames = first["x"].shape
            masks = {
                "qend": query_ends(batch, frames, CHUNK_FRAMES if streaming else None),
                "kpos": np.tile(np.arange(frames, dtype=np.int32), (batch, 1)),
            }
            for step, feeds in (("est0", first), ("est6", sixth)):
                (got,) = self.run_graph("flow_estimator", **feeds, **masks)
                self.assert_close(f"flow {run} {step}", got, golden[f"{run}.{step}.out"])

    def test_hift_f0(self):
        golden = np.load(self.fixture / "golden_hift.npz")
        for call in ("call0", "call1"):
            (f0,) = self.run_graph("hift_f0", mel=golden[f"{call}.mel"])
            self.assert_close(f"hift {call} f0", f0, golden[f"{call}.f0"], F0_GATE_HZ)

    def test_hift_decode_given_the_source(self):
        golden = np.load(self.fixture / "golden_hift.npz")
        for call in ("call0", "call1"):
            source = np.pad(golden[f"{call}.source"], ((0, 0), (0, 0), (8, 8)), mode="reflect")
            (wav,) = self.run_graph("hift_decode", mel=golden[f"{call}.mel"], source_pad=source)
            wav[:, :4] *= EDGES
            wav[:, -3:] *= EDGES[:0:-1]
            self.assert_close(f"hift {call} wav", wav.clip(-0.99, 0.99), golden[f"{call}.wav"])


def query_ends(batch: int, length: int, chunk: int | None) -> np.ndarray:
    ends = np.full(length, length) if chunk is None else (np.arange(length) // chunk + 1) * chunk
    return np.tile(ends.astype(np.int32), (batch, 1))


if __name__ == "__main__":
    unittest.main()
