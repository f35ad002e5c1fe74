"""How a toy entry is put into a copy of the project. No tests here."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("compute", "dashboard", "docs", "tests")
"""Folders that a recipe may change; files at the top are copied as well, `data` is linked."""


@dataclass(frozen=True)
class Edit:
    """One change of a file.

    Parameters
    ----------
    file
        Path in the project.
    text
        What is added; the whole of a file that is not there yet.
    before
        The place: `text` goes in front of this, which must stand in the file once.
    """

    file: str
    text: str
    before: str = ""


@dataclass(frozen=True)
class Toy:
    """A toy entry that follows a recipe.

    Parameters
    ----------
    recipe
        Heading of the recipe in CONTRIBUTING.md.
    edits
        Its changes; together they touch exactly the files that the recipe names.
    tests
        Tests of the project, run over the registries with the toy in them.
    script
        A program that uses the toy as a person would, and fails where it does not work.
    """

    recipe: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]
    script: str

    @property
    def files(self) -> set[str]:
        """The files that it touches."""
        return {edit.file for edit in self.edits}


def copy_project(folder: Path) -> Path:
    """Copy what recipes may change; compiled code comes along."""
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy2(path, folder)
    (folder / "data").symlink_to(ROOT / "data")
    return folder


def apply(toy: Toy, project: Path, *, without: str = "") -> None:
    """Put a toy into a copy, all of it or without one file."""
    for edit in toy.edits:
        path = project / edit.file
        if edit.file == without:
            continue
        if not edit.before:
            assert not path.exists(), f"{edit.file} is there already"
            path.write_text(edit.text, "utf-8")
            continue
        text = path.read_text("utf-8")
        assert text.count(edit.before) == 1, f"{edit.file}: {edit.before!r} is not there once"
        path.write_text(text.replace(edit.before, edit.text + edit.before), "utf-8")


def run(project: Path, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run Python in a copy, on the copy's code alone."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
