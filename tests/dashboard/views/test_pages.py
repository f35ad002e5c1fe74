"""Every page of the app without a browser, then what can go wrong with runs and addresses."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from dashboard.bench.synthetic_run import make_run
from dashboard.views import PAGES
from dashboard.wording import plain_name
from tests.dashboard.opening import SMALL

VIEWS = tuple(page.name for page in PAGES)
ANSWERS = ("flips", "backgrounds", "rescaling", "calibration", "reliability", "truth")
"""Tables of how answers change, which older runs have not."""

QUIET = ("present",)
"""Pages without a header, so without the badge."""


def text_of(test) -> str:
    parts = [*test.markdown, *test.caption, *test.title, *test.subheader, *test.header]
    parts += [*test.info, *test.warning, *test.error]
    parts += list(test.get("html"))
    return "\n".join(str(getattr(part, "value", "") or part.proto) for part in parts)


def fine(test) -> None:
    assert not test.exception, [item.message for item in test.exception]
    assert not test.error, [item.value for item in test.error]


@pytest.mark.parametrize("view", VIEWS)
def test_page_opens_and_says_simulated(app, run_path, view):
    test = app(run_path, view=view)
    fine(test)
    assert view in QUIET or "simulated cells" in text_of(test)


def test_overview_says_the_finding(app, run_path):
    said = text_of(app(run_path))
    assert "points" in said
    assert "background gap" in said
    assert "95% interval" in said


def test_dashboard_never_imports_torch():
    code = (
        "import sys, importlib, pkgutil, dashboard\n"
        "for m in pkgutil.walk_packages(dashboard.__path__, 'dashboard.'):\n"
        "    if m.name not in ('dashboard.app',): importlib.import_module(m.name)\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    "change",
    [
        {"examples": 0},
        {"labels": False},
        {"models": ()},
        {"models": ("pifia",)},
        {"models": ("my own $model$",)},
        {"conditions": ("unaltered",)},
        {"conditions": ("unaltered", "masked")},
        {"conditions": ("masked", "cell_free")},
        {"odd_names": True},
        {"drops": False},
        {"simulated": False},
        {"complete": False},
        {"without": ANSWERS},
        {"localizations": tuple(f"place {i}" for i in range(30)), "proteins": 30},
        {"localizations": ("nucleus",), "mixed": 0},
    ],
    ids=str,
)
def test_unusual_runs_are_shown_or_explained(app, tmp_path, change):
    plan = replace(SMALL, proteins=15, mixed=1, cells=4, examples=1)
    path = make_run(tmp_path / "run", replace(plan, **change))
    for view in VIEWS:
        test = app(path, view=view)
        assert not test.exception, (view, [item.message for item in test.exception])
        assert not test.error, (view, [item.value for item in test.error])
        if "complete" in change:
            assert f"bystander run store --out {path}" in [code.value for code in test.code]


def test_runs_that_cannot_be_opened_are_explained(app, tmp_path, run_path):
    (tmp_path / "empty").mkdir()
    test = app(tmp_path / "empty")
    fine(test)
    assert "No run to show" in text_of(test)
    assert "run.json" in text_of(test)
    test = app(tmp_path / "empty", run_path)
    fine(test)
    assert test.title[0].value.startswith("Does the model")


def test_a_table_removed_while_open_is_explained(app, tmp_path):
    plan = replace(SMALL, proteins=15, mixed=0, cells=4, models=("pifia",))
    path = make_run(tmp_path / "run", plan)
    test = app(path)
    fine(test)
    (path / "accuracy.parquet").unlink()
    (path / "examples.parquet").write_bytes(b"torn")
    test.run()
    fine(test)
    assert "cannot be shown" in text_of(test)


NASTY = [
    "'; DROP TABLE x; --",
    "<script>alert(1)</script>",
    "x" * 100_000,
    "../../etc/passwd",
    "💥",
]


@pytest.mark.parametrize("value", NASTY, ids=range(len(NASTY)))
@pytest.mark.parametrize(
    ("view", "key"),
    [
        ("proteins", "protein"),
        ("proteins", "condition"),
        ("proteins", "q"),
        ("proteins", "threshold"),
        ("crops", "class"),
        ("crops", "gene"),
        ("crops", "page"),
        ("crops", "cell"),
        ("crops", "background"),
        ("crops", "flip"),
        ("proteins", "genes"),
        ("accuracy", "class"),
        ("accuracy", "two"),
        ("accuracy", "grid"),
        ("overview", "run"),
        ("overview", "keep"),
        ("overview", "no_such_parameter"),
        ("accuracy", "model"),
        ("overview", "models"),
        ("overview", "protocol"),
    ],
)
def test_hand_edited_addresses_do_no_harm(app, run_path, view, key, value):
    test = app(run_path, view="" if view == "overview" else view, **{key: value})
    fine(test)
    assert "<script>alert" not in "".join(str(item.proto.body) for item in test.get("html"))


def test_an_unknown_gene_is_said_with_the_nearest(app, run_path, run):
    gene = run.query("SELECT min(protein) AS p FROM {cells}", ("cells",))["p"].item()
    test = app(run_path, view="proteins", protein=f"{gene}Q")
    assert f"nearest is **{gene}**" in test.warning[0].value
    test = app(run_path, view="proteins", protein=gene.lower())
    assert not test.warning
    assert gene in [header.value for header in test.header]


def test_an_orf_finds_its_gene(app, run_path, run):
    row = run.query("SELECT protein, orf FROM {cells} LIMIT 1", ("cells",)).iloc[0]
    test = app(run_path, view="proteins", protein=row["orf"])
    assert row["protein"] in [header.value for header in test.header]


def test_links_to_databases_only_for_real_cells(app, tmp_path, run_path, run):
    gene = run.query("SELECT min(protein) AS p FROM {cells}", ("cells",))["p"].item()
    assert "yeastgenome" not in text_of(app(run_path, view="proteins", protein=gene))
    path = make_run(tmp_path / "real", replace(SMALL, simulated=False, models=("pifia",)))
    said = text_of(app(path, view="proteins", protein=gene))
    assert "https://www.yeastgenome.org/locus/Y" in said
    assert "uniprot.org" in said
    assert "simulated" not in said.lower()


def test_threshold_moves_the_share(app, run_path):
    test = app(run_path, view="proteins")
    low = test.slider[0].set_value(0.0).run().subheader[0].value
    high = test.slider[0].set_value(0.95).run().subheader[0].value
    fine(test)
    assert low != high
    assert high.startswith("0 of")


def test_search_filters_the_table(app, run_path, run):
    gene = run.query("SELECT min(protein) AS p FROM {cells}", ("cells",))["p"].item()
    test = app(run_path, view="proteins")
    box = next(item for item in test.text_input if item.key == "q")
    box.set_value(gene.lower()).run()
    fine(test)
    tables = [table.value for table in test.dataframe]
    assert any(gene in table["protein"].tolist() for table in tables if "protein" in table)
    box = next(item for item in test.text_input if item.key == "q")
    box.set_value("nothing has this").run()
    assert "No gene or ORF has" in text_of(test)


def crops_of(test) -> str:
    bodies = [item.proto.body for item in test.get("html")]
    return next(body for body in bodies if 'class="crops' in body and "<img" in body)


def test_crops_filters_and_pages(app, run_path):
    test = app(run_path, view="crops")
    first = crops_of(test)
    test.session_state["page"] = 2
    test.run()
    fine(test)
    assert crops_of(test) != first
    test = app(run_path, view="crops", gene="no such gene")
    assert "No cell with stored images" in text_of(test)


def test_two_runs_can_be_chosen_between(app, tmp_path, run_path):
    second = make_run(tmp_path / "b", replace(SMALL, name="Other", models=("deeploc",)))
    test = app(run_path, second)
    assert list(test.selectbox[0].options) == ["synthetic", "Other"]
    test.selectbox[0].set_value("Other").run()
    fine(test)
    assert "Other" in text_of(test)
    test = app(run_path, second, run="Othr")
    assert "nearest is **Other**" in test.warning[0].value


def test_spec_of_charts_has_no_foreign_colours(app, run_path):
    test = app(run_path)
    spec = json.loads(test.get("plotly_chart")[0].proto.spec)
    assert spec["layout"]["paper_bgcolor"] == "rgba(0,0,0,0)"


def headers_of(test) -> list[str]:
    return [item.value for item in [*test.header, *test.subheader]]


def genes_of(run, count: int) -> list[str]:
    found = run.query("SELECT DISTINCT protein AS p FROM {cells} ORDER BY p", ("cells",))
    return found["p"].tolist()[:count]


def test_a_list_of_genes_is_kept_and_unknown_ones_are_named(app, run_path, run):
    one, two = genes_of(run, 2)
    test = app(run_path, view="proteins", genes=f"{one}, {two.lower()}\n{two}Q")
    fine(test)
    assert "Your list" in headers_of(test)
    assert f"nearest: **{two}**" in test.warning[0].value
    assert set(test.dataframe[-1].value["protein"]) == {one, two}
    button = next(item for item in test.button if item.label == "Take the nearest instead")
    button.click().run()
    fine(test)
    assert not test.warning
    assert test.text_area[0].value.split() == [one, two]


def test_the_nearest_to_an_unknown_value_is_one_click_away(app, run_path, run):
    gene = genes_of(run, 1)[0]
    test = app(run_path, view="proteins", protein=f"{gene}Q")
    next(item for item in test.button if item.label == f"Show {gene}").click().run()
    fine(test)
    assert gene in headers_of(test)
    assert not test.warning


def test_one_cell_is_shown_with_all_its_trials(app, run_path, run):
    cell = int(run.query("SELECT min(cell) AS c FROM {examples}", ("examples",))["c"].item())
    trials = run.query(
        "SELECT count(*) AS n FROM {trials} WHERE cell = $cell", ("trials",), {"cell": cell}
    )["n"].item()
    test = app(run_path, view="crops", cell=str(cell))
    fine(test)
    shown = next(item.value for item in test.dataframe if "donor_localization" in item.value)
    assert len(shown) == trials
    assert {"pifia", "paired_cell", "deeploc"} <= set(shown.columns)
    assert "crops gallery" in "".join(item.proto.body for item in test.get("html"))
    test = app(run_path, view="crops", cell="999999999")
    fine(test)
    assert "does not have" in test.warning[0].value


def test_what_is_chosen_on_accuracy_shows_its_crops(app, run_path, run):
    row = run.query(
        """SELECT localization AS l, donor_localization AS d FROM {examples}
           WHERE condition = 'different' AND localization IS NOT NULL ORDER BY cell LIMIT 1""",
        ("examples",),
    ).iloc[0]
    chosen = {"centre": row["l"], "background": row["d"], "class": row["l"]}
    test = app(run_path, view="accuracy", condition="Different class", **chosen)
    fine(test)
    bodies = [item.proto.body for item in test.get("html")]
    assert sum("crops pairs" in body for body in bodies) == 2
    assert f"on {row['d']} backgrounds" in text_of(test)


def test_tables_of_answers_that_are_missing_are_said_in_words(app, made):
    plan = replace(SMALL, proteins=15, mixed=1, cells=4, examples=1, without=ANSWERS)
    test = app(made(plan), view="accuracy")
    fine(test)
    said = "".join(item.value for item in test.info)
    for name in ("how answers change", "rescaling against context", "calibration"):
        assert name in said


def test_a_half_written_table_is_explained_on_its_page_alone(app, tmp_path):
    plan = replace(SMALL, proteins=15, mixed=0, cells=4, models=("pifia",))
    path = make_run(tmp_path / "run", plan)
    whole = (path / "flips.parquet").read_bytes()
    (path / "flips.parquet").write_bytes(whole[: len(whole) // 2])
    test = app(path, view="accuracy")
    fine(test)
    assert "Answers that change cannot be shown" in text_of(test).replace("**", "")
    assert any("class accuracies" in head for head in headers_of(test))


def test_a_run_replaced_while_open_is_read_anew(app, tmp_path):
    plan = replace(SMALL, proteins=15, mixed=0, cells=4, models=("pifia",))
    path = make_run(tmp_path / "run", plan)
    test = app(path)
    fine(test)
    import shutil

    shutil.rmtree(path)
    test.run()
    fine(test)
    assert "No run to show" in text_of(test)
    make_run(path, replace(plan, models=("deeploc",), name="second"))
    test.run()
    fine(test)
    assert "DeepLoc" in text_of(test)
    assert "second" in text_of(test)


def test_robustness_is_claimed_from_the_equivalence_test_alone(app, made):
    plan = replace(SMALL, proteins=15, mixed=1, cells=4, examples=0, drops=False)
    said = text_of(app(made(plan)))
    assert "Shown to be robust" in said
    assert "equivalence test" in said
    said = text_of(app(made(replace(plan, drops=True))))
    assert "Of the others that cannot be said" in said or "No model is shown to be robust" in said


@pytest.mark.parametrize("view", VIEWS)
def test_published_numbers_are_not_called_cells(app, published, view):
    test = app(published, view=view)
    fine(test)
    said = text_of(test).lower()
    for wrong in ("imaged cells", "? × ?", "none numbers", "simulated", "95% from"):
        assert wrong not in said


def test_methods_shows_the_cells_and_where_their_masks_are_from(app, made):
    path = made(replace(SMALL, simulated=False))
    test = app(path, view="methods")
    fine(test)
    said = text_of(test)
    assert "were found by Bystander in the channel RFP; the others came with the crops." in said
    assert "mask of the cell" in said
    assert said.count('class="line"') >= 40
    test.toggle(key="mosaic_outlines").set_value(False).run()
    fine(test)
    assert "mask of the cell" not in text_of(test)
    test.selectbox(key="mosaic_channels").select("RFP").run()
    fine(test)
    assert plain_name("Not in this picture: GFP.") in text_of(test)


@pytest.mark.parametrize("change", [{"examples": 0}, {"without": ("mosaic",)}])
def test_methods_says_how_to_get_pictures_that_a_run_has_not(app, made, change):
    test = app(made(replace(SMALL, **change)), view="methods")
    fine(test)
    assert "`bystander check STORE --pictures FOLDER`" in text_of(test)
