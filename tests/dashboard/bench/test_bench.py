"""Measuring the dashboard: the run that is made, serving copies, readers without a browser."""

import math
import os
import random
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import plotly.graph_objects as go
import pyarrow.parquet as pq
import pytest

from compute import schema
from compute.errors import InputError, UsageError
from dashboard.bench import measure, visits
from dashboard.bench.measure import Measured, Sample
from dashboard.bench.synthetic_config import PAPER, SyntheticConfig, sized
from dashboard.bench.synthetic_run import make_run
from dashboard.charts import accuracy as drawings
from dashboard.charts import plotly
from dashboard.queries import accuracy, copies, examples, open_runs, proteins, provenance
from dashboard.queries.filters import AccuracyFilter, CropFilter
from dashboard.queries.open_runs import Run, connect, open_library
from dashboard.server.launch import prepare
from tests.dashboard.opening import DEMO

SIZE = sized(20_000, proteins=30, examples=2)
MODELS, CONDITIONS = SIZE.models, SIZE.conditions


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("made") / "run", SIZE)


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache folder of its own, and every run large enough for a copy."""
    monkeypatch.setenv(copies.FOLDER_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(copies, "MANY_FILES", 2)
    return tmp_path / "cache"


def opened(path: Path, *, copied: bool = False) -> Run:
    plain = open_library([path], connect([path])).runs[0]
    if not copied:
        return plain
    return open_library([path], connect([path], copies.present([plain]))).runs[0]


def test_a_run_is_as_large_as_was_asked_for(small):
    run = opened(small)
    assert CONDITIONS == PAPER
    assert 20_000 <= SIZE.predictions < 20_000 + SIZE.predictions / SIZE.cells
    for table, count in (
        ("predictions", SIZE.predictions),
        ("trials", SIZE.trials),
        ("cells", SIZE.all_cells),
        ("examples", 30 * 2 * len(PAPER)),
    ):
        assert run.query(f"SELECT count(*) AS n FROM {{{table}}}", (table,))["n"][0] == count


@pytest.mark.parametrize("config", [SIZE, SyntheticConfig()], ids=["bench", "everything"])
def test_made_run_has_every_table_as_the_schema_says(tmp_path, config):
    path = make_run(tmp_path / "run", config)
    several = {**schema.SUMMARY_TABLES, **schema.ADDED_TABLES}
    for table, layout in {"cells": schema.run_cells_schema(), **several}.items():
        found = pq.read_table(path / f"{table}.parquet")
        schema.check_table(found, layout, table)
        assert len(found) or (table == "decomposition" and "sham" not in config.conditions), table
    for file in (path / "trials").glob("*.parquet"):
        found = pq.read_table(file)
        schema.check_table(found, schema.trials_schema(), "trials")
        assert found["cell"].to_pandas().nunique() <= 64
    for file in (path / "predictions").rglob("*.parquet"):
        column = pq.read_table(file, columns=["protein"], partitioning=None)["protein"]
        assert column.to_pylist() == sorted(column.to_pylist())


def test_made_distributions_follow_from_predictions(small):
    run = opened(small)
    protein, frame = "GEN07", pq.read_table(small / "distributions.parquet").to_pandas()
    said = run.query(
        "SELECT * FROM {predictions} WHERE protein = $protein",
        ("predictions",),
        {"protein": protein},
    )
    assert len(said) == SIZE.cells * len(MODELS) * len(CONDITIONS) * 2
    for key, some in said.groupby(["model", "condition", "protocol"]):
        mean = np.stack(some["probabilities"].to_list()).mean(axis=0)
        mine = frame[(frame[["model", "condition", "protocol"]] == list(key)).all(axis=1)]
        mine = mine[mine["protein"] == protein].set_index("localization")
        share = some["predicted"].value_counts(normalize=True)
        for place, value in zip(schema.LOCALIZATIONS, mean, strict=True):
            assert mine.loc[place, "mean_probability"] == pytest.approx(value, abs=1e-5)
            assert mine.loc[place, "proportion"] == pytest.approx(share.get(place, 0.0))


def test_tables_say_the_same_of_a_trial(tmp_path):
    """Donors are of the class and the protein that they should be; examples are trials."""
    run = opened(make_run(tmp_path / "run", SyntheticConfig()))
    said = run.query("SELECT * FROM {predictions}", ("predictions",))
    trials = run.query("SELECT * FROM {trials}", ("trials",)).set_index("trial")
    cells = run.query("SELECT * FROM {cells}", ("cells",)).set_index("cell")
    assert set(trials["cell"]) == set(cells.index[cells["flags"] == 0])
    assert (cells["flags"] > 0).sum() == 34
    same, different = (
        trials[trials["condition"] == name].join(cells["labels"], on="cell")
        for name in ("same", "different")
    )
    for frame in (same, different):
        donors = cells.loc[frame["donor"].astype(int), "localization"]
        assert donors.tolist() == frame["donor_localization"].tolist()
    pairs = zip(same["labels"], same["donor_localization"], strict=True)
    assert all(behind in labels for labels, behind in pairs)
    single = different[different["labels"].str.len() == 1]
    assert (single["labels"].str[0] != single["donor_localization"]).all()
    protein = trials[trials["condition"] == "same_protein"]
    own = cells.loc[protein["cell"], "protein"].tolist()
    assert cells.loc[protein["donor"].astype(int), "protein"].tolist() == own
    assert (protein["donor"] != protein["cell"]).all()
    shown = run.query("SELECT * FROM {examples}", ("examples",))
    assert shown["flags"].tolist() == trials.loc[shown["trial"], "flags"].tolist()
    assert set(trials["flags"]) == {0, int(schema.TrialFlag.SEAM)}
    answers = said.set_index(["trial", "model", "protocol"])["predicted"]
    for row in shown.itertuples():
        assert len(row.predictions) == 6
        for item in row.predictions:
            assert item["predicted"] == answers[row.trial, item["model"], item["protocol"]]


@pytest.mark.parametrize("share", [0.0, 0.6])
def test_a_donor_is_seen_where_its_protein_is_of_another_fold(tmp_path, share):
    config = SyntheticConfig(proteins=60, donor_seen=share, models=("pifia",), examples=0)
    assert config.folds == 4
    run = opened(make_run(tmp_path / "run", config))
    trials = run.query("SELECT * FROM {trials}", ("trials",))
    cells = run.query("SELECT * FROM {cells}", ("cells",)).set_index("cell")
    assert cells["fold"].isna().equals(cells["labels"].str.len() > 1)
    assert set(cells["fold"].dropna()) == {0, 1, 2, 3}
    assert (cells.dropna(subset="fold").groupby("protein")["fold"].nunique() == 1).all()
    with_donor = trials[trials["donor"].notna() & trials["cell"].map(cells["fold"]).notna()]
    assert trials["donor_seen"].notna().sum() == len(with_donor)
    of_cell = with_donor[with_donor["condition"] != "cell_free"]
    folds = [of_cell[name].astype(int).map(cells["fold"]) for name in ("cell", "donor")]
    assert (of_cell["donor_seen"] == (folds[0] != folds[1])).all()
    kept = of_cell["condition"] == "same_protein"
    assert not of_cell.loc[kept, "donor_seen"].any()
    assert of_cell.loc[~kept, "donor_seen"].astype(float).mean() == pytest.approx(share, abs=0.04)
    behind = of_cell["donor"].astype(int).map(cells["neighbour_fraction"])
    assert of_cell["neighbour_fraction"].tolist() == behind.tolist()
    assert trials["neighbour_distance"].isna().sum() > trials["neighbour_fraction"].isna().sum()
    said = run.query("SELECT DISTINCT condition, donor_seen FROM {accuracy}", ("accuracy",))
    said = said.set_index("condition")["donor_seen"]
    assert said["different"] == share
    assert said["same_protein"] == 0
    assert said[["unaltered", "sham", "alone", "masked"]].isna().all()


def test_steps_add_up_and_say_what_the_other_tables_say(tmp_path):
    run = opened(make_run(tmp_path / "run", SyntheticConfig(examples=0)))
    found = run.query("SELECT * FROM {decomposition}", ("decomposition",))
    key = ["model", "protocol", "probe", "scope", "localization"]
    value = found.pivot_table("estimate", [*key, "part"], "step", dropna=False).dropna()
    assert len(value) == 3 * 2 * 2 * 16 * 3
    steps = value[[str(step) for step in schema.STEPS if step != schema.Step.TOTAL]]
    assert (steps.sum(axis=1) - value["total"]).abs().max() < 1e-12
    part = found.pivot_table("estimate", [*key[:-1], "step"], "part")
    assert (part["rescaling"] + part["context"] - part["total"]).abs().max() < 1e-12
    effects = run.query(
        "SELECT * FROM {effects} WHERE scope = 'overall' AND aggregation = 'all' "
        "AND probe IN $probes",
        ("effects",),
        {"probes": list(map(str, schema.ANSWERING))},
    )
    whole = found[(found["scope"] == "overall") & (found["part"] == "total")]
    for step, effect, condition in (
        ("pasting", "drop", "sham"),
        ("neighbours", "gap", "different"),
        ("strange_image", "net", "same"),
    ):
        same = [
            rows.set_index(["model", "protocol", "probe"])["estimate"].sort_index()
            for rows in (
                whole[whole["step"] == step],
                effects[(effects["effect"] == effect) & (effects["condition"] == condition)],
            )
        ]
        assert np.allclose(*same, atol=1e-12), step
    worst = run.query("SELECT * FROM {worst_case}", ("worst_case",))
    assert (worst["estimate"] < worst["mean"]).all()
    dose = run.query("SELECT * FROM {dose} WHERE quartile IS NOT NULL", ("dose",))
    rises = dose.pivot_table("estimate", ["model", "condition", "protocol", "measure"], "quartile")
    more = rises[4] - rises[1]
    share = more.index.get_level_values("measure") == "neighbour_fraction"
    assert (more[share] > 0).all()
    assert (more[~share] < 0).all()


def test_accuracy_depends_on_the_condition_where_it_should(tmp_path):
    drops = {}
    for kept in (True, False):
        run = opened(make_run(tmp_path / str(kept), SyntheticConfig(drops=kept, examples=0)))
        found = run.query("SELECT * FROM {effects} WHERE scope = 'overall'", ("effects",))
        drops[kept] = found[found["effect"] == "drop"].groupby("condition")["estimate"].max()
    assert drops[True]["different"] > 0.15 - 1e-9
    assert drops[False].abs().max() < 1e-9


def test_same_seed_same_run(small, tmp_path):
    again = make_run(tmp_path / "again", SIZE)
    other = make_run(tmp_path / "other", replace(SIZE, seed=1))
    name = "predictions/model=pifia/part-00002.parquet"
    assert (again / name).read_bytes() == (small / name).read_bytes()
    assert (other / name).read_bytes() != (small / name).read_bytes()


def test_a_run_is_not_made_over_something(small):
    with pytest.raises(UsageError, match="not empty"):
        make_run(small, SIZE)
    with pytest.raises(UsageError, match="proteins"):
        sized(proteins=3)
    with pytest.raises(UsageError, match="predictions"):
        sized(0)
    for wrong in (
        {"mixed": 1, "localizations": ("ER",)},
        {"cells": 0},
        {"examples": 7},
        {"repeats": 0},
        {"conditions": ("maskd",)},
        {"without": ("shift",)},
        {"donor_seen": 1.5},
        {"donor_seen": 0.5, "proteins": 20},
    ):
        with pytest.raises(UsageError):
            SyntheticConfig(**wrong)


def test_predictions_of_a_protein_lie_in_few_row_groups(tmp_path, monkeypatch):
    """What look-ups rest on: statistics of `protein` tell which row groups hold it."""
    monkeypatch.setattr("compute.storage.atomic_files.ROW_GROUP", 50_000)
    path = make_run(tmp_path / "run", sized(2_000_000, proteins=60, examples=1))
    for file in (path / "predictions").rglob("*.parquet"):
        groups = pq.ParquetFile(file).metadata
        holding = [
            i
            for i in range(groups.num_row_groups)
            if groups.row_group(i).column(0).statistics.min
            <= "GEN31"
            <= groups.row_group(i).column(0).statistics.max
        ]
        assert groups.num_row_groups >= 2
        assert len(holding) == 1


def answers_of(run: Run) -> list:
    chosen = CropFilter("refit", ("pifia", "deeploc"), CONDITIONS, direction="lost")
    return [
        *examples.cells(run, chosen, "most changed", 1, 20),
        *examples.cells(run, replace(chosen, direction="", background="ER"), "gene", 1, 20),
        proteins.neighbours(run, "GEN07", "refit", "different"),
        examples.answers(run, 3),
        proteins.distributions(run, "GEN07", "frozen"),
        proteins.protein_shifts(run, "GEN07", "frozen"),
        proteins.truth(run, "GEN07", "frozen"),
        provenance.trials_by_condition(run),
        provenance.contents(run),
        accuracy.tested(run),
    ]


def test_a_copy_answers_as_the_files_do(small, cache):
    plain = opened(small)
    made = copies.make(plain, lambda text: None)
    assert made is not None
    assert made.parent == cache
    copied = opened(small, copied=True)
    assert {*copies.COPIED, "contents", "example_answers"} <= copied.copied
    assert not plain.copied
    for one, other in zip(answers_of(plain), answers_of(copied), strict=True):
        if isinstance(one, int):
            assert one == other
        else:
            assert one.astype(str).to_csv() == other.astype(str).to_csv()


def test_a_changed_run_is_read_from_its_own_files(cache, tmp_path):
    path = make_run(tmp_path / "run", SIZE)
    copies.make(opened(path), lambda text: None)
    assert opened(path, copied=True).copied
    os.utime(path / "accuracy.parquet", (1, 1))
    assert not opened(path, copied=True).copied
    before = opened(path).token
    (path / "trials" / "part-00000.parquet").rename(path / "trials" / "part-99999.parquet")
    assert opened(path).token != before


def test_small_or_unwritable_gets_no_copy(small, cache, monkeypatch):
    said: list[str] = []
    cache.parent.mkdir(exist_ok=True)
    cache.write_text("a file where the folder should be")
    assert copies.make(opened(small), said.append) is None
    assert "has no copy" in said[-1]
    monkeypatch.setattr(copies, "MANY_FILES", 10_000)
    assert copies.make(opened(small), said.append) is None
    assert len(said) == 1


def test_a_copy_is_only_read_and_old_ones_go(small, cache):
    cache.mkdir()
    for number in range(copies.KEPT + 2):
        old = cache / f"run-0-x-{number}.duckdb"
        old.write_bytes(b"")
        os.utime(old, (number, number))
    copies.make(opened(small), lambda text: None)
    left = {path.name for path in cache.glob("*.duckdb")}
    assert len(left) == copies.KEPT
    assert "run-0-x-0.duckdb" not in left
    run = opened(small, copied=True)
    name = f"{open_runs.COPY_PREFIX}{run.token}"
    with pytest.raises(duckdb.Error, match="read-only"):
        run.connection.execute(f'DROP TABLE "{name}".trials')


def test_a_broken_copy_is_left_out(small, cache):
    plain = opened(small)
    target = copies.path_of(plain)
    target.parent.mkdir(parents=True)
    target.write_bytes(b"no database")
    run = opened(small, copied=True)
    assert not run.copied
    assert len(provenance.trials_by_condition(run)) == len(CONDITIONS)


@pytest.mark.parametrize("seed", range(20))
def test_an_altered_copy_is_left_out_and_made_anew(small, cache, seed):
    plain, said = opened(small), list[str]()
    target = copies.make(plain, said.append)
    assert target is not None
    whole = answers_of(plain)[0]
    flip(target, random.Random(seed))
    run = opened(small, copied=True)
    assert not run.copied
    assert str(answers_of(run)[0]) == str(whole)
    assert copies.make(plain, said.append) == target
    assert opened(small, copied=True).copied
    assert len(said) == 2


def test_what_a_killed_server_left_is_removed_by_the_next(small, cache):
    cache.mkdir()
    for name in (".run-1-x.duckdb.7-ab.tmp", ".run-1-x.duckdb.7-ab.tmp.wal"):
        (cache / name).write_bytes(b"half")
    made = copies.make(opened(small), lambda text: None)
    assert made is not None
    assert not list(cache.glob("*.tmp*"))


def test_a_damaged_run_gets_no_copy_and_stops_nobody(cache, tmp_path):
    path, said = make_run(tmp_path / "run", SIZE), list[str]()
    flip(path / "trials" / "part-00003.parquet", random.Random(1))
    assert copies.make(opened(path), said.append) is None
    assert "part-00003.parquet was altered after it was written" in said[-1]
    prepare([path])
    with pytest.raises(InputError, match=r"part-00003\.parquet was altered"):
        provenance.trials_by_condition(opened(path))
    assert len(accuracy.tested(opened(path)))


def flip(path, draw):
    """Turn one bit of a file."""
    raw = bytearray(path.read_bytes())
    raw[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
    path.write_bytes(bytes(raw))


def test_memory_of_the_connection_is_limited(small):
    with closing(connect([small])) as connection:
        limit, threads = connection.execute(
            "SELECT current_setting('memory_limit'), current_setting('threads')"
        ).fetchone()
    assert limit.endswith("MiB")
    assert float(limit.split()[0]) < 800
    assert 1 <= threads <= open_runs.MOST_THREADS


def filled(layout: dict) -> dict:
    """Leave out what is empty, which a check drops."""
    return {name: value for name, value in layout.items() if value not in (None, [], {})}


def test_figures_that_are_not_checked_would_pass_the_check(small):
    run = opened(small)
    chosen = AccuracyFilter(models=tuple(run.models), conditions=CONDITIONS)
    chart = drawings.by_class(accuracy.by_class(run, chosen, "different"), "different", "")
    for dark in (False, True):
        for figure in plotly.figures(chart, dark):
            made = figure.to_dict()
            # Raises where something is wrong.
            checked = go.Figure(made, layout_template="none").to_dict()
            del checked["layout"]["template"]
            assert checked["data"] == made["data"]
            assert filled(checked["layout"]) == filled(made["layout"])


def test_walks_take_every_step_and_name_what_there_is(small):
    of = visits.choices(opened(small))
    walk = visits.walk(of, random.Random(0), 3)
    assert len(walk) == 3 * len(visits.STEPS)
    assert {(visit.page, visit.step) for visit in walk} == set(visits.STEPS)
    assert walk == visits.walk(of, random.Random(0), 3)


def test_rows_are_judged_by_the_95th_percentile():
    visit = visits.Visit("", "open", {})
    samples = tuple(Sample(visit, wall, 0.1) for wall in [0.1] * 90 + [0.2] * 10)
    few = Measured(samples[:1], samples, 1400.0, 100)
    found = {row.what: row for row in measure.rows(few)}
    assert found["All pages"].met is False
    assert "p50 100 ms, p95 200 ms" in found["All pages"].value
    assert found["Memory of the server, most"].met is True
    large = {row.what: row for row in measure.rows(replace(few, predictions=45_000_000))}
    assert large["All pages"].met is True
    assert math.isnan(measure.percentile([], 95))


@pytest.mark.long
def test_one_reader_sees_every_page_without_a_problem():
    found = measure.alone(DEMO, 1)
    assert {sample.visit.title for sample in found.samples} == {
        "Overview", "Accuracy", "Proteins", "Crops", "Compare", "Present", "Methods"
    }  # fmt: skip
    files = DEMO.glob("predictions/*/*.parquet")
    assert found.predictions == sum(pq.read_metadata(file).num_rows for file in files) > 0
    assert found.p95 > 0
    assert not found.peak > measure.MOST_MEMORY
