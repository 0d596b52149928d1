"""A bad model folder is refused with everything that is wrong, through the command as a user runs it."""

import contextlib
import copy
import io
import json
import tempfile
import unittest
from pathlib import Path

import torch
import yaml

import export_onnx
from export.tests import tiny_model


class Preflight(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name) / "model"
        tiny_model.write(self.folder)

    def checked(self, *more: str) -> tuple[int, dict, str]:
        """Exit code, the JSON document and what was said."""
        out, said = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
            code = export_onnx.main(["--model-dir", str(self.folder), "--check-only", "--json", *more])
        return code, json.loads(out.getvalue()), said.getvalue()

    def problems(self) -> dict[tuple[str, str], dict]:
        code, document, said = self.checked()
        self.assertEqual(code, 2)
        for problem in document["problems"]:
            self.assertTrue(problem["fix"], problem)
            self.assertIn(problem["what"], said)
        return {(problem["file"], problem["kind"]): problem for problem in document["problems"]}

    def test_a_good_folder_passes(self):
        code, document, _ = self.checked()
        self.assertEqual((code, document["family"]), (0, "cosyvoice2"))

    def test_the_unused_text_head_is_allowed(self):
        head = {"llm.model.lm_head.weight": torch.ones(32, 16)}
        tiny_model.edit(self.folder, "llm", lambda state: state.update(head))
        self.assertEqual(self.checked()[0], 0)

    def test_everything_wrong_is_listed_at_once(self):
        tiny_model.edit(self.folder, "llm", lambda state: state.pop("llm_decoder.bias"))
        tiny_model.edit(self.folder, "flow", lambda state: state.update({"encoder.extra.weight": torch.ones(2)}))
        tiny_model.edit(self.folder, "hift", lambda state: state.update({"conv_pre.weight": torch.ones(4, 3, 7)}))
        found = self.problems()
        self.assertEqual(found.keys(), {("llm.pt", "missing"), ("flow.pt", "unknown"), ("hift.pt", "misshapen")})
        self.assertIn("`llm_decoder.bias` [12]", found["llm.pt", "missing"]["what"])
        self.assertIn("`encoder.extra.weight`", found["flow.pt", "unknown"]["what"])
        self.assertIn("[4, 3, 7]", found["hift.pt", "misshapen"]["what"])
        self.assertIn("[16, 8, 7]", found["hift.pt", "misshapen"]["what"])

    def test_half_a_weight_norm_pair_names_the_missing_half(self):
        def halve(state):
            state["conv_pre.weight_v"] = state.pop("conv_pre.weight")

        tiny_model.edit(self.folder, "hift", halve)
        self.assertIn("conv_pre.weight_v", self.problems()["hift.pt", "missing"]["fix"])

    def test_a_truncated_file_and_a_missing_one(self):
        flow = self.folder / "flow.pt"
        flow.write_bytes(flow.read_bytes()[:-100])
        (self.folder / "hift.pt").unlink()
        self.assertEqual(self.problems().keys(), {("flow.pt", "unreadable"), ("hift.pt", "missing_file")})

    def test_a_damaged_configuration(self):
        (self.folder / "config.yaml").write_text("family: cosyvoice2\nllm: [unclosed\n")
        self.assertEqual(self.problems().keys(), {("config.yaml", "config")})

    def test_a_configuration_without_a_key(self):
        (self.folder / "config.yaml").write_text("family: cosyvoice2\nllm: {}\nflow: {}\nhift: {}\nsampling: {}\n")
        self.assertIn("has no key", self.problems()["config.yaml", "config"]["what"])

    def test_a_configuration_that_describes_no_model(self):
        for part, key, value in (
            ("hift", "upsample_kernels", [16, 11]), ("llm", "hidden", "wide"), ("flow", "dim", -4), ("llm", "heads", 0),
        ):
            document = copy.deepcopy(tiny_model.CONFIG)
            document[part][key] = value
            (self.folder / "config.yaml").write_text(yaml.safe_dump(document))
            code, found, _ = self.checked()
            self.assertEqual((code, found["problems"][0]["kind"]), (2, "config"), key)

    def test_a_folder_without_a_configuration(self):
        (self.folder / "config.yaml").unlink()
        code, document, _ = self.checked()
        self.assertEqual((code, document["problems"][0]["kind"]), (2, "missing_file"))

    def test_other_families_say_what_is_not_exported(self):
        (self.folder / "cosyvoice3.yaml").write_text("sample_rate: 24000\n")
        code, document, _ = self.checked()
        self.assertEqual(code, 1)
        self.assertIn("causal hift", document["error"])
        self.assertIn("--graphs flow_estimator", document["error"])


if __name__ == "__main__":
    unittest.main()
