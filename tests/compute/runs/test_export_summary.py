"""What a run found in one file, against its tables and its header."""

import csv
import json
import shutil

import pandas as pd
import pytest

from compute.errors import InputError, UsageError
from compute.runs.export_summary import HEADLINES, export_summary, latex
from compute.shipped import COMPARED_RUN, DEMO_RUN
from compute.storage.run_directory import RunDirectory
from compute.storage.sealed_json import write_sealed
from tests.seals import header, reseal


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("summary")
    return {
        ending: export_summary(DEMO_RUN, folder / f"demo.{ending}")
        for ending in ("json", "csv", "tex")
    }


def overall(table, column=None):
    """Rows over all classes, by what a summary names them after."""
    frame = pd.read_parquet(DEMO_RUN / f"{table}.parquet")
    found = {}
    for row in frame.to_dict("records"):
        if row["scope"] == "overall" and row["aggregation"] == "all":
            quantity = row[column] if column else "accuracy"
            key = (row["model"], row["probe"], row["protocol"], quantity, row["condition"])
            found[key] = row
    return found


def test_every_number_is_that_of_the_runs_tables(made):
    content = json.loads(made["json"].read_text())
    expected = {**overall("accuracy"), **overall("effects", "effect")}
    found = {}
    for model in content["models"]:
        for number in model["numbers"]:
            names = ("probe", "protocol", "quantity", "condition")
            found[model["name"], *(number[name] for name in names)] = number
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        for name in ("estimate", "ci_low", "ci_high", "n_cells", "n_proteins", "donor_seen"):
            value = None if pd.isna(row[name]) else row[name]
            assert found[key][name] == value, key
    with made["csv"].open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(expected)
    for row in rows:
        key = tuple(row[name] for name in ("model", "probe", "protocol", "quantity", "condition"))
        assert float(row["estimate"]) == pytest.approx(expected[key]["estimate"], rel=1e-12)


def test_the_header_says_what_decides_the_numbers(made):
    content, meta = json.loads(made["json"].read_text()), RunDirectory(DEMO_RUN).meta
    assert content["run"]["fingerprint"] == meta["fingerprint"]
    assert content["run"]["simulated"] is True
    assert content["plan"] == meta["configuration"]["plan"]
    assert content["store"]["fingerprint"] == meta["store"]["fingerprint"]
    for one, model in zip(content["models"], meta["models"], strict=True):
        assert one["hash"] == model["hash"]
        assert one["weights_sha256"] == model["card"]["sha256"]
        assert one["card"] == model["card"]
    remedies = pd.read_parquet(DEMO_RUN / "remedies.parquet")
    assert len(content["remedies"]) == len(remedies) > 0


def changed(tmp_path, change):
    """Write the summary of the shipped run with another header."""
    folder = tmp_path / "run"
    shutil.copytree(DEMO_RUN, folder, dirs_exist_ok=True)
    meta = header(DEMO_RUN)
    change(meta)
    write_sealed(folder / "run.json", meta)
    return json.loads(export_summary(folder, tmp_path / "changed.json").read_text())


def test_trials_are_called_the_same_only_where_they_are(made, tmp_path):
    mine = json.loads(made["json"].read_text())
    beside = export_summary(COMPARED_RUN, tmp_path / "beside.json")
    assert json.loads(beside.read_text())["trials"] == mine["trials"], "fewer conditions, no others"

    def of(*path, to):
        def change(meta):
            for name in path[:-1]:
                meta = meta[name]
            assert meta[path[-1]] != to
            meta[path[-1]] = to

        return changed(tmp_path, change)

    for other in (
        of("configuration", "plan", "seed", to=7),
        of("configuration", "plan", "donors", to="any"),
        of("configuration", "embed", "paste", to="hard"),
        of("configuration", "embed", "harmonise", to="none"),
        of("store", "fingerprint", to="f" * 16),
    ):
        assert other["trials"] != mine["trials"]


def test_the_table_for_latex_has_a_row_each_and_balances(made):
    text = made["tex"].read_text()
    lines = text.splitlines()
    assert lines[0] == r"\begin{tabular}{lll" + "r" * len(HEADLINES) + "}"
    assert lines[-1] == r"\end{tabular}"
    body = lines[lines.index(r"\midrule") + 1 : lines.index(r"\bottomrule")]
    rows = {key[:3] for key in overall("accuracy") if key[1] in ("pair", "multiclass")}
    assert len(body) == len(rows)
    expected = overall("effects", "effect")["deeploc", "multiclass", "frozen", "drop", "different"]
    [line] = [row for row in body if row.startswith("deeploc & multiclass & frozen &")]
    assert f"${100 * expected['estimate']:.1f}$" in line
    for line in body:
        assert line.count(" & ") == 2 + len(HEADLINES)
        assert line.count("$") % 2 == 0


def test_names_cannot_break_the_table():
    row = {
        "model": "a_b & 50%\n$x$ {y} \\end#~^", "probe": "pair", "protocol": "refit",
        "quantity": "accuracy", "condition": "unaltered", "estimate": 0.5, "ci_low": None,
        "ci_high": None,
    }  # fmt: skip
    line = latex(pd.DataFrame([row])).splitlines()[4]
    assert line == (
        r"a\_b \& 50\% \$x\$ \{y\} \textbackslash{}end\#\textasciitilde{}\textasciicircum{} & pair"
        r" & refit & $50.0$ \\"
    )


def test_what_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"ends in neither \.json, \.csv, \.tex"):
        export_summary(DEMO_RUN, tmp_path / "summary.xlsx")
    with pytest.raises(UsageError, match="is not finished"):
        changed(tmp_path, lambda meta: meta.update(status="running"))
    folder = tmp_path / "bare"
    shutil.copytree(DEMO_RUN, folder)
    for name in ("accuracy", "effects"):
        table = RunDirectory(DEMO_RUN).read(name)
        RunDirectory(folder).write(folder / f"{name}.parquet", table.slice(0, 0), table.schema)
    reseal(folder)
    with pytest.raises(InputError, match="no labelled cells"):
        export_summary(folder, tmp_path / "bare.json")
    assert not (tmp_path / "bare.json").exists()
