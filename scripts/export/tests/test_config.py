"""The released, tagged configuration gives the dimensions of the released weights."""

import json
import tempfile
import unittest
from pathlib import Path

import make_full_size
from export import config, preflight
from export.config import QWEN_FOLDER
from export.errors import ModelFolderError

# Tensors of the released v2 checkpoints without the unused text head; hift counts a weight-norm pair once.
TENSORS = {"llm": 294, "flow": 1121, "hift": 246}
SAMPLES = {
    "llm": {
        "llm.model.model.embed_tokens.weight": (151936, 896),
        "llm.model.model.layers.23.self_attn.k_proj.weight": (128, 896),
        "llm_decoder.weight": (6564, 896),
    },
    "flow": {
        "encoder.up_encoders.3.self_attn.pos_bias_v": (8, 64),
        "decoder.estimator.up_blocks.0.0.block1.block.0.weight": (256, 512, 3),
        "decoder.estimator.mid_blocks.11.1.3.ff.net.0.proj.weight": (1024, 256),
    },
    "hift": {"ups.1.weight": (256, 128, 11), "source_downs.0.weight": (256, 18, 30), "conv_post.weight": (18, 64, 7)},
}


class Config(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        (self.folder / "cosyvoice2.yaml").write_text(make_full_size.COSYVOICE2_YAML)

    def write_qwen(self, **changes) -> None:
        (self.folder / QWEN_FOLDER).mkdir()
        document = make_full_size.QWEN2_CONFIG | changes
        (self.folder / QWEN_FOLDER / "config.json").write_text(json.dumps(document))

    def test_the_released_configuration(self):
        self.write_qwen()
        loaded = config.load(self.folder, shapes={})
        self.assertEqual((loaded.llm.heads, loaded.llm.head_dim, loaded.llm.stop), (14, 64, (6561, 6563)))
        self.assertEqual((loaded.flow.chunk_tokens, loaded.flow.guidance), (25, 0.7))
        self.assertEqual((loaded.hift.samples_per_frame, loaded.hift.harmonics), (480, 9))
        expected = preflight.expected_shapes(loaded)
        self.assertEqual({stem: len(shapes) for stem, shapes in expected.items()}, TENSORS)
        for stem, shapes in SAMPLES.items():
            for name, shape in shapes.items():
                self.assertEqual(expected[stem][name], shape, name)

    def test_dimensions_of_the_language_model_come_from_the_weights_without_its_configuration(self):
        self.write_qwen()
        known = config.load(self.folder, shapes={})
        shapes = preflight.expected_shapes(known)
        (self.folder / QWEN_FOLDER / "config.json").unlink()
        self.assertEqual(config.load(self.folder, shapes), known)

    def test_without_either_the_configuration_is_asked_for(self):
        with self.assertRaises(ModelFolderError) as raised:
            config.load(self.folder, shapes={})
        (problem,) = raised.exception.problems
        self.assertEqual(problem.file, f"{QWEN_FOLDER}/config.json")

    def test_depth_follows_the_configuration(self):
        self.write_qwen(num_hidden_layers=3)
        expected = preflight.expected_shapes(config.load(self.folder, shapes={}))
        self.assertEqual(len(expected["llm"]), TENSORS["llm"] - 21 * 12)

    def test_a_damaged_language_model_configuration(self):
        self.write_qwen(num_attention_heads=None)
        (self.folder / QWEN_FOLDER / "config.json").write_text("{")
        with self.assertRaises(ModelFolderError) as raised:
            config.load(self.folder, shapes={})
        self.assertEqual(raised.exception.problems[0].kind, "config")


if __name__ == "__main__":
    unittest.main()
