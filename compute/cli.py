"""The command line: what every verb shares. The verbs are in `compute.commands`, by subject."""

import sys
from typing import Annotated

import typer

from compute import __version__, console
from compute.commands import crops, models, runs
from compute.errors import BystanderError, UsageError

app = typer.Typer(
    help="Tests whether a model that reads single-cell crops answers from the cell in the centre "
    "or from its neighbours.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
for part in (runs, crops, models):
    app.add_typer(part.app)


def main() -> None:
    """Run the command line; exit status 1 for a problem, 2 for wrong use."""
    try:
        app()
    except UsageError as error:
        console.fail(error)
        sys.exit(2)
    except BystanderError as error:
        console.fail(error)
        sys.exit(1)
    except KeyboardInterrupt:
        console.err.print("Interrupted. The same command goes on from here.")
        sys.exit(130)


def _version(wanted: bool) -> None:
    if wanted:
        console.out.print(f"bystander {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Hold the options that come before a verb."""
