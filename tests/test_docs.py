"""What the documentation names exists, and the reverse."""

import csv
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer.main

from compute.backgrounds.config import PlanConfig
from compute.bench.config import SimulationConfig
from compute.cli.main import app
from compute.schema import (
    CONDITIONS,
    PROTOCOLS,
    STEPS,
    SUMMARY_TABLES,
    Aggregation,
    Calibration,
    Dose,
    Flip,
    Probe,
    Step,
)
from compute.statistics.bootstrap import FEWEST_PROTEINS
from compute.statistics.config import ALPHA, LEVEL, SUBSTANTIAL, BootstrapConfig
from compute.statistics.shifts import DRAWS, FINER

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
DOCS = "\n".join(path.read_text("utf-8") for path in sorted(ROOT.glob("docs/*.md")))
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
METHOD = (ROOT / "docs" / "method.md").read_text("utf-8")


def command_lines(text: str) -> list[list[str]]:
    """Collect the `bystander` calls in a text's code, without comments."""
    joined = text.replace("\\\n", " ")
    found = re.findall(r"^(?:\t|\s{4})?(?:\$\(BIN\)/)?(bystander [^\n`|]*)", joined, re.MULTILINE)
    found += re.findall(r"`(bystander [^`\n]+)`", joined)
    return [shlex.split(line.split("#")[0].split(" || ")[0]) for line in found]


def resolve(words: list[str]):
    """Find the command that a line calls; gives it and its remaining words."""
    command, rest = typer.main.get_command(app), words[1:]
    while hasattr(command, "commands"):
        if command.invoke_without_command and (not rest or rest[0].startswith("-")):
            break
        assert rest, f"{words} names no command"
        assert rest[0] in command.commands, f"{words}: no command {rest[0]!r}"
        command, rest = command.commands[rest[0]], rest[1:]
    return command, rest


@pytest.mark.parametrize(
    "line", command_lines(README + MAKEFILE + ARCHITECTURE + DOCS), ids=" ".join
)
def test_documented_commands_and_options_exist(line):
    command, rest = resolve(line)
    options = {text for p in command.params for text in (*p.opts, *p.secondary_opts)}
    for word in rest:
        if word.startswith("--"):
            assert word in options, f"{' '.join(line)}: no option {word}"


def test_every_command_is_in_the_readme():
    group = typer.main.get_command(app)
    for name, command in group.commands.items():
        for sub in getattr(command, "commands", [""]):
            assert f"bystander {name} {sub}".strip() in README + ARCHITECTURE + DOCS


def test_make_targets_in_the_readme_exist():
    for target in set(re.findall(r"^make (\S+)", README, re.MULTILINE)):
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), target


def rooms() -> dict[Path, set[str]]:
    """Folders of the architecture's table, and what it says lies in each."""
    found: dict[Path, set[str]] = {}
    table = ARCHITECTURE.split("## Rooms")[1].split("## Decisions")[0]
    for place, what in re.findall(r"^\| (`.+?`) \| (.+) \|$", table, re.MULTILINE):
        first, *more = re.findall(r"`([^`]+)`", place)
        folder = ROOT / first if first.endswith("/") else (ROOT / first).parent
        named = {first.rpartition("/")[2], *more, *re.findall(r"`([^`]+)`", what)}
        found.setdefault(folder, set()).update(named)
    return found


@pytest.mark.parametrize("package", ["compute", "dashboard"])
def test_every_folder_and_every_module_has_its_place_in_the_architecture(package):
    listed = rooms()
    for path in sorted((ROOT / package).rglob("*.py")):
        assert path.parent in listed, f"{path.parent} is no room"
        if path.name != "__init__.py" and path.parent in listed and package == "compute":
            assert {path.name, path.stem} & listed[path.parent], f"{path} is not named"


def test_every_file_in_the_architecture_exists():
    for folder, names in rooms().items():
        assert folder.is_dir(), folder
        for name in names:
            if name.endswith(".py"):
                assert (folder / name).is_file(), name


def test_every_dependency_says_why():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    listed = ARCHITECTURE.split("## Dependencies")[1]
    for text in (*project["dependencies"], *project["optional-dependencies"]["dev"]):
        name = re.split(r"[<>=~!\[ ]", text)[0]
        assert re.search(rf"\b{re.escape(name)}\b", listed), name


def test_constraints_pin_every_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    pinned = {line.split("==")[0].lower() for line in (ROOT / "constraints.txt").open()}
    for text in (*project["dependencies"], *project["optional-dependencies"]["dev"]):
        assert re.split(r"[<>=~!\[ ]", text)[0].lower() in pinned


def test_summary_tables_are_described():
    for name in ("pair_tallies", "effects"):
        assert name in SUMMARY_TABLES
        assert f"`{name}`" in ARCHITECTURE


def test_the_method_explains_every_condition_protocol_aggregation_and_table():
    for condition in CONDITIONS:
        assert f"| `{condition}` |" in METHOD, condition
    for protocol in PROTOCOLS:
        assert f"| `{protocol}` |" in METHOD, protocol
    for name in SUMMARY_TABLES:
        assert f"| `{name}` |" in METHOD, name
    for step in STEPS:
        assert f"| `{step}` |" in METHOD, step
    for word in (*Aggregation, *Dose):
        assert f"`{word}`" in METHOD, word


def test_the_glossary_has_every_protocol_probe_and_other_word_of_the_tables():
    glossary = (ROOT / "docs" / "glossary.md").read_text("utf-8")
    for word in (*PROTOCOLS, *Probe, *Calibration):
        assert f"| `{word}` |" in glossary, word
    for word in (*Aggregation, *Flip, *(step for step in STEPS if step != Step.TOTAL)):
        assert f"`{word}`" in glossary, word
    words = re.findall(r"^\| ([^|]+) \| [^|]+ \|$(?!\n\|---)", glossary, re.MULTILINE)
    assert len(words) == len(set(words)) > 75


def test_the_method_shows_every_figure_with_a_description():
    shown = re.findall(r"!\[([^\]]*)\]\(figures/([\w.]+)\)", METHOD)
    names = [name for _, name in shown]
    assert sorted(names) == sorted(path.name for path in (ROOT / "docs/figures").iterdir())
    for description, name in shown:
        assert len(description.split()) > 10, f"{name}: describe it for who cannot see it"
        size = (ROOT / "docs/figures" / name).stat().st_size
        assert size < 150_000, f"{name}: {size:,} bytes"


def test_links_within_the_method_lead_somewhere():
    heads = {
        re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-")
        for head in re.findall(r"^#+ (.+)$", METHOD, re.MULTILINE)
    }
    links = re.findall(r"\]\(#([^)]+)\)", METHOD)
    assert links
    for link in links:
        assert link in heads, link


def test_measured_figures_in_the_method_are_those_of_the_table():
    with (ROOT / "docs" / "coverage.csv").open(encoding="utf-8", newline="") as file:
        shares = {
            (row["estimator"], row["setting"], row["counted"]): f"{float(row['share']):.1%}"
            for row in csv.DictReader(file)
        }
    block = METHOD.split("<!-- measured -->")[1].split("<!-- /measured -->")[0]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([\d.]+%) ±", block, re.MULTILINE)
    assert len(rows) >= 10
    for estimator, setting, counted, share in rows:
        assert shares[estimator, setting, counted] == share, estimator


IN_WORDS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


@pytest.mark.parametrize(
    "stated",
    [
        f"A {LEVEL:.0%} interval says",
        f"A {LEVEL:.0%} interval should hold the truth in {100 * LEVEL:.0f} of 100 studies",
        f"a test at {ALPHA:.0%} should raise a false alarm in {100 * ALPHA:.0f}",
        f"chance of *any* false claim in it is at most {ALPHA:.0%}",
        f"$p \\le {ALPHA:g}$ says that the {1 - 2 * ALPHA:.0%} interval lies within ±δ",
        f"drawing whole proteins anew, {BootstrapConfig.draws:,} times",
        f"flipped at random {BootstrapConfig.flips:,} times",
        f"fewer than {FEWEST_PROTEINS} proteins",
        f"**Substantial**: $q \\le {ALPHA:g}$ and total variation of at least a threshold, "
        f"{SUBSTANTIAL:g} unless the reader moves it",
        f"by a random sign, {DRAWS:,} times",
        f"{FINER} times as many signs as proteins",
        f"`{PlanConfig.fold_scheme}` (the default)",
        f"{IN_WORDS[PlanConfig.folds].capitalize()} folds, or as many as",
        f"{SimulationConfig.data_sets:,} studies are made up",
        f"Intervals use {SimulationConfig.draws} draws here, {BootstrapConfig.draws:,} in a run",
    ],
)
def test_the_method_states_the_defaults_that_are_in_force(stated):
    assert stated in " ".join(METHOD.split())


def test_the_readme_states_the_margin_that_is_in_force():
    assert f"`--margin {BootstrapConfig.margin:g}`" in README


def test_a_commit_is_checked_by_what_make_check_runs():
    config = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    hooks = re.findall(r"entry: \.venv/bin/(.+)", config)
    rule = MAKEFILE.split("\ncheck: $(READY)\n")[1].split("\n\n")[0]
    assert hooks == re.findall(r"^\t\$\(BIN\)/(.+)$", rule, re.MULTILINE)


def test_the_table_of_changes_counts_what_the_recipes_name():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    counts = dict(re.findall(r"^\| an? ([\w ]+) \| (\d) \| the recipe \|$", text, re.MULTILINE))
    recipes = text.split("## Recipes")[1].split("\n## ")[0].split("\n### ")[1:]
    named = {}
    for part in recipes:
        head = re.sub(r"^An? ", "", part.splitlines()[0])
        named[head] = str(len(re.findall(r"^\d\. `", part, re.MULTILINE)))
    assert counts == named
