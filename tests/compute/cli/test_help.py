"""Help pages: defaults on one line, and a word on the default of every option."""

import functools
import re

import pytest
import typer.main
from typer.testing import CliRunner

from compute.cli.main import app


def groups_and_commands(group, before=()):
    for name, command in group.commands.items():
        yield (*before, name), command
        yield from (
            groups_and_commands(command, (*before, name)) if hasattr(command, "commands") else ()
        )


NAMED = dict(groups_and_commands(typer.main.get_command(app)))


@functools.cache
def page(name, width=80):
    done = CliRunner().invoke(app, [*name, "--help"], env={"COLUMNS": str(width)})
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("name", NAMED, ids=" ".join)
def test_no_default_is_broken_within_a_value(name):
    text = page(name)
    assert not re.search("[\u00a0\u2011\u2060]", text), "what held it together is gone"
    command, options = NAMED[name], text.partition("\nOptions:\n")[2]
    for parameter in command.params:
        default = parameter.get_default(command.make_context("x", [], resilient_parsing=True))
        if not isinstance(default, str) or not default or "--" not in parameter.opts[0]:
            continue
        after = options[options.index(f"  {parameter.opts[0]} ") :]
        found = re.search(r"\[default:\s+([^\]]*)\]", after)
        if found is None:
            continue
        lines = [line.strip() for line in found[1].split("\n")]
        assert "".join(lines).replace(" ", "") == default.replace(" ", "")
        assert all(line.endswith(",") for line in lines[:-1]), lines


@pytest.mark.parametrize("name", NAMED, ids=" ".join)
def test_every_option_says_its_default_or_that_it_has_none(name):
    text = page(name).partition("\nOptions:\n")[2].partition("\n\n")[0]
    options = re.split(r"\n(?=  --)", text)
    for option in options:
        if "--help" in option.split("  ")[1]:
            continue
        assert re.search(r"default|\[required\]", option, re.IGNORECASE), option


def test_a_short_default_stands_on_one_line_and_switches_are_off():
    text = page(("run",))
    assert "[default: pifia,paired_cell,deeploc]\n" in text
    assert re.search(r"--fresh +Delete what is there first\.  \[default: off\]", text)
    assert "  [default: second-readings]" in text
    assert "  [no default]" in page(("simulate",)) + page(("import", "fields"))
