"""Which files a model folder has, as `checkpoint.json` says; `cvtrt export` reads it too, before Python is needed."""

import json
from pathlib import Path

_LAYOUT = json.loads((Path(__file__).parent / "checkpoint.json").read_text(encoding="utf-8"))
_FAMILIES = _LAYOUT["families"]

# Stems of the state dicts, and the endings they may have; the first that is there is taken.
CHECKPOINTS = tuple(_LAYOUT["weights"])
SUFFIXES = tuple(_LAYOUT["suffixes"])
# The released file names; the name decides the family. `config.yaml` is the flat form, which names its family inside.
FAMILY_FILES = {family: facts["configuration"] for family, facts in _FAMILIES.items()}
FLAT_FILE = _LAYOUT["flat_configuration"]
# What exporting a family would need.
NOT_EXPORTED = {family: facts["not_exported"] for family, facts in _FAMILIES.items() if "not_exported" in facts}
# Graphs that are exported by name from a family whose others are not, and the checkpoints they come from.
BY_NAME = {
    family: (frozenset(facts["by_name"]["graphs"]), tuple(facts["by_name"]["weights"]))
    for family, facts in _FAMILIES.items() if "by_name" in facts
}
