"""Checkpoints are read by the module's own names."""

import tempfile
import unittest
from pathlib import Path

import torch
from safetensors.torch import save_file

from export.checkpoint import Checkpoint
from export.errors import ModelFolderError


class Checkpoints(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def saved(self, tensors: dict, name: str = "hift.pt") -> Path:
        path = self.folder / name
        save_file(tensors, path) if path.suffix == ".safetensors" else torch.save(tensors, path)
        return path

    def test_weight_norm_is_folded_under_both_namings(self):
        reference = torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv1d(4, 6, 3))
        with torch.no_grad():
            reference.parametrizations.weight.original0.uniform_(0.5, 2)
        gain = reference.parametrizations.weight.original0.detach()
        direction = reference.parametrizations.weight.original1.detach()
        for names in (("c.parametrizations.weight.original0", "c.parametrizations.weight.original1"),
                      ("c.weight_g", "c.weight_v")):
            for file in ("hift.pt", "hift.safetensors"):
                checkpoint = Checkpoint(self.saved(dict(zip(names, (gain, direction), strict=True)), file))
                self.assertEqual(checkpoint.shapes, {"c.weight": (6, 4, 3)}, names)
                torch.testing.assert_close(checkpoint.tensor("c.weight"), reference.weight.detach())

    def test_weight_norm_of_a_transposed_convolution_is_over_its_inputs(self):
        gain, direction = torch.full((4, 1, 1), 3.0), torch.randn(4, 6, 3)
        checkpoint = Checkpoint(self.saved({"up.weight_g": gain, "up.weight_v": direction}))
        norms = checkpoint.tensor("up.weight").flatten(1).norm(dim=1)
        torch.testing.assert_close(norms, torch.full((4,), 3.0))

    def test_generator_prefix_is_stripped_only_from_all(self):
        both = {"generator.a.weight": torch.ones(2), "generator.b.bias": torch.ones(3)}
        self.assertEqual(Checkpoint(self.saved(both)).shapes, {"a.weight": (2,), "b.bias": (3,)})
        mixed = {"generator.a.weight": torch.ones(2), "b.bias": torch.ones(3)}
        self.assertEqual(Checkpoint(self.saved(mixed)).shapes, {"generator.a.weight": (2,), "b.bias": (3,)})

    def test_half_precision_is_read_as_float32(self):
        checkpoint = Checkpoint(self.saved({"a.weight": torch.ones(2, dtype=torch.float16)}))
        self.assertEqual(checkpoint.tensor("a.weight").dtype, torch.float32)
        self.assertEqual(checkpoint.stored("a.weight").dtype, torch.float16)

    def test_training_state_beside_the_parameters_is_skipped(self):
        self.assertEqual(Checkpoint(self.saved({"a": torch.ones(2), "epoch": 7, "step": 9})).shapes, {"a": (2,)})

    def test_truncated_and_foreign_files_are_problems_of_the_folder(self):
        for name in ("llm.pt", "llm.safetensors"):
            path = self.saved({"a": torch.zeros(5000)}, name)
            whole = path.read_bytes()
            for content in (whole[: len(whole) // 2], whole[:-7], b"", b"not a checkpoint"):
                path.write_bytes(content)
                with self.assertRaises(ModelFolderError, msg=f"{name}, {len(content)} bytes") as raised:
                    Checkpoint(path)
                (problem,) = raised.exception.problems
                self.assertEqual((problem.file, problem.kind), (name, "unreadable"))


if __name__ == "__main__":
    unittest.main()
