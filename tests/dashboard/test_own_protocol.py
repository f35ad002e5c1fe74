"""The model's own answer in the dashboard: only where a run has it, in words that say what it is.

The synthetic run has no heads, so one of its models is given one: what its frozen probe says.
"""

import shutil

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from compute.cli.main import app as app_of_commands
from compute.errors import UsageError
from dashboard import theme, wording
from dashboard.figures import accuracy, answers, keys, proteins
from dashboard.figures.compare import LEADERBOARD
from dashboard.figures.figure import Figure
from dashboard.figures.request import Filters
from dashboard.queries.comparable_runs import comparison, directly, unlike_heads
from dashboard.queries.compare import class_pairs, leaderboard
from dashboard.queries.filters import AccuracyFilter
from dashboard.queries.ranking import compare
from tests.dashboard.opening import opened
from tests.seals import change_header, header, reseal

MODEL = "deeploc"
TABLES = (
    "accuracy", "effects", "flips", "shifts", "distributions", "calibration", "reliability",
    "backgrounds", "mixed_shifts", "worst_case", "dose", "decomposition", "truth",
)  # fmt: skip


def own_rows(table: pa.Table, model: str = MODEL, but: tuple[str, ...] = ()) -> pa.Table:
    """Return the rows of a model's frozen multi-class probe as those of its own answer.

    Without those of some classes.
    """
    frame = table.to_pandas()
    chosen = (frame["protocol"] == "frozen") & (frame.get("model", model) == model)
    if but:
        chosen &= ~frame["localization"].isin(but)
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
    meta = header(folder)
    meta["protocols"].append("own")
    meta["name"] = "with a head"
    for model in meta["models"]:
        if model["name"] == MODEL:
            model["own"] = {"classes": meta["localizations"], "head_classes": 15, "mapped": 15}
            model["head"] = "deeploc has a head of 15 classes"
    change_header(folder, meta)
    reseal(folder)
    return folder


OTHER = "pifia"


def with_second_head(path, folder, lacking: int):
    """Give a second model a head, which lacks the store's last classes."""
    shutil.copytree(path, folder)
    meta = header(folder)
    names = meta["localizations"]
    but = tuple(names[len(names) - lacking :])
    for name in ("accuracy", "effects"):
        file = folder / f"{name}.parquet"
        table = pq.read_table(file, partitioning=None)
        added = own_rows(table, OTHER, but).cast(table.schema)
        pq.write_table(pa.concat_tables([table, added]), file)
    for model in meta["models"]:
        if model["name"] == OTHER:
            model["own"] = {"classes": [name for name in names if name not in but]}
    meta["name"] = "two heads"
    change_header(folder, meta)
    reseal(folder)
    return folder, but


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


@pytest.mark.parametrize("lacking", [0, 4])
def test_heads_of_other_classes_are_not_ranked(path, tmp_path, lacking):
    folder, but = with_second_head(path, tmp_path / "two", lacking)
    run = opened(folder)
    found = comparison(directly, [run])
    choice = ("own", "multiclass", "all")
    table = leaderboard(directly, found, choice, "different", "highest accuracy")
    ranking = compare(folder, protocol="own", sort="accuracy")
    assert set(table["model"]) == {MODEL, OTHER}
    assert table["drop"].notna().all()
    [key] = keys.read("leaderboard:protocol=own:condition=different:sort=highest%20accuracy")[0]
    drawn = LEADERBOARD.slide(LEADERBOARD.checked(key, run, directly))
    why = unlike_heads(found, "own")
    for other in ("frozen", "refit"):
        assert unlike_heads(found, other) == ""
    if not lacking:
        assert why == ""
        assert table["rank"].tolist() == ranking.table["rank"].tolist() == [1, 2]
        assert "judged on different classes" not in f"{drawn.title} {drawn.caption}"
        return
    many = len(run.localizations)
    first, second = (theme.model_title(name, short=True) for name in (MODEL, OTHER))
    for part in (f"{first} {many}", f"{second} {many - 4}", f"{many - 4} of them in all heads"):
        assert part in why
    assert table["rank"].isna().all()
    assert ranking.table["rank"].isna().all()
    assert ranking.notes[0] == why
    assert table["entry"].tolist() == sorted(table["entry"])
    assert drawn.title == "Judged on different classes, so not ranked"
    assert drawn.caption.startswith(why)
    frozen = leaderboard(directly, found, ("frozen", "multiclass", "all"), "different")
    assert frozen["rank"].tolist() == [1, 2, 3]
    entries = {entry.model: entry for entry in found.entries}
    pairs = class_pairs(directly, found, entries[MODEL], entries[OTHER], choice, "different")
    assert not set(but) & set(pairs["localization"])
    difference = pairs["difference"].to_numpy()
    assert pairs["reverses"].tolist() == (difference * difference.mean() < 0).tolist()


def test_the_command_says_why_it_does_not_rank(path, tmp_path):
    folder, _ = with_second_head(path, tmp_path / "two", 3)
    said = CliRunner().invoke(app_of_commands, ["compare", str(folder), "--protocol", "own"])
    assert said.exit_code == 0, said.output
    assert "Not ranked, for the heads are judged on different classes" in said.output.replace(
        "\n", " "
    )


@pytest.mark.long
def test_the_page_says_why_it_does_not_rank(app, path, tmp_path):
    folder, _ = with_second_head(path, tmp_path / "two", 3)
    test = app(folder, protocol="own").switch_page("views/compare.py").run()
    assert not test.exception
    assert any("judged on different classes" in item.value for item in test.caption)


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
