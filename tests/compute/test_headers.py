"""Headers with entries of another kind are refused by name, whoever sealed them."""

import copy
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from compute.errors import InputError
from compute.schema.headers import RUN_HEADER, STORE_HEADER, check_header
from compute.shipped import COMPARED_RUN, DEMO_RUN
from compute.storage.paths import STORE_FILE
from compute.storage.run_directory import RunDirectory
from compute.storage.sealed_json import write_sealed
from compute.store.reader import CropStore
from tests.seals import change_header, header

OTHERS: list[Any] = [5, -1.5, True, None, "text", [], {}, [[1]], {"a": [None]}]


def places(value: Any, kind: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List where a header holds something whose kind is known."""
    if isinstance(kind, dict) and isinstance(value, dict):
        known = [name for name in value if name in kind or "*" in kind]
        inner = [
            place
            for name in known
            for place in places(value[name], kind.get(name, kind.get("*")), (*at, name))
        ]
        return [at, *inner] if at else inner
    if isinstance(kind, list) and isinstance(value, list):
        return [at, *(p for i, item in enumerate(value) for p in places(item, kind[0], (*at, i)))]
    return [at]


def put(content: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """Return a copy with another value at a place."""
    changed = copy.deepcopy(content)
    inside: Any = changed
    for name in place[:-1]:
        inside = inside[name]
    inside[place[-1]] = value
    return changed


def alike(value: Any, before: Any) -> bool:
    """Whether a value may be of the kind of what stood there."""
    if isinstance(before, int | float) and not isinstance(before, bool):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is type(before)


@pytest.mark.parametrize("folder", [DEMO_RUN, COMPARED_RUN], ids=lambda path: path.name)
def test_shipped_runs_are_of_these_kinds(folder):
    check_header(header(folder), RUN_HEADER, "run.json", "")


@pytest.mark.parametrize("seed", range(300))
def test_entries_of_another_kind_are_named(seed):
    draw, meta = random.Random(seed), header(DEMO_RUN)
    place = draw.choice(places(meta, dict(RUN_HEADER)))
    before: Any = meta
    for name in place:
        before = before[name]
    value = draw.choice([other for other in OTHERS if not alike(other, before)])
    with pytest.raises(InputError, match=r"^run\.json: [\w.-]+ is .*, not ") as caught:
        check_header(put(meta, place, value), RUN_HEADER, "run.json", "Again.")
    assert f": {'.'.join(map(str, place))} is " in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"models": [{"name": "../../other"}]}, r"models\.0\.name is '\.\./\.\./other'"),
        ({"added": {"../../x": "0" * 64}}, r"added\.\.\./\.\./x"),
        ({"tables": {"accuracy": "short"}}, r"tables\.accuracy is 'short', not a SHA-256"),
        ({"unwanted": ["/home"]}, r"unwanted\.0 is '/home', not a plain name"),
        ({"unwanted": [".."]}, r"unwanted\.0 is '\.\.'"),
    ],
)
def test_a_run_may_not_name_what_is_outside_it(tmp_path: Path, change, said):
    folder = shutil.copytree(DEMO_RUN, tmp_path / "run")
    change_header(folder, change)
    with pytest.raises(InputError, match=said):
        RunDirectory(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"channels": "GFP"}, r"channels is 'GFP', not a list"),
        ({"size": "64"}, r"size is '64', not a whole number"),
        ({"counts": {"cells": 1.5}}, r"counts\.cells is 1\.5"),
        ({"files": [{"file": "../evil"}]}, r"files\.0\.file is '\.\./evil', not a plain name"),
        ({"source": {"simulated": 1}}, r"source\.simulated is 1, not true or false"),
    ],
)
def test_a_store_of_other_kinds_is_refused(store, tmp_path, change, said):
    folder = shutil.copytree(store, tmp_path / "store")
    check_header(header(folder, STORE_FILE), STORE_HEADER, "store.json", "")
    change_header(folder, change, STORE_FILE)
    with pytest.raises(InputError, match=said):
        CropStore(folder)


@pytest.mark.parametrize("lacking", ["channels", "size", "files", "counts", "fingerprint"])
def test_a_store_that_lacks_what_every_reader_needs_is_refused(store, tmp_path, lacking):
    folder = shutil.copytree(store, tmp_path / "store")
    meta = header(folder, STORE_FILE)
    del meta[lacking]
    write_sealed(folder / STORE_FILE, meta)
    with pytest.raises(InputError, match=f"has no {lacking}"):
        CropStore(folder)
