"""The pages that --help prints: commands by step, options with unbroken defaults.

Layer: words and the writing of a help page; knows no command's code.
"""

import re
from collections.abc import Sequence
from typing import Any

from typer.core import TyperGroup

STEPS = {
    "Begin": ("demo", "dashboard"),
    "Cells": ("simulate", "import", "check"),
    "Models": ("models", "train", "fetch", "convert"),
    "A run": ("plan", "run", "sensitivity", "remedies", "apply-remedy", "explain", "published"),
    "Results": ("report", "compare", "export"),
    "This machine": ("bench",),
}
"""Every command, by the step that it belongs to."""

WHOLE = 200
"""Letters of a command's first sentence at most: it is wrapped, not cut."""

_DEFAULT = re.compile(r"\[(?:no default|default: [^\]]*)\]")

_LONGEST = 40
"""Letters of a default at most that is kept on one line; a longer one is broken behind commas."""

_SPACE, _HYPHEN, _GLUE = "\u00a0", "\u2011", "\u2060"
"""What lines are not broken at, in place of a space and a hyphen; and what stands behind a space
that only allows a break."""


_Context: Any = TyperGroup.context_class
_Formatter: Any = _Context.formatter_class


class WholeDefaults(_Formatter):  # type: ignore[misc]
    """Writes help pages in which no default is broken, and every option says what its is."""

    def write_dl(self, rows: Sequence[tuple[str, str]], *args: Any, **options: Any) -> None:
        """Write rows of a name and its help."""
        told = [(name, _DEFAULT.sub(_unbroken, _with_default(name, text))) for name, text in rows]
        super().write_dl(told, *args, **options)

    def getvalue(self) -> str:
        """Return the page."""
        page: str = super().getvalue().replace(f", {_GLUE}", ",").replace(_GLUE, "")
        return page.replace(_SPACE, " ").replace(_HYPHEN, "-")


def _unbroken(found: re.Match[str]) -> str:
    """Return a default such that a line ends nowhere in it, or behind its commas if it is long."""
    text = found[0].replace("-", _HYPHEN)
    if len(text) > _LONGEST:
        text = text.replace(",", f", {_GLUE}")
        return text.replace(": ", f":{_SPACE}")
    return text.replace(" ", _SPACE)


def _with_default(name: str, text: str) -> str:
    """Add what an option's text does not say: that a switch is off, or that nothing is assumed."""
    said = "default" in text.lower() or "[required]" in text
    if said or not name.startswith("--") or name in ("--help", "--version"):
        return text
    return f"{text}  [no default]" if "<" in name else f"{text}  [default: off]"


class HelpContext(_Context):  # type: ignore[misc]
    """What a command's help page is written with."""

    formatter_class = WholeDefaults


class StepGroup(TyperGroup):
    """Lists commands by `STEPS`, each with its whole first sentence; no help breaks a default."""

    context_class = HelpContext

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        todo = list(self.commands.values())
        for command in todo:
            command.context_class = HelpContext
            todo += getattr(command, "commands", {}).values()

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the sections; both arguments are of the library that typer brings along."""
        for step, names in STEPS.items():
            found = [(name, self.get_command(ctx, name)) for name in names]
            rows = [(name, one.get_short_help_str(WHOLE)) for name, one in found if one]
            with formatter.section(step):
                formatter.write_dl(rows)
