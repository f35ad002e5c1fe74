"""`check` notices damage of every kind in a finished run, and names the file."""

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from compute.errors import InputError
from compute.runs.describe import check, check_path
from compute.storage.atomic_files import write_table
from compute.storage.run_directory import RunDirectory
from tests.compute.storage.test_checksums import empty, flip, flip_the_end, truncate
from tests.seals import reseal


@pytest.fixture
def copy(run, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(run, path)
    return path


def change(path, alter):
    """Write a table again, altered, as if that had always been its content."""
    table = alter(pq.read_table(path, partitioning=None))
    write_table(path, table)
    path.with_name(f".{path.name}.sha256").unlink()


def set_value(table, column, row, value):
    values = table.column(column).to_pylist()
    values[row] = value
    field = table.schema.field(column)
    return table.set_column(
        table.schema.get_field_index(column), field, pa.array(values, field.type)
    )


def test_a_run_agrees_with_itself(run):
    lines = list(check_path(run))
    files = len(RunDirectory(run).tables())
    assert lines[0] == f"checksums of {files} files agree"
    assert lines[-1] == "Tables, counts and references agree."


@pytest.mark.parametrize("damage", [truncate, flip, flip_the_end, empty])
@pytest.mark.parametrize(
    "name",
    ["cells.parquet", "trials/part-00001.parquet", "embeddings/model=pifia/part-00002.parquet",
     "predictions/model=deeploc/part-00000.parquet", "effects.parquet", "examples.parquet"],
)  # fmt: skip
def test_damage_to_a_file_is_named(copy, name, damage):
    damage(copy / name)
    with pytest.raises(InputError, match=rf"Not as written: .*{name} \(altered\)"):
        list(check_path(copy))


def test_missing_exchanged_and_foreign_files_are_named(copy):
    parts = sorted((copy / "predictions" / "model=pifia").iterdir())
    first, second = parts[0].read_bytes(), parts[1].read_bytes()
    parts[0].write_bytes(second)
    parts[1].write_bytes(first)
    (copy / "trials" / "part-00003.parquet").unlink()
    (copy / "trials" / "part-00099.parquet").write_bytes(b"")
    with pytest.raises(InputError) as caught:
        list(check_path(copy))
    for name in (
        "model=pifia/part-00000.parquet (altered)",
        "part-00001.parquet (altered)",
        "part-00003.parquet (missing)",
        "part-00099.parquet (not of this run)",
    ):
        assert name in caught.value.problem


def test_an_altered_list_of_checksums_is_named(copy):
    flip(copy / "checksums.sha256")
    with pytest.raises(InputError, match=r"checksums\.sha256 was altered"):
        list(check_path(copy))


@pytest.mark.parametrize(
    ("name", "alter", "said"),
    [
        ("trials/part-00001.parquet", lambda t: set_value(t, "cell", 0, 10**6),
         "1 trials of unknown cells"),
        ("trials/part-00001.parquet", lambda t: t.slice(1), "leaves some out"),
        ("trials/part-00001.parquet", lambda t: t.drop_columns("seed"), "missing column"),
        ("cells.parquet", lambda t: t.slice(1), "cells are not in order"),
        ("predictions/model=pifia/part-00001.parquet", lambda t: t.slice(1),
         r"predictions of pifia for \d+ trials under same"),
        ("predictions/model=pifia/part-00001.parquet", lambda t: pa.concat_tables([t[1:], t[1:2]]),
         r"predictions of pifia .* trials"),
        ("predictions/model=pifia/part-00001.parquet",
         lambda t: set_value(t, "trial", 0, t.column("trial")[2].as_py()),
         "are not of the run's trials"),
        ("predictions/model=pifia/part-00001.parquet",
         lambda t: set_value(t, "predicted", 0, "Atlantis"), "unknown predicted 'Atlantis'"),
        ("embeddings/model=pifia/part-00000.parquet", lambda t: t.slice(1),
         "does not hold the trials"),
        ("accuracy.parquet", lambda t: set_value(t, "model", 0, "resnet"),
         "unknown model 'resnet'"),
        ("examples.parquet", lambda t: set_value(t, "trial", 0, 10**6),
         "1 examples of unknown trials"),
    ],
)  # fmt: skip
def test_a_wrong_content_is_told(copy, name, alter, said):
    change(copy / name, alter)
    reseal(copy)
    with pytest.raises(InputError, match=said):
        list(check_path(copy))


def test_an_unfinished_run_says_what_failed(copy):
    run = RunDirectory(copy)
    run.record(status="running", failures=[{"stage": "embed", "unit": 3, "error": "bad"}])
    assert list(check_path(copy)) == [
        f"{copy} is not finished: the same command goes on with it.",
        "  failed: embed 3: bad",
    ]
    assert check(copy).verdict == f"{copy} is not finished, so its files were not verified."


def test_a_run_made_before_a_table_was_thought_of_is_whole(copy):
    made = RunDirectory(copy)
    made.summary("mosaic").unlink()
    made.finish()
    lines = list(check_path(copy))
    assert lines[-1] == "Tables, counts and references agree."
    assert not [line for line in lines if line.startswith("mosaic")]
    made.summary("dose").unlink()
    with pytest.raises(InputError, match="dose"):
        list(check_path(copy))
