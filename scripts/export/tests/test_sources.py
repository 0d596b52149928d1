"""The lock file pins every package, and names no place to get it from: that is the user's configuration."""

import re
import unittest
from pathlib import Path

SCRIPTS = Path(__file__).parents[2]
PINNED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[^\s;]+( ; .+)?")
ADDRESS = re.compile(r"https?://|(?:^|\s)(?:-i|--index-url|--extra-index-url|--find-links)\b", re.MULTILINE)


class Sources(unittest.TestCase):
    def test_every_requirement_is_pinned(self):
        lines = (SCRIPTS / "export" / "requirements.lock").read_text().splitlines()
        requirements = [line for line in lines if line and not line.startswith("#")]
        self.assertTrue(requirements)
        for line in requirements:
            self.assertIsNotNone(PINNED.fullmatch(line), line)

    def test_no_address_of_a_package_index(self):
        for path in (SCRIPTS / "export" / "requirements.lock", SCRIPTS / "test-export", SCRIPTS / "export_onnx.py"):
            self.assertIsNone(ADDRESS.search(path.read_text()), path.name)


if __name__ == "__main__":
    unittest.main()
