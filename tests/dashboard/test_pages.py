"""Every page of the app without a browser, then what can go wrong with runs and addresses."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from conftest import SMALL
from synthetic_run import write_run

VIEWS = ("overview", "accuracy", "proteins", "crops", "methods")


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
    assert "simulated cells" in text_of(test)


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
        {"examples": False},
        {"labels": False},
        {"models": ()},
        {"models": ("pifia",)},
        {"models": ("my/own $model$",)},
        {"conditions": ("unaltered",)},
        {"conditions": ("unaltered", "masked")},
        {"conditions": ("masked", "cell_free")},
        {"localizations": ("nucleus",)},
        {"odd_names": True},
        {"drops": False},
        {"simulated": False},
        {"complete": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("view", VIEWS)
def test_unusual_runs_are_shown_or_explained(app, made, view, change):
    plan = replace(SMALL, proteins_per_class=1, mixed=1, cells=4, example_cells=6)
    path = made(replace(plan, **change))
    test = app(path, view=view)
    fine(test)
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
    plan = replace(SMALL, proteins_per_class=1, mixed=0, cells=4, models=("pifia",))
    path = write_run(tmp_path / "run", plan)
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
        ("accuracy", "model"),
        ("overview", "models"),
        ("overview", "protocol"),
    ],
)
def test_hand_edited_addresses_do_no_harm(app, run_path, view, key, value):
    test = app(run_path, view="" if view == "overview" else view, **{key: value})
    fine(test)
    assert "<script>" not in "".join(str(item.proto.body) for item in test.get("html"))


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
    path = write_run(tmp_path / "real", replace(SMALL, simulated=False, models=("pifia",)))
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
    assert gene in test.dataframe[-1].value["protein"].tolist()
    box = next(item for item in test.text_input if item.key == "q")
    box.set_value("nothing has this").run()
    assert "No gene or ORF has" in text_of(test)


def crops_of(test) -> str:
    bodies = [item.proto.body for item in test.get("html")]
    return next(body for body in bodies if 'class="crops' in body)


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
    second = write_run(tmp_path / "b", replace(SMALL, name="Other", models=("deeploc",)))
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
