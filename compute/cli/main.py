"""The command line's entry: what every verb shares.

Layer: on top of everything; turns errors and signals into exit statuses. The verbs are in the files
beside this one.
"""

import os
import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from compute import __version__
from compute.cli import bench, choices, console, exports, models, reports, runs, stores
from compute.cli.steps import StepGroup
from compute.errors import BystanderError, UsageError

app = typer.Typer(
    cls=StepGroup,
    help="Tests whether a model that reads single-cell crops answers from the cell in the centre "
    "or from its neighbours.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
for subject in (runs, choices, exports, stores, models, reports, bench):
    app.add_typer(subject.app)


def main() -> None:
    """Run the command line; exit status 1 for a problem, 2 for wrong use, 143 when terminated."""
    signal.signal(signal.SIGTERM, _terminate)
    # Processes that this one starts take no code from the current folder.
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        app()
    except BystanderError as error:
        console.fail(error)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except KeyboardInterrupt:
        console.err.print("Interrupted. The same command goes on from here.")
        sys.exit(130)
    except console.Terminated:
        console.err.print("Terminated. The same command goes on from here.")
        sys.exit(143)


def _terminate(number: int, frame: FrameType | None) -> None:
    """Raise `Terminated`, so that files are closed; a second signal ends the process at once."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    console.terminating.set()
    raise console.Terminated


def _version(wanted: bool) -> None:
    """Print the version and end, if it was asked for."""
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
