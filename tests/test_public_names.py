"""The public names: one for every verb, loaded when asked for, each with an example that runs."""

import ast
import inspect
import pkgutil
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import typer.main

import compute
import dashboard
from compute.cli.main import app

ROOT = Path(__file__).resolve().parent.parent

PAGE = (ROOT / "docs" / "python.md").read_text("utf-8")
FUNCTIONS = dict(re.findall(r"^\| `bystander ([\w -]+)` \| `([\w.]+)` \|$", PAGE, re.MULTILINE))
"""What a verb of the command line is called from Python."""

NAMES = [(package, name) for package in (compute, dashboard) for name in package.PUBLIC]


def verbs(group, before=""):
    for name, command in group.commands.items():
        if not hasattr(command, "commands"):
            yield before + name
            continue
        if command.invoke_without_command:
            yield before + name
        yield from verbs(command, f"{before}{name} ")


def test_every_verb_has_a_public_function_and_the_reference_names_both():
    group = typer.main.get_command(app)
    assert set(verbs(group)) <= set(FUNCTIONS)
    assert {verb.split()[0] for verb in FUNCTIONS} == set(group.commands)
    for place in FUNCTIONS.values():
        package, _, name = place.partition(".")
        assert name in import_module(package).PUBLIC


@pytest.mark.parametrize("package", [compute, dashboard], ids=lambda package: package.__name__)
def test_type_checkers_see_what_is_loaded_when_asked_for(package):
    """The table, what is imported under `TYPE_CHECKING` and `__all__` are the same names."""
    tree = ast.parse(Path(package.__file__).read_text("utf-8"))
    seen = {
        alias.asname: node.module
        for block in tree.body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in block.body
        for alias in node.names
    }
    assert seen == package.PUBLIC
    assert set(package.PUBLIC) <= set(package.__all__) & set(dir(package))


@pytest.mark.parametrize("package", [compute, dashboard], ids=lambda package: package.__name__)
def test_no_public_name_is_also_a_module(package):
    """Else `from compute import name` would give the module once that was imported."""
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    assert not modules & set(package.PUBLIC)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'simulat'"):
        compute.simulat  # noqa: B018
    with pytest.raises(ImportError):
        from dashboard import reports  # noqa: F401


def test_importing_the_packages_loads_nothing_heavy():
    code = (
        "import sys; before = set(sys.modules); import compute, dashboard;"
        "dir(compute); dir(dashboard);"
        "print(sorted({m.partition('.')[0] for m in set(sys.modules) - before} "
        "- sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['compute', 'dashboard']"


@pytest.mark.parametrize("package", ["compute", "dashboard"])
def test_packages_say_that_they_are_typed(package):
    assert (ROOT / package / "py.typed").is_file()


@pytest.mark.parametrize(("package", "name"), NAMES, ids=lambda value: str(value))
def test_every_public_name_is_described_with_an_example(package, name):
    found = getattr(package, name)
    assert found.__module__ == package.PUBLIC[name]
    assert found.__name__ == name
    text = inspect.getdoc(found)
    assert "Examples\n--------" in text
    assert f"from {package.__name__} import" in text.split("Examples\n--------")[1]
    if inspect.isfunction(found):
        for parameter in inspect.signature(found).parameters:
            assert parameter in text, f"{name}: {parameter} is not described"
