"""The command line: help with examples, exit status, errors that name what is allowed."""

import json
import re
import signal
import subprocess
import sys

import imagecodecs
import pytest
import typer.main

from compute.cli.main import app, main


def bystander(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from compute.cli.main import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture
def in_process(monkeypatch, capsys):
    """Run the command line as `bystander` does, in this process, which has all loaded already."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["bystander", *arguments])
        monkeypatch.setenv("PYTHONSAFEPATH", "1")
        handler = signal.getsignal(signal.SIGTERM)
        status = 0
        try:
            main()
        except SystemExit as end:
            status = int(end.code or 0)
        finally:
            signal.signal(signal.SIGTERM, handler)
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, status, said.out, said.err)

    return run


def commands(group=None, before=()):
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*before, name))
        else:
            yield (*before, name), command


COMMANDS = dict(commands())


@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example_that_is_right(name):
    command = COMMANDS[name]
    example = command.help.rsplit("Example:", 1)[1].split()
    assert example[: 1 + len(name)] == ["bystander", *name]
    options = {text for parameter in command.params for text in parameter.opts}
    used = {word for word in example if word.startswith("--")}
    assert used <= options
    for parameter in command.params:
        assert parameter.help, f"{' '.join(name)}: {parameter.name} has no help"


def test_crops_are_exported_with_what_they_are_said_to_be(store, tmp_path, in_process):
    out = tmp_path / "crops"
    line = ["export", "trials", str(store), str(out), "--conditions", "unaltered,masked"]
    line += ["--folds", "2", "--format", "ome-tiff", "--channels", "RFP", "--seed", "4"]
    done = in_process(*line)
    assert done.returncode == 0, done.stderr
    assert f"Finished: {out}" in done.stdout
    assert "before compression" in done.stderr
    said = json.loads((out / "export.json").read_text("utf-8"))
    assert (said["format"], said["channels"]) == ("ome-tiff", ["RFP"])
    plan = said["configuration"]["plan"]
    assert (plan["conditions"], plan["folds"], plan["seed"]) == (["unaltered", "masked"], 2, 4)
    again = in_process(*line)
    assert again.returncode == 2
    assert "--overwrite" in again.stderr


def test_help_and_version():
    assert bystander("run", "--help").returncode == 0
    assert bystander("--version").stdout.startswith("bystander ")


def test_help_lists_every_command_once_and_cuts_no_sentence():
    found = bystander("--help").stdout
    named = re.findall(r"^  ([a-z][a-z-]*)  +[A-Z]", found, re.MULTILINE)
    assert sorted(named) == sorted(typer.main.get_command(app).commands)
    assert "..." not in found.partition("Begin:")[2]
    assert max(map(len, found.splitlines())) <= 80


def test_further_processes_take_no_code_from_the_current_folder(tmp_path):
    """As `bystander` is started: by a script that lies elsewhere."""
    here, script = tmp_path / "here", tmp_path / "elsewhere" / "bystander.py"
    for folder in (here, script.parent):
        folder.mkdir()
    script.write_text("if __name__ == '__main__':\n    from compute.cli.main import main; main()\n")
    for name in ("pickle", "struct", "numpy", "compute"):
        (here / f"{name}.py").write_text(f"open({str(here / name)!r} + '.ran', 'w')\n")
    options = ["--proteins-per-class=1", "--mixed-proteins=0", "--cells-per-protein=2"]
    command = [sys.executable, str(script), "simulate", "store", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=here)
    assert not list(here.glob("*.ran"))
    assert done.returncode == 0, done.stderr


def test_nothing_heavy_is_imported_for_help():
    code = (
        "import sys, compute, compute.cli.main;"
        "heavy = ('torch', 'sklearn', 'streamlit', 'duckdb', 'pandas', 'scipy', 'numba');"
        "print([m for m in heavy if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--conditions", "unaltered,diferent"], ["'diferent'", "'different'", "background_only"]),
        (["--models", "pifa"], ["'pifa'", "pifia"]),
        (["--harmonise", "cell"], ["'cell'", "protein, field, none"]),
        (["--donor-centre", "keep"], ["'keep'", "remove, paper"]),
        (["--paste", "soft"], ["'soft'", "glow, hard"]),
        (["--normalisation", "no"], ["'no'", "crop, locked"]),
        (["--folds-by", "chance"], ["'chance'", "grouped, paper"]),
        (["--folds", "1"], ["folds is 1", "between 2 and 1000"]),
        (["--repeats", "0"], ["repeats is 0", "between 1 and 1000"]),
        (["--draws", "3"], ["draws is 3", "at least 100"]),
        (["--device", "abacus"], ["'abacus'", "auto, cpu, cuda"]),
        (["--split", "train"], ["'train'"]),
        (["--engine", "spark"], ["'spark'", "local, ray"]),
        (["--workers", "2"], ["--workers", "--engine ray"]),
        (["--engine", "ray", "--workers", "0"], ["workers is 0", "1 to 10,000"]),
        (["--nonsense"], ["--nonsense"]),
    ],
)
def test_wrong_use_ends_with_status_2_and_names_the_value(
    store, cards, tmp_path, arguments, named, in_process
):
    models = [] if "--models" in arguments else ["--models", str(cards["pifia"])]
    done = in_process("run", str(store), "--out", str(tmp_path / "run"), *models, *arguments)
    assert done.returncode == 2, done.stderr
    for text in named:
        assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_missing_store_ends_with_status_1(tmp_path, in_process):
    done = in_process("run", str(tmp_path / "nothing"), "--out", str(tmp_path / "run"))
    assert done.returncode == 1
    assert "is not a crop store" in done.stderr


def test_a_url_of_an_unknown_kind_is_wrong_use(tmp_path, in_process):
    done = in_process("run", "nonsense://bucket/store", "--out", str(tmp_path / "run"))
    assert done.returncode == 2
    assert "nonsense://bucket/store cannot be used" in done.stderr


def test_a_store_of_another_schema_version_is_refused(store, tmp_path, in_process):
    import json
    import shutil

    copy = tmp_path / "store"
    shutil.copytree(store, copy)
    meta = json.loads((copy / "store.json").read_text())
    (copy / "store.json").write_text(json.dumps({**meta, "schema_version": 99}))
    done = in_process("check", str(copy))
    assert done.returncode == 1
    assert "schema version 99" in done.stderr


def test_an_altered_store_is_noticed(store, tmp_path, in_process):
    import shutil

    copy = tmp_path / "store"
    shutil.copytree(store, copy)
    crops = copy / "crops-00000.parquet"
    data = bytearray(crops.read_bytes())
    data[len(data) // 2] ^= 1
    crops.write_bytes(bytes(data))
    done = in_process("check", str(copy))
    assert done.returncode == 1
    assert "crops-00000.parquet was altered" in done.stderr
    assert done.stdout == f"Verdict: {copy} is not whole.\n"


def test_check_describes_a_run_and_a_store(run, store, in_process):
    of_run = in_process("check", str(run)).stdout
    assert of_run.endswith(f"\nVerdict: {run} is whole.\n")
    assert "Tables, counts and references agree." in of_run
    assert "All 204 masks are known" in of_run
    found = in_process("check", str(store)).stdout
    assert "cells: 204 found, 204 stored, " in found
    assert "masks: All 204 masks are known: the cells are simulated." in found
    assert found.endswith(f"Every file is as it was written.\nVerdict: {store} is whole.\n")


def test_plan_counts_what_a_run_then_has(run, store, cards, in_process):
    import json

    models = ",".join(map(str, cards.values()))
    done = in_process("plan", str(store), "--models", models, "--backgrounds", "3", "--folds", "2")
    assert done.returncode == 0, done.stderr
    counts = json.loads((run / "run.json").read_text())["counts"]
    assert f"{counts['trials']:,} trials for each model" in done.stdout
    for condition in ("unaltered", "different", "cell_free"):
        assert f"{counts[f'trials_{condition}']:,} trials" in done.stdout
    last = done.stdout.splitlines()[-1]
    assert re.fullmatch(r"In all: about \d+ (s|min), \d+\.\d [kM]B of disk", last)
    assert "plan: 0 of " in done.stderr


def test_check_draws_the_cells_of_a_store_and_of_a_run(run, store, tmp_path, in_process):
    drawn = {}
    for name, path in (("store", store), ("run", run)):
        done = in_process("check", str(path), "--pictures", str(tmp_path / name))
        assert done.returncode == 0, done.stderr
        files = sorted((tmp_path / name).iterdir())
        assert [file.name for file in files] == [
            "mosaic-1-GFP.png", "mosaic-2-RFP.png", "mosaic.png",
        ]  # fmt: skip
        assert [f"Picture: {file}" in done.stdout for file in files] == [True] * 3
        assert done.stdout.splitlines()[-1] == f"Verdict: {path} is whole."
        assert "\x1b" not in done.stdout, "no colours where nobody looks"
        drawn[name] = [imagecodecs.png_decode(file.read_bytes()).shape for file in files]
    assert drawn["store"] == drawn["run"]


def test_a_mistaken_card_is_told_of_before_anything_is_measured(tmp_path, monkeypatch):
    from compute.bench import whole
    from compute.errors import BystanderError

    def never(*args):
        raise AssertionError("measured before cards were read")

    for name in ("measure", "simulate", "growth_rows"):
        monkeypatch.setattr(whole, name, never)
    card = tmp_path / "mine.toml"
    card.write_text('source = "pifia"\nlayr = "x"\n')
    for measurement in (whole.measure_embedding, whole.measure_fingerprint, whole.measure_growth):
        with pytest.raises(BystanderError, match="Did you mean 'layer'"):
            next(measurement(models=[str(card)]))
    with pytest.raises(BystanderError, match="'floaty'"):
        next(whole.measure_embedding(models=["pifia"], precisions=["floaty"]))


def test_models_lists_what_is_shipped_and_checks_a_card(store, cards, in_process):
    listed = in_process("models").stdout
    for name in ("pifia", "paired_cell", "deeploc"):
        assert f" {name} " in listed
    assert "untrained:NAME" in listed
    assert "transformers:FOLDER" in listed
    checked = in_process("models", "check", str(cards["deeploc"]), str(store))
    assert checked.returncode == 0, checked.stderr
    assert "all finite" in checked.stdout
    assert in_process("models", "burn").returncode == 2
