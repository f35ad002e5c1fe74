"""One file says where everything lies, and no other file of the packages spells a path."""

import ast
import re
from pathlib import Path

import pytest

import compute
from compute.schema import ADDED_TABLES, SUMMARY_TABLES
from compute.storage.locks import LOCK_FILE
from compute.storage.paths import PARTS, RUN_TABLES, RunPaths, StorePaths, stays_here

ROOT = Path(compute.__file__).parent.parent
OWNER = "compute/storage/paths.py"
ALSO = {"compute/storage/locks.py": LOCK_FILE}
"""A name that another file may spell."""

FOLDERS = {
    *RUN_TABLES, "work", "scaled", "scaled_predictions", "pairwise", "tallies", "fits", "probed",
    "proteins", "pixels",
}  # fmt: skip
"""Names of tables and folders: words that are paths only where they are joined to one."""

FILES = re.compile(
    r"""^(run\.json|store\.json|checksums\.sha256|\.lock|\.sha256|work/.*)$
    |^(part-|model=)(?=$|[*\d/])|(?<=[/\w*}])\.parquet$""",
    re.VERBOSE,
)
"""Names that are paths wherever they stand."""

NOT_PATHS = {"application/vnd.apache.parquet"}


def spelled(source: str) -> list[str]:
    """Collect the paths below a store or run that a module spells."""
    tree = ast.parse(source)
    docs = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            text = "".join(
                str(part.value) if isinstance(part, ast.Constant) else "0" for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docs:
            text = node.value
        else:
            text = ""
        if FILES.search(text) and text not in NOT_PATHS:
            found.append(text)
        joined = []
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            joined = [node.right]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            joined = node.args if node.func.attr in ("joinpath", "glob", "rglob") else []
        for part in joined:
            if isinstance(part, ast.Constant) and str(part.value).partition("/")[0] in FOLDERS:
                found.append(str(part.value))
    return found


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ('run.path / "work" / name', "work"),
        ('path / "predictions"', "predictions"),
        ('path / f"model={model}"', "model=0"),
        ('f"part-{number:05d}.parquet"', "part-0.parquet"),
        ('folder.glob("part-*.parquet")', "part-*.parquet"),
        ('folder / f"{name}.parquet"', "0.parquet"),
        ('path.joinpath("work/pixels")', "work/pixels"),
        ('X = "run.json"', "run.json"),
        ('name.endswith(".sha256")', ".sha256"),
        ('(folder / ".lock").unlink()', ".lock"),
    ],
)
def test_a_spelled_path_is_found(line, path):
    assert path in spelled(line)


def test_words_that_are_no_paths_are_let_through():
    source = '''"""Reads `run.json` and predictions/model=*/part-*.parquet."""
tables = run.read("predictions")
suffix = path.suffix == ".parquet"
text = f"{found} cells, run.json says {said}."
rows = a / b
'''
    assert spelled(source) == []


@pytest.mark.parametrize("package", ["compute", "dashboard"])
def test_nobody_else_spells_a_path(package):
    found = {}
    for file in sorted((ROOT / package).rglob("*.py")):
        name = file.relative_to(ROOT).as_posix()
        if name != OWNER:
            found[name] = set(spelled(file.read_text("utf-8"))) - {ALSO.get(name)}
    strays = {name: sorted(paths) for name, paths in found.items() if paths}
    assert not strays, "take these from compute.storage.paths"


def test_every_table_is_found_where_it_is_written(tmp_path):
    run = RunPaths(tmp_path)
    written = {"cells": [run.summary("cells")], "trials": [run.part("trials", 0)]}
    for table in ("embeddings", "predictions"):
        written[table] = [run.part(table, n, model) for model in ("a", "b") for n in (0, 1)]
    written |= {table: [run.summary(table)] for table in (*SUMMARY_TABLES, *ADDED_TABLES)}
    assert set(written) == set(RUN_TABLES)
    for table, files in written.items():
        assert not run.has(table)
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        assert run.has(table)
        assert run.files(table) == files
        if table in PARTS:
            assert run.folders(table) == sorted({file.parent for file in files})
    assert run.parts("predictions", "b") == written["predictions"][2:]


def test_files_are_ordered_by_what_they_are_made_of():
    run = RunPaths(Path("run"))
    made = [run.part("trials", 0), run.part("embeddings", 1, "m"), run.part("work/scaled", 0, "m")]
    answers = [
        run.part("predictions", 0, "m"), run.pairs("tallies", "m", "same"), run.moved("truth", "m"),
        run.part("work/scaled_predictions", 0, "m"),
    ]  # fmt: skip
    assert {run.made_after(file) for file in made} == {0}
    assert {run.made_after(file) for file in answers} == {1}
    assert {run.made_after(run.summary(name)) for name in SUMMARY_TABLES} == {2}


def test_only_what_one_machine_can_use_stays_there():
    run = RunPaths(Path("run"))

    def name(path: Path) -> str:
        return path.relative_to(run.path).as_posix()

    assert stays_here(name(run.pixels / "images.npy"))
    assert stays_here(name(run.probed("m")))
    for path in (
        run.pairs("pairwise", "m", "same"),
        run.header,
        run.manifest,
        run.summary("cells"),
    ):
        assert not stays_here(name(path))


def test_a_store_has_its_shards_beside_its_header():
    store = StorePaths(Path("store"))
    every = [store.header, store.cells, store.truth, *(store.shard("crops", n) for n in (0, 1))]
    assert [path.name for path in every[3:]] == ["crops-00000.parquet", "crops-00001.parquet"]
    assert {path.parent for path in every} == {Path("store")}
    assert len(set(every)) == len(every)
