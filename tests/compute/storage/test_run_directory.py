"""Run directories: begun once, resumed with the same settings, protected from everything else."""

import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from compute import schema
from compute.errors import BusyError, ChangedError, InputError, UsageError
from compute.storage import run_directory
from compute.storage.atomic_files import sha256, write_table
from compute.storage.locks import lock
from compute.storage.paths import MANIFEST, RUN_FILE, checksum_file
from compute.storage.run_directory import RunDirectory, begin, differences

HEADER = {
    "configuration": {"plan": {"seed": 0, "repeats": 1}},
    "store": "abc",
    "models": {"m": "1"},
}
DETAILS = {"name": "test", "localizations": ["actin", "ER"]}


def table(name, rows=2):
    expected = schema.SUMMARY_TABLES[name]
    return pa.Table.from_pylist([{} for _ in range(rows)], schema=expected), expected


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run"


def started(path, **more):
    with begin(path, HEADER, DETAILS, **more) as run:
        return run


def finished(path):
    with begin(path, HEADER, DETAILS) as run:
        for name in schema.SUMMARY_TABLES:
            run.write(run.summary(name), *table(name))
        for kind in run_directory.PARTS:
            write_table(run.part(kind, 0, None if kind == "trials" else "m"), pa.table({"a": [1]}))
        run.finish(counts={"cells": 3})
    return run


def test_a_new_run_says_what_it_is(path):
    run = started(path)
    assert run.localizations == ["actin", "ER"]
    assert not run.complete
    content = json.loads((path / RUN_FILE).read_text())
    assert content["schema_version"] == schema.RUN_VERSION
    assert content["status"] == "running"
    assert content["header"]["store"] == "abc"
    assert content["name"] == "test"


def test_the_same_header_goes_on_and_keeps_what_is_there(path):
    with begin(path, HEADER, DETAILS) as run:
        run.write(run.summary("accuracy"), *table("accuracy"))
        run.record(timings={"embed": 2})
        created = run.meta["created"]
    again = started(path)
    assert again.summary("accuracy").is_file()
    assert again.meta["timings"] == {"embed": 2}
    assert again.meta["created"] == created


def test_a_finished_run_is_complete_and_has_a_fingerprint_of_its_tables(path, tmp_path):
    run = finished(path)
    assert RunDirectory(path).complete
    assert RunDirectory(path).meta["counts"] == {"cells": 3}
    assert set(run.meta["tables"]) == set(schema.SUMMARY_TABLES)
    other = finished(tmp_path / "other")
    assert other.meta["fingerprint"] == run.meta["fingerprint"]
    with begin(tmp_path / "third", HEADER, DETAILS) as third:
        third.write(third.summary("accuracy"), *table("accuracy", 3))
        third.finish()
    assert third.meta["fingerprint"] != run.meta["fingerprint"]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({**HEADER, "store": "xyz"}, "store was 'abc', now 'xyz'"),
        ({**HEADER, "models": {"m": "2"}}, "models.m was '1', now '2'"),
        ({**HEADER, "models": {"m": "1", "n": "3"}}, "models.n was None, now '3'"),
        ({**HEADER, "models": {}}, "models.m was '1', now None"),
        (
            {**HEADER, "configuration": {"plan": {"seed": 5, "repeats": 1}}},
            "configuration.plan.seed was 0, now 5",
        ),
    ],
)
def test_another_header_is_refused_and_says_what_changed(path, header, said):
    finished(path)
    before = {p: p.read_bytes() for p in path.rglob("*.parquet")}
    with pytest.raises(ChangedError) as caught, begin(path, header, DETAILS):
        pass
    assert said in caught.value.problem
    assert "repeats" not in caught.value.problem
    assert "--fresh" in caught.value.remedy
    assert {p: p.read_bytes() for p in path.rglob("*.parquet")} == before


def test_a_run_of_another_version_of_the_program_is_refused(path, monkeypatch):
    started(path)
    monkeypatch.setattr(run_directory, "__version__", "99")
    with pytest.raises(ChangedError, match=r"version was .*, now '99'"):
        started(path)


@pytest.mark.parametrize("version", [schema.RUN_VERSION - 1, 99])
def test_a_run_of_another_schema_version_is_refused(path, version):
    run = started(path)
    content = {**run.meta, "schema_version": version}
    (path / RUN_FILE).write_text(json.dumps(content))
    for attempt in (lambda: RunDirectory(path), lambda: started(path)):
        with pytest.raises(InputError, match=f"schema version {version}") as caught:
            attempt()
        assert "Run again, with --fresh or another --out" in caught.value.remedy
    assert started(path, fresh=True).meta["schema_version"] == schema.RUN_VERSION


def test_a_foreign_folder_is_refused_and_left_alone(path):
    path.mkdir()
    (path / "thesis.txt").write_text("mine")
    for fresh in (False, True):
        with pytest.raises(UsageError, match=r"not empty and holds no run.*another folder"):
            started(path, fresh=fresh)
    assert [p.name for p in path.iterdir()] == ["thesis.txt"]


def test_a_file_is_refused(path):
    path.write_text("")
    with pytest.raises(UsageError, match=r"is a file.*Give a folder"):
        started(path)


@pytest.mark.parametrize("left", [(), (".lock",), (".lock", f".{RUN_FILE}.123.tmp")])
def test_an_empty_folder_or_one_left_by_a_killed_start_is_taken(path, left):
    path.mkdir()
    for name in left:
        (path / name).write_text("")
    started(path)
    assert {p.name for p in path.iterdir()} == {".lock", RUN_FILE}


def test_a_run_that_is_being_written_is_busy(path):
    finished(path)
    with lock(path, "run"), pytest.raises(BusyError, match=f"process {os.getpid()}"):
        started(path, fresh=True)
    assert RunDirectory(path).complete, "nothing was deleted"


def test_fresh_deletes_the_runs_own_files_and_no_others(path):
    finished(path)
    (path / "work").mkdir()
    (path / "notes.txt").write_text("mine")
    (path / "mine.parquet").write_text("mine")
    (path / "figures").mkdir()
    run = started(path, fresh=True)
    assert not run.complete
    left = {p.name for p in path.iterdir()}
    assert left == {".lock", RUN_FILE, "notes.txt", "mine.parquet", "figures"}


def test_fresh_takes_another_header(path):
    finished(path)
    with begin(path, {**HEADER, "store": "xyz"}, DETAILS, fresh=True) as run:
        assert run.meta["header"]["store"] == "xyz"


@pytest.mark.parametrize("moment", range(4))
def test_a_fresh_start_that_is_killed_leaves_no_run_that_calls_itself_complete(
    path, monkeypatch, moment
):
    finished(path)
    calls, remove = [], run_directory.shutil.rmtree

    def killed(folder, **more):
        if len(calls) == moment:
            raise KeyboardInterrupt
        calls.append(folder)
        remove(folder, **more)

    monkeypatch.setattr(run_directory.shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        started(path, fresh=True)
    monkeypatch.setattr(run_directory.shutil, "rmtree", remove)
    assert not started(path).complete


def test_leftovers_are_removed_at_the_start(path):
    started(path)
    (path / "trials").mkdir()
    (path / "trials" / ".part-00000.parquet.77.tmp").write_text("half")
    started(path)
    assert not list((path / "trials").iterdir())


def test_tables_are_checked_before_they_are_written(path):
    run = started(path)
    with pytest.raises(InputError, match=r"accuracy\.parquet: missing column"):
        run.write(run.summary("accuracy"), pa.table({"model": ["m"]}), schema.ACCURACY)
    assert not run.summary("accuracy").exists()


def test_shards_are_read_in_order_and_by_model(path):
    run = started(path)
    for number in (2, 0, 11, 1):
        write_table(run.part("embeddings", number, "m"), pa.table({"a": [number]}))
    write_table(run.part("embeddings", 0, "other"), pa.table({"a": [99]}))
    assert run.read("embeddings", "m").column("a").to_pylist() == [0, 1, 2, 11]
    assert [p.name for p in run.parts("embeddings", "other")] == ["part-00000.parquet"]


def test_a_missing_or_broken_table_is_named(path):
    run = started(path)
    with pytest.raises(InputError, match=r"no table 'trials'.*same command"):
        run.read("trials")
    with pytest.raises(InputError, match=r"no table 'accuracy'"):
        run.read("accuracy")
    run.summary("accuracy").write_bytes(b"PAR1 but not really")
    with pytest.raises(InputError, match=r"'accuracy' cannot be read.*--fresh"):
        run.read("accuracy")


def test_a_table_read_back_is_the_one_written(path):
    run = started(path)
    given, expected = table("shifts", 4)
    run.write(run.summary("shifts"), given, expected)
    assert run.read("shifts").equals(given)
    assert pq.read_schema(run.summary("shifts")).equals(expected)


def test_differences_are_said_by_place():
    before = {"a": {"b": 1, "c": [1, 2]}, "d": "x", "e": {"f": 0}}
    now = {"a": {"b": 1, "c": [1, 3]}, "d": "x", "e": 7, "g": 1}
    assert differences(before, now) == [
        "a.c was [1, 2], now [1, 3]",
        "e was {'f': 0}, now 7",
        "g was None, now 1",
    ]
    assert differences(before, json.loads(json.dumps(before))) == []


# Checksums


def test_a_finished_run_lists_the_checksums_of_its_tables_and_keeps_none_beside_them(path):
    run = finished(path)
    listed = {line[66:]: line[:64] for line in (path / MANIFEST).read_text().splitlines()}
    assert listed == {str(file.relative_to(path)): sha256(file) for file in path.rglob("*.parquet")}
    assert run.meta["checksums"] == sha256(path / MANIFEST)
    assert [item.name for item in path.rglob(".*")] == [".lock"]


def test_a_run_that_is_killed_after_it_was_finished_is_complete_and_tidied_up(path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    def make():
        with begin(path, HEADER, DETAILS) as run:
            write_table(run.part("embeddings", 0, "m"), pa.table({"a": [1]}))
            write_table(path / "work" / "pairwise" / "m.parquet", pa.table({"a": [1]}))
            run.finish(without=("work", "embeddings"))

    with monkeypatch.context() as patch:
        patch.setattr(run_directory, "forget", killed)
        with pytest.raises(KeyboardInterrupt):
            make()
    assert (path / "embeddings").exists()
    again = started(path)
    assert again.complete
    assert {item.name for item in path.iterdir()} == {".lock", RUN_FILE, MANIFEST}


@pytest.mark.parametrize(
    ("victim", "lost"),
    [
        ("trials/part-00000.parquet", {"predictions", "work", "accuracy.parquet"}),
        ("work/scaled/model=m/part-00000.parquet", {"predictions", "work", "accuracy.parquet"}),
        ("predictions/model=m/part-00000.parquet", {"accuracy.parquet"}),
        ("work/pairwise/m.parquet", {"accuracy.parquet"}),
        ("accuracy.parquet", set()),
    ],
)
def test_what_was_made_of_an_altered_file_is_made_again_too(path, victim, lost):
    names = ["trials/part-00000.parquet", "trials/part-00001.parquet",
             "embeddings/model=m/part-00000.parquet", "work/scaled/model=m/part-00000.parquet",
             "predictions/model=m/part-00000.parquet", "work/pairwise/m.parquet",
             "accuracy.parquet"]  # fmt: skip
    with begin(path, HEADER, DETAILS):
        for name in names:
            write_table(path / name, pa.table({"a": [1]}))
    (path / victim).write_bytes((path / victim).read_bytes()[:-3])
    told = []
    with begin(path, HEADER, DETAILS, notice=told.append) as run:
        left = {name for name in names if (path / name).is_file()}
    gone = {n for n in names if n == victim or (n.split("/")[0] in lost and "scaled" not in n)}
    assert left == set(names) - gone
    assert f"{victim} (altered)" in told[0]
    assert run.meta["made_again"] == [f"{victim} (altered)"]
    assert not checksum_file(path / victim).exists()


def test_nothing_is_told_where_nothing_was_altered(path):
    with begin(path, HEADER, DETAILS) as run:
        write_table(run.part("trials", 0), pa.table({"a": [1]}))
    told = []
    with begin(path, HEADER, DETAILS, notice=told.append) as run:
        assert run.part("trials", 0).is_file()
    assert told == []
