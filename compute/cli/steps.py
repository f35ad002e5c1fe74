"""The list of commands, in the order in which a person comes to need them.

Layer: words and the writing of a help page; knows no command's code.
"""

from typing import Any

from typer.core import TyperGroup

STEPS = {
    "Begin": ("demo", "dashboard"),
    "Cells": ("simulate", "import", "check"),
    "Models": ("models", "train", "fetch", "convert"),
    "A run": ("plan", "run", "sensitivity", "remedies", "apply-remedy", "published"),
    "Results": ("report", "compare", "export"),
    "This machine": ("bench",),
}
"""Every command, by the step that it belongs to."""

WHOLE = 200
"""Letters of a command's first sentence at most: it is wrapped, not cut."""


class StepGroup(TyperGroup):
    """Lists commands by `STEPS`, each with its whole first sentence."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the sections; both arguments are of the library that typer brings along."""
        for step, names in STEPS.items():
            found = [(name, self.get_command(ctx, name)) for name in names]
            rows = [(name, one.get_short_help_str(WHOLE)) for name, one in found if one]
            with formatter.section(step):
                formatter.write_dl(rows)
