"""Tagged YAML is data."""

import tempfile
import unittest
from pathlib import Path

import yaml

from export.tagged_yaml import parse


class TaggedYaml(unittest.TestCase):
    def test_tags_become_their_arguments(self):
        document = parse(
            "rate: 25\n"
            "seed: !apply:random.seed [1986]\n"
            "model: !new:package.Model\n"
            "    size: 512\n"
            "    sampling: !name:package.sample\n"
            "        top_k: 25\n"
        )
        self.assertEqual(document["seed"], [1986])
        self.assertEqual(document["model"], {"size": 512, "sampling": {"top_k": 25}})

    def test_references_and_products_resolve(self):
        document = parse("a: 25\nb: 2\nc: !ref <a>\nd: !ref <a> * <b>\ne: [!ref <b>]\nf: !ref <c>/sub\n")
        self.assertEqual((document["c"], document["d"], document["e"], document["f"]), (25, 50, [2], "<c>/sub"))

    def test_nothing_is_executed(self):
        with tempfile.TemporaryDirectory() as folder:
            marker = Path(folder) / "executed"
            calls = (
                f"a: !apply:os.mkdir [{marker}]\n",
                f"a: !new:pathlib.Path.mkdir\n  self: {marker}\n",
                f"a: !name:os.mkdir\n  path: {marker}\n",
            )
            for text in calls:
                parse(text)
                self.assertFalse(marker.exists(), text)

    def test_python_objects_are_refused(self):
        for tag in ("!!python/object/apply:os.getcwd []", "!!python/name:os.getcwd", "!!python/module:os"):
            with self.assertRaises(yaml.YAMLError, msg=tag):
                parse(f"a: {tag}\n")

    def test_bad_references_are_refused(self):
        for text in ("a: !ref <missing>\n", "a: !ref <b>\nb: !ref <a>\n", "- 1\n"):
            with self.assertRaises(ValueError, msg=text):
                parse(text)


if __name__ == "__main__":
    unittest.main()
