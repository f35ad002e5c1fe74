"""The published results: fifteen CSV files of pair tests.

Layer: reads CSV files, returns tables; needs no torch.

What is in it
    For each of PIFiA, Paired Cell Inpainting and DeepLoc, five files of pair tests of the 15
    localizations, `results_<base, same, diff, batch, mask>.csv`: 105 pairs of classes, and where
    a background class applies 1,575 rows, 210 of them on a background of the pair's own classes.
    `Accuracy` is a mean over five folds, 0 to 1, `StdDev` the standard deviation over them. No
    cells, proteins or predictions.
Publication
    Gupta, Moses and Lu, "Representation Learning Methods for Single-Cell Microscopy are
    Confounded by Background Cells", 2025.
Licence
    None is stated with the files.
Address
    https://github.com/microsoft/microscopy-sc-robustness, folder `swap_experiments/results`.
"""

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from compute.errors import InputError
from compute.paper import table_1
from compute.paper.table_1 import CROPS_PER_CLASS, MODELS
from compute.schema import CONDITIONS, LOCALIZATIONS, PAIRWISE, Condition, Protocol

PAPER_CONDITIONS = tuple(c for c, spec in CONDITIONS.items() if spec.paper_key)
"""The conditions that the paper has."""

_PAIR = ("Location1", "Location2")
_VALUES = ("Accuracy", "StdDev")


@dataclass(frozen=True)
class PublishedTest:
    """A pair test, one row of a file.

    Parameters
    ----------
    first, second
        Its two classes.
    background
        Class of the background; None where the condition has none.
    accuracy, std
        Mean and standard deviation over folds, shares from 0 to 1.
    """

    first: str
    second: str
    background: str | None
    accuracy: float
    std: float

    @property
    def key(self) -> tuple[frozenset[str], str | None]:
        """What tells a test from every other of its file: its classes and its background."""
        return frozenset((self.first, self.second)), self.background

    @property
    def own(self) -> bool:
        """Whether the background is of one of the pair's classes."""
        return self.background in (self.first, self.second)


Tests = Mapping[tuple[str, Condition], list[PublishedTest]]
"""Every file's tests, by model and condition."""


def published_files(source: Path) -> dict[tuple[str, Condition], Path]:
    """Find the fifteen files, by model and condition.

    Parameters
    ----------
    source
        Folder in which each model has a folder.

    Raises
    ------
    InputError
        A file is missing.
    """
    files = {
        (model, condition): source / spec.folder / f"results_{CONDITIONS[condition].paper_key}.csv"
        for model, spec in MODELS.items()
        for condition in PAPER_CONDITIONS
    }
    missing = [path for path in files.values() if not path.is_file()]
    if missing:
        keys = ",".join(str(CONDITIONS[condition].paper_key) for condition in PAPER_CONDITIONS)
        folders = ",".join(spec.folder for spec in MODELS.values())
        what = f"{source} is not a folder" if not source.is_dir() else f"{missing[0]} is missing"
        more = f" (and {len(missing) - 1} more)" if source.is_dir() and len(missing) > 1 else ""
        raise InputError(
            f"{what}{more}.",
            f"Expected the {len(files)} files {{{folders}}}/results_{{{keys}}}.csv; they are at "
            f"{_where()}.",
        )
    return files


def read_tests(path: Path) -> list[PublishedTest]:
    """Read one file.

    Returns
    -------
    list of PublishedTest
        Its tests, in the order of its rows.

    Raises
    ------
    InputError
        A column is missing or unknown, a class is not one of the 15, a number is missing or out
        of range, or a test stands there twice; names the file and the row.
    """
    grid = CONDITIONS[_condition_of(path)].grid
    expected = (*_PAIR, *(("Background",) if grid else ()), *_VALUES)
    tests: list[PublishedTest] = []
    seen: dict[tuple[frozenset[str], str | None], int] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle)
            _check_columns(path, reader.fieldnames or (), expected)
            for row in reader:
                test = _test(row, grid, f"{path}, row {reader.line_num}")
                if test.key in seen:
                    raise InputError(
                        f"{path}, row {reader.line_num}: {_words(test)} is there twice, first in "
                        f"row {seen[test.key]}.",
                        "Remove one of the two.",
                    )
                seen[test.key] = reader.line_num
                tests.append(test)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{path} is not a readable CSV file: {error}.", f"Download it again: {_where()}."
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", "Check the file.") from error
    if not tests:
        raise InputError(f"{path} has no rows.", f"Download it again: {_where()}.")
    return tests


def classes_of(found: Tests, files: Mapping[tuple[str, Condition], Path]) -> list[str]:
    """Return the classes of all files, in the order of `LOCALIZATIONS`.

    Raises
    ------
    InputError
        A file lacks a pair of these classes, or a background of a pair; names both.
    """
    used = {
        name
        for tests in found.values()
        for test in tests
        for name in (test.first, test.second, test.background)
    }
    names = [name for name in LOCALIZATIONS if name in used]
    for key, tests in found.items():
        present = {test.key for test in tests}
        grid = CONDITIONS[key[1]].grid
        absent = [
            test
            for a, b in combinations(names, 2)
            for k in (names if grid else [None])
            if (test := PublishedTest(a, b, k, 0, 0)).key not in present and not test.own
        ]
        if absent:
            more = f" (and {len(absent) - 1} more)" if len(absent) > 1 else ""
            raise InputError(
                f"{files[key]} has no row for {_words(absent[0])}{more}.",
                "Every file must hold all pairs of the same classes"
                + (", each on every class that is neither of them." if grid else "."),
            )
    return names


def pairwise_table(found: Tests) -> pd.DataFrame:
    """Arrange the tests as `pairwise`, in the order of the files.

    Tests on a background of the pair's own classes are no swap to another class: they are left
    out, as the paper's summary does.

    Returns
    -------
    pandas.DataFrame
        Columns of `PAIRWISE`. The files hold no counts: `n` is given where every accuracy of a
        file is a whole number of right answers among twice `CROPS_PER_CLASS`, else missing.
    """
    rows = []
    for (model, condition), tests in found.items():
        answers = 2 * CROPS_PER_CLASS
        right = np.array([test.accuracy for test in tests]) * answers
        whole = bool((np.abs(right - right.round()) < 1e-6).all())
        rows += [
            {
                "model": model,
                "condition": str(condition),
                "protocol": str(Protocol.REFIT),
                "localization_a": test.first,
                "localization_b": test.second,
                "background": test.background,
                "accuracy": test.accuracy,
                "std": test.std,
                "n": answers if whole else None,
            }
            for test in tests
            if not test.own
        ]
    return pd.DataFrame(rows, columns=PAIRWISE.names).astype({"n": "Int64"})


def _condition_of(path: Path) -> Condition:
    """Tell a file's condition from its name."""
    key = path.stem.removeprefix("results_")
    return next(c for c in PAPER_CONDITIONS if CONDITIONS[c].paper_key == key)


def _check_columns(path: Path, found: Iterable[str], expected: tuple[str, ...]) -> None:
    """Refuse a file whose columns are not the expected ones."""
    missing = [name for name in expected if name not in found]
    unknown = [name for name in found if name not in expected]
    if missing or unknown:
        problems = [f"missing column(s) {', '.join(missing)}"] if missing else []
        problems += [f"unknown column(s) {', '.join(map(str, unknown))}"] if unknown else []
        raise InputError(f"{path}: {'; '.join(problems)}.", f"Expected: {', '.join(expected)}.")


def _test(row: Mapping[str | None, Any], grid: bool, place: str) -> PublishedTest:
    """Make a test of one row, after checking its values; `place` names file and row."""
    if None in row:
        raise InputError(f"{place}: more values than columns.", "Remove the surplus ones.")
    first, second = (_class(row, column, place) for column in _PAIR)
    background = _class(row, "Background", place) if grid else None
    if first == second:
        raise InputError(
            f"{place}: Location1 and Location2 are both {first!r}.", "A pair has two classes."
        )
    return PublishedTest(
        first, second, background, *(_share(row, column, place) for column in _VALUES)
    )


def _class(row: Mapping[str | None, Any], column: str, place: str) -> str:
    """Read the name of a localization from a column."""
    name = (row[column] or "").strip()
    if name not in LOCALIZATIONS:
        near = get_close_matches(name, LOCALIZATIONS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InputError(
            f"{place}: {column} is {name!r}, which is no known localization.{hint}",
            f"Allowed: {', '.join(LOCALIZATIONS)}.",
        )
    return name


def _share(row: Mapping[str | None, Any], column: str, place: str) -> float:
    """Read a number from 0 to 1 from a column."""
    text = (row[column] or "").strip()
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise InputError(
            f"{place}: {column} is {text or 'empty'}.", "It must be a number from 0 to 1."
        )
    return value


def _words(test: PublishedTest) -> str:
    """Name a test for messages."""
    on = f" on background {test.background}" if test.background else ""
    return f"{test.first} and {test.second}{on}"


def _where() -> str:
    """Say where the files can be downloaded."""
    return f"{table_1.ADDRESS}, folder {table_1.RESULTS}"
