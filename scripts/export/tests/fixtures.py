"""Where the reduced-width model and its recorded results are, when the environment says so."""

import os
import sys
import unittest
from pathlib import Path

VARIABLE = "CVTRT_FIXTURES"
FAMILY = "cosyvoice2-tiny"


def fixture_or_skip(test: unittest.TestCase, family: str = FAMILY) -> Path:
    """The folder `$CVTRT_FIXTURES/<family>`; skips the test, audibly, where the variable is not set."""
    root = os.environ.get(VARIABLE)
    if not root:
        print(f"SKIP {test.id()}: {VARIABLE} does not name the folder of the fixtures", file=sys.stderr)
        test.skipTest(f"{VARIABLE} is not set")
    folder = Path(root) / family
    if not folder.is_dir():
        test.fail(f"{VARIABLE} is set, but {folder} does not exist")
    return folder
