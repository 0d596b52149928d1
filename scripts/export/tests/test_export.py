"""What an export writes: the contract of `onnx/README.md`, the same bytes every time, and nothing half done."""

import contextlib
import hashlib
import io
import json
import tempfile
import unittest
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import yaml
from onnx import TensorProto
from safetensors import safe_open

import export_onnx
from export import preflight, tokenizer, writing
from export.config import QWEN_FOLDER
from export.exporting import ExportOptions, export
from export.graphs import graphs
from export.tests import tiny_model
from export.tracing import OPSET, traced

# Random numbers, running sums, control flow, and data-dependent sizes have no place in the graphs.
FORBIDDEN = {
    "RandomNormal", "RandomUniform", "RandomNormalLike", "CumSum", "If", "Loop", "Scan", "NonZero", "Range", "Identity",
    "Constant", "Dropout", "Pad", "Resize", "ScatterND", "Einsum",
}
SIGNATURES = {
    "llm": (
        "inputs_embeds f32 [batch, new, 16]", "position_ids i32 [batch, new]", "past_valid f32 [batch, past]",
        "new_valid f32 [batch, new]", "last_index i32 [batch]", "past_k_0 f32 [batch, 2, past, 4]",
        "past_v_0 f32 [batch, 2, past, 4]", "→", "logits f32 [batch, 12]", "new_k_0 f32 [batch, 2, new, 4]",
        "new_v_0 f32 [batch, 2, new, 4]",
    ),
    "flow_encoder": (
        "token i32 [1, tokens]", "context i32 [1, 3]", "context_valid f32 [1, 3, 1]", "qend i32 [1, tokens]",
        "kpos i32 [1, tokens]", "embedding f32 [1, 12]", "→", "mu f32 [1, 8, 2*tokens]", "spks f32 [1, 8]",
    ),
    "flow_estimator": (
        "x f32 [batch, 8, frames]", "mask f32 [batch, 1, frames]", "mu f32 [batch, 8, frames]", "t f32 [batch]",
        "spks f32 [batch, 8]", "cond f32 [batch, 8, frames]", "qend i32 [batch, frames]", "kpos i32 [batch, frames]",
        "→", "estimator_out f32 [batch, 8, frames]",
    ),
    "hift_f0": ("mel f32 [1, 8, frames]", "→", "f0 f32 [1, frames]"),
    "hift_decode": (
        "mel f32 [1, 8, frames]", "source_pad f32 [1, 1, 480*frames+16]", "→", "wav_raw f32 [1, 480*frames]",
    ),
}


class Export(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.model = self.root / "model"
        tiny_model.write(self.model)

    def exported(self, name: str = "bundle", *more: str) -> tuple[int, Path, dict]:
        out, said = io.StringIO(), io.StringIO()
        bundle = self.root / name
        limits = ["--max-positions", "64", "--max-tokens", "80"]
        arguments = ["--model-dir", str(self.model), "--out", str(bundle), "--json", "--name", "small", *limits, *more]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
            code = export_onnx.main(arguments)
        return code, bundle, json.loads(out.getvalue())

    def test_graphs_have_the_signatures_of_the_contract(self):
        _, bundle, _ = self.exported()
        for graph, signature in SIGNATURES.items():
            model = onnx.load(bundle / f"{graph}.onnx")
            self.assertEqual(described(model.graph), signature, graph)
            self.assertEqual([(opset.domain, opset.version) for opset in model.opset_import], [("", OPSET)], graph)
            operators = {node.op_type for node in model.graph.node}
            self.assertFalse(operators & FORBIDDEN, graph)
            used = {name for node in model.graph.node for name in node.input}
            unused = {tensor.name for tensor in model.graph.initializer} - used
            self.assertFalse(unused, f"{graph}: unused initialisers")

    def test_the_manifest_lists_exactly_the_files(self):
        code, bundle, document = self.exported()
        manifest = yaml.safe_load((bundle / "bundle.yaml").read_text())
        self.assertEqual(code, 0)
        found = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()} - {"bundle.yaml"}
        self.assertEqual(manifest["files"].keys(), found)
        for name, entry in manifest["files"].items():
            content = (bundle / name).read_bytes()
            self.assertEqual(entry, {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}, name)
        self.assertEqual(manifest["graphs"].keys(), SIGNATURES.keys())
        self.assertEqual([graph["graph"] for graph in document["graphs"]], list(SIGNATURES))

    def test_a_folder_without_tokenizer_and_encoders_says_what_it_lacks(self):
        _, bundle, _ = self.exported()
        manifest = yaml.safe_load((bundle / "bundle.yaml").read_text())
        self.assertEqual(manifest["modes"], [])
        self.assertIsNone(manifest["tokenizer"])
        self.assertEqual(manifest["lacks"]["zero_shot"], "no tokenizer")
        self.assertEqual(manifest["lacks"]["vc"], "no speech_tokenizer and no campplus")

    def test_exporting_twice_gives_identical_bytes(self):
        self.exported("first")
        self.exported("second")
        first, second = (
            {path.relative_to(self.root / name): path.read_bytes() for path in (self.root / name).rglob("*.*")
             if path.is_file()}
            for name in ("first", "second")
        )
        self.assertEqual(first.keys(), second.keys())
        for name, content in first.items():
            self.assertEqual(content, second[name], name)

    def test_voices_and_tokenizer_of_the_folder_go_into_the_bundle(self):
        self.write_tokenizer()
        embedding = torch.arange(12.0)[None]
        prompted = {
            "prompt_text": torch.tensor([[0, 1, 3]]),
            "flow_prompt_speech_token": torch.arange(5, dtype=torch.int32)[None],
            "prompt_speech_feat": torch.ones(1, 9, 8),
            "flow_embedding": embedding,
        }
        torch.save({"plain": {"embedding": embedding}, "a/b": prompted}, self.model / "spk2info.pt")
        _, bundle, _ = self.exported()
        manifest = yaml.safe_load((bundle / "bundle.yaml").read_text())
        self.assertEqual(manifest["modes"], ["sft", "zero_shot", "cross_lingual", "instruct2"])
        self.assertEqual(manifest["tokenizer"]["endofprompt"], 6)
        with safe_open(bundle / "voices" / "a_b.safetensors", framework="np") as voice:
            self.assertEqual(voice.metadata(), {"transcript": "!\"<|endoftext|>"})
            self.assertEqual(voice.get_tensor("prompt_token").tolist(), [0, 1, 2, 3])
            self.assertEqual(voice.get_tensor("prompt_mel").shape, (8, 8))
        with safe_open(bundle / "voices" / "plain.safetensors", framework="np") as voice:
            self.assertEqual(voice.get_tensor("prompt_mel").shape, (0, 8))
            np.testing.assert_array_equal(voice.get_tensor("embedding"), np.arange(12.0))

    def test_a_tokenizer_larger_than_the_text_embedding_is_refused(self):
        self.write_tokenizer(words=40)
        code, bundle, document = self.exported()
        self.assertEqual((code, document["problems"][0]["file"]), (2, f"{QWEN_FOLDER}/vocab.json"))
        self.assertFalse(bundle.exists())

    def write_tokenizer(self, words: int = 3) -> None:
        folder = self.model / QWEN_FOLDER
        folder.mkdir()
        alphabet = [tokenizer.byte_alphabet()[ord("!") + index] for index in range(words)]
        (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(alphabet)}))
        (folder / "merges.txt").write_text("#version: 0.2\n")

    def test_selected_graphs_only(self):
        _, bundle, _ = self.exported("bundle", "--graphs", "hift")
        manifest = yaml.safe_load((bundle / "bundle.yaml").read_text())
        self.assertEqual(list(manifest["graphs"]), ["hift_f0", "hift_decode"])
        self.assertEqual(manifest["lacks"]["sft"], "exported without llm, flow_encoder, flow_estimator")

    def test_an_unknown_graph_is_a_bad_argument(self):
        with self.assertRaises(SystemExit) as raised:
            self.exported("bundle", "--graphs", "hifi")
        self.assertEqual(raised.exception.code, 2)

    def test_a_folder_that_is_no_bundle_is_left_alone(self):
        (self.root / "photos").mkdir()
        (self.root / "photos" / "keep.jpg").write_bytes(b"x")
        code, _, document = self.exported("photos")
        self.assertEqual(code, 1)
        self.assertIn("is not a bundle", document["error"])
        self.assertEqual([path.name for path in (self.root / "photos").iterdir()], ["keep.jpg"])

    def test_a_graph_that_differs_from_its_module_fails_and_leaves_the_older_bundle(self):
        _, bundle, _ = self.exported()
        before = (bundle / "bundle.yaml").read_bytes()

        def poison(state):
            state["final"] = state.pop("conv_post.bias")
            state["conv_post.bias"] = torch.full_like(state.pop("final"), float("nan"))

        tiny_model.edit(self.model, "hift", poison)
        code, _, document = self.exported()
        self.assertEqual(code, 1)
        self.assertIn("`hift_decode` differs", document["error"])
        self.assertEqual((bundle / "bundle.yaml").read_bytes(), before)
        self.assertEqual(sorted(path.name for path in self.root.iterdir()), ["bundle", "model"])

    def test_large_graphs_keep_their_weights_outside(self):
        folder = preflight.check(self.model)
        graph = graphs(folder.config, max_positions=2048, max_tokens=80)[0]
        graph.load(folder.checkpoints["llm"])
        model = traced(graph)
        inside, outside = self.root / "inside", self.root / "outside"
        inside.mkdir()
        outside.mkdir()
        self.assertEqual(writing.write(model, inside, "llm"), ["llm.onnx"])
        self.assertEqual(writing.write(model, outside, "llm", external_bytes=0), ["llm.onnx", "llm.onnx.data"])
        feeds = graph.feeds(graph.trials[0], np.random.default_rng(3))
        results = [
            onnxruntime.InferenceSession(path / "llm.onnx", providers=["CPUExecutionProvider"]).run(None, feeds)
            for path in (inside, outside)
        ]
        for first, second in zip(*results, strict=True):
            np.testing.assert_array_equal(first, second)
        stored = onnx.load(outside / "llm.onnx", load_external_data=False)
        kept = [tensor for tensor in stored.graph.initializer if tensor.data_location == TensorProto.EXTERNAL]
        self.assertTrue(kept)
        for tensor in kept:
            entries = {entry.key: entry.value for entry in tensor.external_data}
            self.assertEqual(int(entries["offset"]) % writing.ALIGNMENT, 0)

    def test_exporting_does_not_change_the_checkpoints(self):
        before = {path.name: path.read_bytes() for path in self.model.iterdir()}
        export(preflight.check(self.model), self.root / "bundle", ExportOptions(max_positions=64, max_tokens=80),
               report=lambda graph: None)
        self.assertEqual({path.name: path.read_bytes() for path in self.model.iterdir()}, before)


def described(graph: onnx.GraphProto) -> tuple[str, ...]:
    return (*map(_port, graph.input), "→", *map(_port, graph.output))


def _port(value: onnx.ValueInfoProto) -> str:
    tensor = value.type.tensor_type
    dtype = {TensorProto.FLOAT: "f32", TensorProto.INT32: "i32"}.get(tensor.elem_type, str(tensor.elem_type))
    dims = ", ".join(dim.dim_param or str(dim.dim_value) for dim in tensor.shape.dim)
    return f"{value.name} {dtype} [{dims}]"


if __name__ == "__main__":
    unittest.main()
