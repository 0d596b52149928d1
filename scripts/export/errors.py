"""What can go wrong, as values."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a model folder, and what to do about it."""

    file: str
    kind: str  # missing_file | unreadable | config | missing | unknown | misshapen
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what}"

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


class ModelFolderError(Exception):
    """The model folder cannot be exported; carries everything that is wrong with it."""

    def __init__(self, problems: list[Problem]):
        super().__init__(f"{len(problems)} problem(s) in the model folder")
        self.problems = problems


class ExportError(Exception):
    """The folder is fine, but the export did not succeed."""
