"""The published results: Table 1 from the real files, everything else from drawn ones."""

import csv
import itertools
import statistics
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from compute.errors import ChangedError, InputError
from compute.paper import table_1
from compute.paper.results import PAPER_CONDITIONS
from compute.paper.run import write_published
from compute.paper.table_1 import TABLE_1
from compute.runs.describe import check_path
from compute.schema import CONDITIONS, LOCALIZATIONS, Aggregation, Condition
from compute.statistics.aggregation import STANDARD_ERRORS, UNIT, aggregate, average
from compute.storage.run_directory import RunDirectory

FOLDERS = {"pifia": "pifia", "paired_cell": "pci", "deeploc": "deeploc"}
ALL = {
    "pifia": (0.950, 0.884, 0.900, 0.939, 0.842),
    "paired_cell": (0.919, 0.870, 0.873, 0.930, 0.775),
    "deeploc": (0.715, 0.685, 0.684, 0.746, 0.618),
}
COLUMNS = ("unaltered", "masked", "cell_free", "same", "different")
CLASSES = ("actin", "ER", "nucleus", "peroxisome", "vacuole")
SIDES = ("localization_a", "localization_b")


def write_results(folder: Path, classes=CLASSES, seed=0, whole=True) -> Path:
    """Draw the fifteen files; `whole` accuracies are counts of right answers among 2,000."""
    rng = np.random.default_rng(seed)
    for name in FOLDERS.values():
        (folder / name).mkdir(parents=True)
        for key in ("base", "same", "diff", "batch", "mask"):
            grid = key in ("diff", "batch")
            with (folder / name / f"results_{key}.csv").open("w", newline="") as handle:
                writer = csv.writer(handle)
                columns = ["Location1", "Location2", "Accuracy", "StdDev"]
                writer.writerow([*columns[:2], *(["Background"] if grid else []), *columns[2:]])
                for a, b in itertools.combinations(classes, 2):
                    for k in classes if grid else [None]:
                        value = rng.integers(1000, 2001) / 2000 if whole else rng.uniform(0.5, 1)
                        row = [a, b, *([k] if grid else []), value, rng.uniform(0, 0.1)]
                        writer.writerow(row)
    return folder


def rows_of(folder: Path, model: str, condition: str) -> list[dict[str, str]]:
    key = CONDITIONS[Condition(condition)].paper_key
    with (folder / FOLDERS[model] / f"results_{key}.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


def naive(rows, condition, published_way):
    """Average one file's rows: overall, three standard errors, and by class."""
    pairs: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        a, b = row["Location1"], row["Location2"]
        if row.get("Background") not in (a, b):
            pairs.setdefault((a, b), []).append(float(row["Accuracy"]))
    groups: dict[str, list[float]] = {}
    for (a, b), values in pairs.items():
        value = values[0] if published_way else statistics.fmean(values)
        first_only = published_way and condition in ("unaltered", "masked")
        for name in (a,) if first_only else (a, b):
            groups.setdefault(name, []).append(value)
    classes = {name: statistics.fmean(values) for name, values in groups.items()}
    if published_way:
        several = list(classes.values())
        spread = 3 * statistics.stdev(several) / len(several) ** 0.5
        return statistics.fmean(several), spread, classes
    return statistics.fmean(statistics.fmean(v) for v in pairs.values()), None, classes


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    return write_results(tmp_path_factory.mktemp("published") / "results")


@pytest.fixture(scope="module")
def written(results, tmp_path_factory) -> RunDirectory:
    run, worked = write_published(results, tmp_path_factory.mktemp("published") / "run")
    assert worked
    return run


def overall(run: RunDirectory, table: str, aggregation: str) -> pd.DataFrame:
    rows = run.read(table).to_pandas()
    return rows[(rows["aggregation"] == aggregation) & (rows["scope"] == "overall")]


# The real files


@pytest.fixture(scope="module")
def real(shared, tmp_path_factory) -> RunDirectory:
    path = tmp_path_factory.mktemp("real") / "paper"
    return write_published(shared / "published_results", path)[0]


def test_table_1_is_reproduced_to_the_third_decimal(real):
    """Gupta, Moses and Lu (2025), Table 1: fifteen means, each with its ±."""
    table = overall(real, "accuracy", "published").set_index(["model", "condition"])
    assert len(table) == len(TABLE_1) == 15
    for number in TABLE_1:
        row = table.loc[(number.model, str(number.condition))]
        assert round(row["estimate"], 3) == number.estimate
        assert round(row["ci_high"] - row["estimate"], 3) == number.spread
        assert round(row["estimate"] - row["ci_low"], 3) == number.spread
        assert row["unit"] == UNIT
    assert real.meta["checks"]["table_1"] == {"reproduced": 15, "of": 15}


def test_every_pair_and_background_give_the_other_fifteen_means(real):
    table = overall(real, "accuracy", "all").set_index(["model", "condition"])["estimate"]
    assert len(table) == 15
    for model, numbers in ALL.items():
        assert [round(table[model, name], 3) for name in COLUMNS] == list(numbers)


def test_the_background_gap_of_the_paper(real):
    """0.930 − 0.772: 15.8 points from the rounded numbers, 15.9 from the files."""
    gaps = overall(real, "effects", "published").query("effect == 'gap'").set_index("model")
    gap = gaps.loc["paired_cell", "estimate"]
    assert gap == pytest.approx(0.158, abs=0.001)
    assert table_1.EXPLANATION.endswith(f"it is {100 * gap:.1f}.")
    assert (gaps["ci_low"] > 0).all()


def test_the_explanation_says_what_the_files_hold(real):
    accuracy = real.read("accuracy").to_pandas()
    table = accuracy[accuracy["scope"] == "overall"].pivot(
        index=["model", "condition"], columns="aggregation", values="estimate"
    )
    apart = (table["all"] - table["published"]).abs()
    assert apart.idxmax() == ("deeploc", "masked")
    assert f"up to {100 * apart.max():.1f} points" in table_1.EXPLANATION
    assert f"({table['all'][apart.idxmax()]:.3f}, not " in table_1.EXPLANATION
    classes = accuracy[accuracy["scope"] == "localization"].groupby(["aggregation", "condition"])
    held = classes["localization"].agg(set)
    assert set(LOCALIZATIONS) - held["published", "unaltered"] == {"vacuole"}
    assert held["published", "unaltered"] == held["published", "masked"]
    assert len(held["published", "same"]) == len(held["all", "unaltered"]) == 15
    pairwise = real.read("pairwise").to_pandas()
    backgrounds = pairwise.dropna(subset="background").groupby(["model", "condition", *SIDES])
    assert set(backgrounds.size()) == {13}
    assert "thirteen" in table_1.EXPLANATION


def test_the_real_files_hold_105_pairs_and_210_tests_on_own_backgrounds(real):
    pairwise = real.read("pairwise").to_pandas()
    assert set(pairwise.groupby(["model", "condition"]).size()) == {105, 1575 - 210}
    assert sum(item["count"] for item in real.meta["rejections"]) == 6 * 210
    unknown = pairwise[pairwise["n"].isna()]
    assert set(zip(unknown["model"], unknown["condition"], strict=True)) == {
        ("paired_cell", "cell_free"), ("deeploc", "cell_free"),
    }  # fmt: skip


# Averages against loops


@pytest.mark.parametrize("seed", range(3))
def test_both_averages_equal_the_naive_twin(tmp_path, seed):
    classes = [name for i, name in enumerate(LOCALIZATIONS) if i % 3 != seed][: 4 + 2 * seed]
    folder = write_results(tmp_path / "results", classes, seed, whole=False)
    run, _ = write_published(folder, tmp_path / "run")
    accuracy = run.read("accuracy").to_pandas()
    assert run.localizations == classes
    for model, condition, way in itertools.product(FOLDERS, PAPER_CONDITIONS, Aggregation):
        estimate, spread, by_class = naive(
            rows_of(folder, model, condition), condition, way is Aggregation.PUBLISHED
        )
        mine = accuracy[
            (accuracy[["model", "condition", "aggregation"]] == [model, condition, way]).all(axis=1)
        ]
        whole = mine[mine["scope"] == "overall"].squeeze()
        assert whole["estimate"] == pytest.approx(estimate)
        if spread is None:
            assert np.isnan(whole["ci_low"])
            assert pd.isna(whole["unit"])
        else:
            assert whole["ci_low"] == pytest.approx(estimate - spread)
            assert whole["ci_high"] == pytest.approx(estimate + spread)
        each = mine[mine["scope"] == "localization"].set_index("localization")["estimate"]
        assert each.to_dict() == pytest.approx(by_class)
        assert mine["n_cells"].isna().all()


def test_effects_are_differences_and_paired_where_the_classes_are_the_same(written, results):
    effects = written.read("effects").to_pandas()
    assert effects["p_value"].isna().all()
    for row in effects[effects["scope"] == "overall"].itertuples():
        first = "same" if row.effect == "gap" else "unaltered"
        way = row.aggregation == "published"
        one = naive(rows_of(results, row.model, first), first, way)
        two = naive(rows_of(results, row.model, row.condition), row.condition, way)
        assert row.estimate == pytest.approx(one[0] - two[0])
        if way and set(one[2]) == set(two[2]):
            each = [one[2][name] - two[2][name] for name in one[2]]
            spread = STANDARD_ERRORS * statistics.stdev(each) / len(each) ** 0.5
            assert row.unit == UNIT
            assert (row.ci_low, row.ci_high) == pytest.approx(
                (row.estimate - spread, row.estimate + spread)
            )
        else:
            assert pd.isna(row.unit)
            assert np.isnan([row.ci_low, row.ci_high]).all()
    with_interval = overall(written, "effects", "published").dropna(subset="ci_low")
    assert set(zip(with_interval["effect"], with_interval["condition"], strict=True)) == {
        ("drop", "masked"), ("gap", "different"),
    }  # fmt: skip


def pair_tests(*rows):
    return pd.DataFrame(rows, columns=[*SIDES, "background", "accuracy"])


def test_the_first_background_outside_the_pair_counts():
    tests = pair_tests(
        ("a", "b", "a", 0.1), ("a", "b", "b", 0.2), ("a", "b", "c", 0.6), ("a", "b", "d", 0.8)
    )
    assert average(tests, "different", Aggregation.PUBLISHED).estimate == pytest.approx(0.6)
    assert average(tests, "different", Aggregation.ALL).estimate == pytest.approx(0.7)


def test_one_class_or_none_has_no_spread():
    one = average(pair_tests(("a", "b", None, 0.9)), "unaltered", Aggregation.PUBLISHED)
    assert one.by_class.to_dict() == {"a": 0.9}
    assert np.isnan(one.spread)
    for way in Aggregation:
        assert np.isnan(average(pair_tests(), "same", way).estimate)
    for frame in aggregate(pd.DataFrame(columns=["model", "protocol"]), Aggregation.ALL):
        assert len(frame) == 0


# The run


def test_the_run_passes_its_check_and_has_what_every_run_has(written):
    assert list(check_path(written.path))[-1] == "Tables, counts and references agree."
    meta = written.meta
    assert meta["kind"] == "published"
    assert meta["simulated"] is False
    assert meta["localizations"] == list(CLASSES)
    assert meta["conditions"] == list(map(str, PAPER_CONDITIONS))
    assert meta["store"]["source"]["address"] == table_1.ADDRESS
    assert len(meta["store"]["source"]["files"]) == 15
    assert len({model["hash"] for model in meta["models"]}) == 3


def test_it_says_of_a_run_what_the_pipeline_says(written, run):
    ours, other = written.meta, RunDirectory(run).meta
    computed = {"timings", "engine", "measured"}
    assert set(other) - computed <= set(ours)
    # Published results read no crops, so nothing is said of how, nor of heads.
    assert set(other["models"][0]) - {"reads", "head"} == set(ours["models"][0])


def test_own_backgrounds_are_left_out_and_counted(written, results):
    pairwise = written.read("pairwise").to_pandas()
    assert (pairwise["background"] != pairwise["localization_a"]).all()
    assert (pairwise["background"] != pairwise["localization_b"]).all()
    (item,) = written.meta["rejections"]
    assert item["count"] == 3 * 2 * 10 * 2
    assert len(item["examples"]) == 6
    kept = [row for row in rows_of(results, "deeploc", "different")
            if row["Background"] not in (row["Location1"], row["Location2"])]  # fmt: skip
    mine = pairwise[(pairwise["model"] == "deeploc") & (pairwise["condition"] == "different")]
    assert mine["accuracy"].tolist() == [float(row["Accuracy"]) for row in kept]
    assert mine["std"].tolist() == [float(row["StdDev"]) for row in kept]
    assert mine["background"].tolist() == [row["Background"] for row in kept]
    assert set(pairwise["n"]) == {2000}
    assert set(overall(written, "accuracy", "all")["n_cells"]) == {5000}


def test_a_finished_run_does_nothing_and_another_folder_gives_the_same_bytes(
    written, results, tmp_path
):
    files = sorted(written.path.rglob("*.parquet"))
    before = [path.stat().st_mtime_ns for path in files]
    assert write_published(results, written.path, name=written.meta["name"])[1] is False
    assert [path.stat().st_mtime_ns for path in files] == before
    again, worked = write_published(results, tmp_path / "again")
    assert worked
    for path in files:
        assert path.read_bytes() == (again.path / path.relative_to(written.path)).read_bytes()
    assert again.meta["fingerprint"] == written.meta["fingerprint"]


def test_other_files_are_refused_until_fresh(tmp_path):
    folder = write_results(tmp_path / "results", CLASSES[:3])
    write_published(folder, tmp_path / "run")
    path = folder / "pci" / "results_same.csv"
    change(path, 2, "Accuracy", "0.5")
    with pytest.raises(ChangedError, match="paired_cell"):
        write_published(folder, tmp_path / "run")
    assert write_published(folder, tmp_path / "run", fresh=True)[1]


def test_interrupted_it_goes_on(results, written, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "finish", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write_published(results, tmp_path / "run")
    run, worked = write_published(results, tmp_path / "run")
    assert worked
    assert run.meta["fingerprint"] == written.meta["fingerprint"]


def test_the_dashboard_opens_it(written):
    from dashboard.queries import accuracy, provenance
    from dashboard.queries.filters import AccuracyFilter
    from dashboard.queries.open_runs import connect, open_library

    library = open_library([written.path], connect([written.path.resolve()]))
    assert not library.broken
    opened = library.runs[0]
    for way in Aggregation:
        chosen = AccuracyFilter(aggregation=str(way), models=tuple(FOLDERS), conditions=COLUMNS)
        assert len(accuracy.overall(opened, chosen)) == 15
        assert len(accuracy.gaps(opened, chosen)) == 3
        assert len(accuracy.by_class(opened, chosen, "masked")) == 3 * (5 - (way == "published"))
    assert set(provenance.contents(opened)["table"]) >= {"cells", "trials", "predictions"}


# Bad input


def change(path: Path, line: int, column: str, value: str | None) -> None:
    """Set one value of a file; lines count from 1, the header's."""
    rows = list(csv.reader(path.open(newline="")))
    place = rows[0].index(column)
    if value is None:
        del rows[line - 1]
    else:
        rows[line - 1][place] = value
    with path.open("w", newline="") as handle:
        csv.writer(handle).writerows(rows)


@pytest.mark.parametrize(
    ("file", "line", "column", "value", "said"),
    [
        ("base", 1, "Accuracy", "Acuracy", ["missing column(s) Accuracy", "Acuracy", "StdDev"]),
        ("diff", 1, "Background", "Place", ["missing column(s) Background", "Place"]),
        ("base", 3, "Location1", "Actin", ["row 3", "Location1", "'Actin'", "'actin'", "vacuole"]),
        ("batch", 4, "Background", "", ["row 4", "Background", "''"]),
        ("mask", 2, "Accuracy", "nan", ["row 2", "Accuracy is nan", "from 0 to 1"]),
        ("mask", 2, "Accuracy", "", ["row 2", "Accuracy is empty"]),
        ("same", 5, "Accuracy", "1.02", ["row 5", "Accuracy is 1.02"]),
        ("same", 5, "Accuracy", "-0.1", ["row 5", "Accuracy is -0.1"]),
        ("diff", 6, "StdDev", "inf", ["row 6", "StdDev is inf"]),
        ("diff", 6, "StdDev", "0,1", ["row 6", "StdDev is 0,1"]),
        ("base", 2, "Location2", "actin", ["row 2", "both 'actin'"]),
        ("base", 2, "Location2", "nucleus", ["row 3", "actin and nucleus", "twice", "row 2"]),
        ("diff", 4, "Background", "actin", ["row 4", "background actin", "twice"]),
        ("same", 3, "Accuracy", None, ["has no row for actin and nucleus", "all pairs"]),
        ("batch", 4, "Accuracy", None, ["actin and ER on background nucleus", "all pairs"]),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_written(tmp_path, file, line, column, value, said):
    folder = write_results(tmp_path / "results")
    path = folder / "pci" / f"results_{file}.csv"
    change(path, line, column, value)
    with pytest.raises(InputError) as caught:
        write_published(folder, tmp_path / "run")
    for words in (str(path), *said):
        assert words in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_pair_the_other_way_round_is_the_same_pair(tmp_path):
    folder = write_results(tmp_path / "results")
    with (folder / "pifia" / "results_base.csv").open("a") as handle:
        handle.write("ER,actin,0.9,0.01\n")
    with pytest.raises(InputError, match=r"row 12: ER and actin is there twice, first in row 2"):
        write_published(folder, tmp_path / "run")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "missing column"),
        (b"Location1,Location2,Accuracy,StdDev\n", "no rows"),
        (b"\xff\xfe\x00binary", "not a readable CSV"),
        (b"Location1,Location2,Accuracy,StdDev\nactin,ER,0.9,0.1,7\n", "row 2: more values"),
        (b"Location1,Location2,Accuracy,StdDev\nactin,ER\n", "row 2: Accuracy is empty"),
    ],
)
def test_a_broken_file_is_named(tmp_path, content, said):
    folder = write_results(tmp_path / "results", CLASSES[:3])
    path = folder / "deeploc" / "results_mask.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        write_published(folder, tmp_path / "run")
    assert str(path) in str(caught.value)


def test_blank_lines_and_a_byte_order_mark_are_no_harm(results, written, tmp_path):
    folder = write_results(tmp_path / "results")
    path = folder / "pifia" / "results_base.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\r\n", b"\r\n\r\n") + b"\n")
    run, _ = write_published(folder, tmp_path / "run")
    assert run.meta["fingerprint"] == written.meta["fingerprint"]


def test_a_missing_file_or_folder_is_named_with_what_was_expected(tmp_path):
    folder = write_results(tmp_path / "results", CLASSES[:3])
    (folder / "pci" / "results_batch.csv").unlink()
    with pytest.raises(InputError, match=r"pci.results_batch.csv is missing\.") as caught:
        write_published(folder, tmp_path / "run")
    assert "{pifia,pci,deeploc}/results_{base,same,diff,batch,mask}.csv" in str(caught.value)
    assert table_1.ADDRESS in str(caught.value)
    with pytest.raises(InputError, match="nowhere is not a folder"):
        write_published(tmp_path / "nowhere", tmp_path / "run")
    with pytest.raises(InputError, match="and 14 more"):
        write_published(tmp_path, tmp_path / "run")


# The command


def test_the_command_writes_says_and_refuses(results, tmp_path):
    from typer.testing import CliRunner

    from compute.cli.main import app

    def call(*arguments):
        return CliRunner().invoke(app, ["published", *map(str, arguments)])

    out = tmp_path / "run"
    done = call(results, "--out", out, "--name", "Drawn")
    assert done.exit_code == 0
    assert RunDirectory(out).meta["name"] == "Drawn"
    assert RunDirectory(out).meta["checks"]["table_1"]["reproduced"] == 0
    assert call(results, "--out", out).exit_code == 0
    assert call(tmp_path, "--out", tmp_path / "other").exit_code != 0
    assert call(results).exit_code == 2


# Every run


def test_every_run_has_the_published_average_of_its_own_pair_tests(run):
    accuracy = pd.read_parquet(run / "accuracy.parquet")
    pairwise = pd.read_parquet(run / "pairwise.parquet")
    keys = ["model", "protocol", "condition"]
    theirs = accuracy[(accuracy["aggregation"] == "published") & (accuracy["scope"] == "overall")]
    assert set(theirs["probe"]) == {"pair"}
    assert set(theirs["protocol"]) == {"refit", "frozen"}
    assert set(theirs["condition"]) == set(map(str, Condition))
    ours = accuracy[(accuracy["aggregation"] == "all") & (accuracy["probe"] == "pair")
                    & (accuracy["scope"] == "overall")].set_index(keys)  # fmt: skip
    for row in theirs.itertuples():
        key = (row.model, row.protocol, row.condition)
        tests = pairwise[(pairwise[keys] == list(key)).all(axis=1)]
        rows = [{"Location1": t.localization_a, "Location2": t.localization_b,
                 "Background": t.background, "Accuracy": t.accuracy}
                for t in tests.itertuples()]  # fmt: skip
        # Controls follow the rule of the paper's condition that has donors, or none, as they do.
        like = {"sham": "masked", "alone": "masked", "background_only": "masked",
                "same_protein": "same"}.get(row.condition, row.condition)  # fmt: skip
        estimate, spread, _ = naive(rows, like, True)
        assert row.estimate == pytest.approx(estimate)
        assert row.ci_high - row.estimate == pytest.approx(spread)
        assert row.n_cells == ours.loc[key, "n_cells"]
        assert row.n_proteins == ours.loc[key, "n_proteins"]
    effects = pd.read_parquet(run / "effects.parquet")
    some = effects[(effects["aggregation"] == "published") & (effects["scope"] == "overall")]
    many = some.groupby(["model", "protocol"])["effect"].value_counts().unstack()
    assert len(many) == 3 * 2
    of_each = {"drop": len(Condition) - 1, "net": len(Condition) - 2, "gap": 1}
    for effect, expected in of_each.items():
        assert (many[effect] == expected).all()
    assert some["n_cells"].notna().all()
