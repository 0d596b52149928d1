"""The v3 flow estimator: its contract, its independence of padding, and the recorded results of the original."""

import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from export import preflight
from export.exporting import ExportOptions, export
from export.tests import tiny_model
from export.tests.fixtures import fixture_or_skip
from export.tests.test_export import FORBIDDEN, described

GRAPHS = ["flow_estimator"]
GATE = 1e-4
CHUNK_FRAMES = 50
PADDED_KEY = 1_000_000
# Run → streaming.
RUNS = {"full": False, "chunk1": True, "last_streaming": True}


class Dit(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)

    def exported(self, model: Path) -> Path:
        bundle = self.root / "bundle"
        export(preflight.check(model, GRAPHS), bundle, ExportOptions(graphs=GRAPHS), report=lambda graph: None)
        return bundle / "flow_estimator.onnx"

    def tiny(self) -> Path:
        tiny_model.write(self.root / "model", tiny_model.COSYVOICE3)
        return self.exported(self.root / "model")

    def test_the_signature_is_that_of_every_estimator(self):
        graph = onnx.load(self.tiny()).graph
        self.assertEqual(described(graph), (
            "x f32 [batch, 8, frames]", "mask f32 [batch, 1, frames]", "mu f32 [batch, 8, frames]", "t f32 [batch]",
            "spks f32 [batch, 8]", "cond f32 [batch, 8, frames]", "qend i32 [batch, frames]",
            "kpos i32 [batch, frames]", "→", "estimator_out f32 [batch, 8, frames]",
        ))
        self.assertFalse({node.op_type for node in graph.node} & FORBIDDEN)

    def test_padding_and_other_rows_change_nothing(self):
        session = onnxruntime.InferenceSession(self.tiny(), providers=["CPUExecutionProvider"])
        random = np.random.default_rng(1)
        frames, padding = 60, 9
        alone = feeds(random, frames, chunk=CHUNK_FRAMES)
        (want,) = session.run(None, alone)
        padded = {
            name: np.pad(value, [(0, 0)] * (value.ndim - 1) + [(0, padding if value.shape[-1] == frames else 0)])
            for name, value in alone.items()
        }
        padded["kpos"][:, frames:] = PADDED_KEY
        other = feeds(random, frames + padding, chunk=None)
        (got,) = session.run(None, {name: np.concatenate([padded[name], other[name]]) for name in padded})
        np.testing.assert_allclose(got[:1, :, :frames], want, atol=1e-5)
        np.testing.assert_array_equal(got[:1, :, frames:], 0)

    def test_the_recorded_steps(self):
        fixture = fixture_or_skip(self, "cosyvoice3-tiny")
        session = onnxruntime.InferenceSession(self.exported(fixture), providers=["CPUExecutionProvider"])
        golden = np.load(fixture / "golden_flow.npz")
        for run, streaming in RUNS.items():
            first = {name: golden[f"{run}.est0.{name}"] for name in ("x", "mask", "mu", "t", "spks", "cond")}
            sixth = first | {name: golden[f"{run}.est6.{name}"] for name in ("x", "t")}
            masks = visibility(*first["mask"].shape[::2], CHUNK_FRAMES if streaming else None)
            for step, inputs in (("est0", first), ("est6", sixth)):
                (got,) = session.run(None, inputs | masks)
                error = float(np.abs(got - golden[f"{run}.{step}.out"]).max())
                print(f"dit {run:16} {step} max abs error {error:.2e}, gate {GATE:.0e}", file=sys.stderr)
                self.assertLessEqual(error, GATE, (run, step))


def feeds(random: np.random.Generator, frames: int, chunk: int | None) -> dict[str, np.ndarray]:
    mel = (1, 8, frames)
    floats = {"x": mel, "mu": mel, "cond": mel, "spks": (1, 8)}
    return {
        **{name: random.standard_normal(shape).astype(np.float32) for name, shape in floats.items()},
        "mask": np.ones((1, 1, frames), np.float32),
        "t": random.random(1, np.float32),
        **visibility(1, frames, chunk),
    }


def visibility(batch: int, frames: int, chunk: int | None) -> dict[str, np.ndarray]:
    ends = np.full(frames, frames) if chunk is None else (np.arange(frames) // chunk + 1) * chunk
    return {
        name: np.tile(row.astype(np.int32), (batch, 1)) for name, row in (("qend", ends), ("kpos", np.arange(frames)))
    }


if __name__ == "__main__":
    unittest.main()
