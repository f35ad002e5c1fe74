"""The model's own answer in the dashboard: only where a run has it, in words that say what it is.

The synthetic run has no heads, so one of its models is given one: what its frozen probe says.
"""

import json
import shutil

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from compute.errors import UsageError
from dashboard import wording
from dashboard.figures import accuracy, answers, keys, proteins
from dashboard.figures.figure import Figure
from dashboard.figures.request import Filters
from dashboard.queries.comparable_runs import comparison, directly
from dashboard.queries.compare import leaderboard
from dashboard.queries.filters import AccuracyFilter
from tests.dashboard.opening import opened

MODEL = "deeploc"
TABLES = (
    "accuracy", "effects", "flips", "shifts", "distributions", "calibration", "reliability",
    "backgrounds", "mixed_shifts", "worst_case", "dose", "decomposition", "truth",
)  # fmt: skip


def own_rows(table: pa.Table) -> pa.Table:
    """Return the rows of a model's frozen multi-class probe as those of its own answer."""
    frame = table.to_pandas()
    chosen = (frame["protocol"] == "frozen") & (frame.get("model", MODEL) == MODEL)
    if "probe" in frame:
        chosen &= frame["probe"] == "multiclass"
    rows = table.filter(pa.array(chosen.to_numpy(bool)))
    place = rows.schema.get_field_index("protocol")
    return rows.set_column(place, rows.schema.field(place), pa.array(["own"] * len(rows)))


@pytest.fixture(scope="module")
def path(run_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("own") / "small"
    shutil.copytree(run_path, folder)
    files = [file for name in TABLES if (file := folder / f"{name}.parquet").is_file()]
    files += sorted((folder / "predictions" / f"model={MODEL}").glob("*.parquet"))
    for file in files:
        table = pq.read_table(file, partitioning=None)
        both = pa.concat_tables([table, own_rows(table).cast(table.schema)])
        if "protein" in table.schema.names and "predictions" in str(file):
            both = both.sort_by("protein")
        pq.write_table(both, file)
    meta = json.loads((folder / "run.json").read_text("utf-8"))
    meta["protocols"].append("own")
    meta["name"] = "with a head"
    for model in meta["models"]:
        if model["name"] == MODEL:
            model["own"] = {"classes": meta["localizations"], "head_classes": 15, "mapped": 15}
            model["head"] = "deeploc has a head of 15 classes"
    (folder / "run.json").write_text(json.dumps(meta), "utf-8")
    return folder


@pytest.fixture(scope="module")
def headed(path):
    return opened(path)


def test_only_models_with_a_head_have_answers_of_their_own(headed, run):
    assert headed.models_under("own") == [MODEL]
    assert headed.protocols == ["refit", "frozen", "own"]
    assert run.models_under("own") == []
    assert run.protocols == ["refit", "frozen"]
    filters = Filters.usual(headed, "own")
    assert (filters.models, filters.probe) == ((MODEL,), "multiclass")
    assert len(Filters.usual(headed).models) == 3


def test_sentences_say_whose_answer_it_is():
    own = AccuracyFilter("own", "multiclass", models=(MODEL,)).sentence()
    assert own == (
        "Accuracy of the model's own answer, the mean over localizations that it can name. "
        "The answers are the model's own: no probe was fitted."
    )
    assert "probe" not in own.replace("no probe was fitted", "").lower()
    assert wording.without_head(["pifia", "paired_cell"]).endswith("no answer of their own.")
    assert wording.without_head(["pifia"]).endswith("no answer of its own.")
    assert wording.without_head([]) == ""


@pytest.mark.parametrize(
    "figure",
    [accuracy.ACCURACY, accuracy.FINDING, accuracy.GAP, accuracy.BY_CLASS, answers.FLIPS,
     answers.CALIBRATION, answers.RELIABILITY, *proteins.FIGURES[:2]],
    ids=lambda figure: figure.name,
)  # fmt: skip
def test_figures_are_drawn_of_own_answers(headed, figure: Figure):
    given = {"protein": "protein=x"} if "protein" in figure.needed else {}
    if given:
        pytest.skip("needs a protein")
    [key] = keys.read(f"{figure.name}:protocol=own")[0]
    asked = figure.checked(key, headed, directly)
    assert (asked.protocol, asked.probe, asked.models) == ("own", "multiclass", (MODEL,))
    drawn = figure.slide(asked)
    said = f"{drawn.title} {drawn.caption} {' '.join(drawn.lines)}"
    assert "multi-class probe" not in said
    table = figure.query(asked)
    assert len(table)
    if "model" in table:
        assert set(table["model"]) == {MODEL}


def test_an_address_that_asks_a_run_for_what_it_lacks_is_refused(run):
    [key] = keys.read("accuracy:protocol=own")[0]
    with pytest.raises(UsageError, match="Unknown protocol 'own'"):
        accuracy.ACCURACY.checked(key, run, directly)


def test_the_leaderboard_has_only_models_with_a_head(headed):
    found = comparison(directly, [headed])
    choice = ("own", "multiclass", "all")
    assert choice in found.choices
    table = leaderboard(directly, found, choice, "different")
    assert table["model"].tolist() == [MODEL]
    frozen = leaderboard(directly, found, ("frozen", "multiclass", "all"), "different")
    both = pd.concat([table, frozen[frozen["model"] == MODEL]])
    assert both["drop"].nunique() == 1
    assert len(frozen) == 3


def test_pages_show_own_answers_and_say_who_has_none(app, path):
    test = app(path, protocol="own")
    assert not test.exception
    said = " ".join(item.value for item in test.caption)
    assert "no last layer that names these classes" in said
    assert "no probe was fitted" in said


@pytest.mark.long
@pytest.mark.parametrize("view", ["accuracy", "proteins", "crops", "compare", "methods"])
def test_every_page_opens_under_own(app, path, view):
    test = app(path, protocol="own").switch_page(f"views/{view}.py").run()
    assert not test.exception
    assert not test.error


def test_an_address_of_a_run_without_heads_keeps_its_usual_choice(app, run_path):
    test = app(run_path, protocol="own")
    assert not test.exception
    assert any("own" in item.value for item in test.warning), [w.value for w in test.warning]
