"""CONTRIBUTING's recipes, followed: each with a toy entry, in a copy of the project."""

import re

import pytest

from tests.recipes import condition, export, importer, metric, network, page, source
from tests.recipes.toy import ROOT, Toy, apply, copy_project, run

TOYS = {
    module.TOY.recipe: module.TOY
    for module in (condition, network, source, importer, metric, page, export)
}
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")


def recipes() -> dict[str, list[str]]:
    """The recipes, and the files that each names at the head of a step."""
    found = {}
    for part in CONTRIBUTING.split("## Recipes")[1].split("\n## ")[0].split("\n### ")[1:]:
        head, _, steps = part.partition("\n")
        found[head] = re.findall(r"^\d\. `([^`]+)`", steps, re.MULTILINE)
    return found


def test_every_recipe_has_a_toy_that_touches_the_files_it_names():
    named = recipes()
    assert set(named) == set(TOYS)
    for head, files in named.items():
        assert set(files) == TOYS[head].files, head


@pytest.fixture(params=TOYS, ids=str)
def toy(request) -> Toy:
    return TOYS[request.param]


@pytest.mark.long
def test_a_toy_entry_works_where_its_recipe_is_followed(toy, tmp_path):
    project = copy_project(tmp_path)
    apply(toy, project)
    used = run(project, ["-c", toy.script])
    assert used.returncode == 0, used.stderr[-3000:]
    tested = run(
        project, ["-m", "pytest", "-q", "-x", "-m", "not long and not browser", *toy.tests]
    )
    assert tested.returncode == 0, tested.stdout[-3000:]


@pytest.mark.long
def test_a_step_that_is_left_out_is_noticed(toy, tmp_path):
    """The first step's file; the others' absence shows in the tests of their rooms."""
    project = copy_project(tmp_path)
    apply(toy, project, without=toy.edits[0].file)
    assert run(project, ["-c", toy.script]).returncode != 0
