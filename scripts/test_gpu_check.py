"""Parts of `scripts/gpu-check` that no check without a GPU comes to; tests/gpu_check.rs runs this."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import gpu_report
from bench_sentences import STAGE_GRAPHS, stage_precisions
from gpu_check import Check, do
from gpu_machine import Machine, device_mib, growth

SMI = {
    "two GPUs": ("echo 100; echo 23", 123),
    "a part of a GPU": ("echo '[N/A]'", None),
    "one of two unreadable": ("echo 100; echo '[Insufficient Permissions]'", None),
    "no GPU": ("true", None),
    "no driver": ("echo 100; exit 9", None),
}


class DeviceMemory(unittest.TestCase):
    def test_is_that_of_all_gpus_or_unknown(self):
        for name, (script, expected) in SMI.items():
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                program = Path(folder, "nvidia-smi")
                program.write_text(f"#!/bin/sh\n{script}\n")
                program.chmod(0o755)
                with mock.patch.dict(os.environ, PATH=f"{folder}:{os.environ['PATH']}"):
                    self.assertEqual(device_mib(), expected)

    def test_is_unknown_without_the_program(self):
        with tempfile.TemporaryDirectory() as empty, mock.patch.dict(os.environ, PATH=empty):
            self.assertIsNone(device_mib())

    def test_growth_is_unknown_where_either_is(self):
        self.assertEqual([growth(100, 350), growth(None, 350), growth(100, None)], [250, None, None])


class Steps(unittest.TestCase):
    def test_one_that_breaks_is_a_row_that_says_so(self):
        def breaks(_):
            raise subprocess.CalledProcessError(9, "nvidia-smi")

        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "logs").mkdir()
            row = do(Check(Path(folder), Machine("", [])), "ready", breaks)
        self.assertEqual(row["result"], "failed")
        self.assertIn("CalledProcessError", row["why"])


class Command(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def run_with(self, *words: object, **variables: object) -> subprocess.CompletedProcess:
        program = [sys.executable, Path(__file__).with_name("gpu_check.py"), *words]
        plain = {name: value for name, value in os.environ.items() if not name.startswith("CVTRT")}
        variables = {name: str(value) for name, value in variables.items()}
        return subprocess.run(program, cwd=self.folder, env=plain | variables, capture_output=True, text=True, check=False)

    def refused(self, *words: object, **variables: object) -> str:
        """The last line of what is said where the arguments cannot be used."""
        done = self.run_with(*words, **variables)
        self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        return done.stderr.splitlines()[-1]

    def test_a_file_where_a_folder_is_due_is_named(self):
        file = self.folder / "file"
        file.write_text("kept")
        for out in [file, file / "below"]:
            self.assertIn(f"error: {out} is no folder for a report: Not a directory", self.refused(out))
        self.assertEqual(file.read_text(), "kept")

    def test_a_report_that_is_none_is_named_and_kept(self):
        report = self.folder / "report.json"
        for content in ["[", "[]", "{}"]:
            report.write_text(content)
            self.assertIn(f"{report} is no report to go on from", self.refused(self.folder))
            self.assertEqual(report.read_text(), content)

    def test_a_variable_that_names_no_program_is_named(self):
        file = self.folder / "file"
        file.write_text("not executable")
        for named in [self.folder / "missing", file, self.folder]:
            self.assertIn(f"CVTRT names no program: {named}; ", self.refused("out", CVTRT=named))
        self.assertFalse((self.folder / "out").exists())

    def test_a_variable_without_a_folder_is_as_good_as_none(self):
        usual, empty = self.run_with("out", "--list"), self.run_with("out", "--list", CVTRT_RUNTIME_DIRS=":")
        self.assertEqual((empty.returncode, empty.stdout), (0, usual.stdout), empty.stderr)

    def test_a_reader_that_goes_is_no_failure(self):
        program = [sys.executable, Path(__file__).with_name("gpu_check.py"), "out", "--list"]
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(program, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
        os.close(writer)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


class Report(unittest.TestCase):
    def test_a_stage_is_credited_to_the_precision_that_served_it(self):
        halves = {"llm", "flow_estimator"}
        graphs = {graph for of_stage in STAGE_GRAPHS.values() for graph in of_stage}
        spoken = {"served": [{"graph": graph, "precision": "fp16" if graph in halves else "fp32"} for graph in graphs]}
        precisions = stage_precisions(spoken)
        self.assertEqual(precisions, {"prefill": "fp16", "decode step": "fp16", "flow": "fp32/fp16", "vocoder": "fp32"})

        times = {"prefill": 9.0, "decode step": 0.5, "flow": 20.0, "vocoder": 4.0}
        figures = {"tier": "trt-fp16", "stages": times, "precisions": precisions}
        row = {"step": "stages tensorrt-10 fp16", "result": "worked", "why": "", "figures": figures, "seconds": 1.0}
        text = gpu_report.text(Machine("", []), {row["step"]: row})
        self.assertIn("| vocoder under 5.0 ms | 4 ms (trt-fp16, served in fp32) | yes |", text)
        self.assertIn("| trt-fp16 | 9 ms in fp16 | 0.5 ms in fp16 | 20 ms in fp32/fp16 | 4 ms in fp32 |", text)


if __name__ == "__main__":
    unittest.main()
