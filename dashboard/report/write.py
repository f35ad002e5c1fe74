"""Figures of a run as files, without a browser: a whole report, or one figure."""

from dataclasses import dataclass
from pathlib import Path

from compute.errors import BystanderError, UsageError
from compute.storage.atomic_files import writing
from dashboard.figures import keys, registry
from dashboard.figures.request import Filters
from dashboard.queries.comparable_runs import directly
from dashboard.queries.open_runs import open_runs
from dashboard.queries.provenance import source_of
from dashboard.render import figures as drawn
from dashboard.report import deck, files

KINDS = tuple(f".{kind}" for kind in sorted(files.FORMATS))
"""What a report can be, by the end of its file's name."""


@dataclass(frozen=True)
class Report:
    """A report that was written.

    Parameters
    ----------
    path
        The file.
    titles
        Of its figures, in order.
    left_out
        Usual figures that the run has no tables for, each with its reason.
    """

    path: Path
    titles: tuple[str, ...]
    left_out: tuple[str, ...]


def write_report(
    run: Path | str, out: Path | str | None = None, figures: str | None = None
) -> Report:
    """Write a run's figures as one HTML file (no network), a PDF or a PowerPoint file.

    Parameters
    ----------
    run
        A run directory.
    out
        The file: ``.html``, ``.pdf`` or ``.pptx``; by default ``RUN.html`` in the working folder.
    figures
        Which figures, as in the address of the page Present: names with their parameters,
        separated by commas, such as ``"accuracy,by_class:condition=masked"``. By default those
        that say what the run found.

    Returns
    -------
    Report
        What was written.

    Raises
    ------
    UsageError
        No such run, another kind of file, or figures that were asked for cannot be made.
    BystanderError
        The run cannot be read, or the file not be written.

    Examples
    --------
    >>> from dashboard import write_report
    >>> report = write_report("my-run", "my-run.html", figures="accuracy,gap")
    >>> len(report.titles)
    2
    """
    target = Path(f"{Path(run).resolve().name}.html") if out is None else Path(out)
    _require_kind(target, KINDS)
    asked = keys.read_strictly(figures) if figures else ()
    registry.require_known(asked)
    opened = open_runs(run).runs[0]
    chosen = asked if figures else deck.usual_figures(Filters.usual(opened), directly)
    made = deck.make(opened, chosen, directly)
    if figures and made.left_out:
        raise UsageError(
            f"{len(made.left_out)} of {len(chosen)} figures cannot be made; nothing was written.",
            "\n".join(made.left_out),
        )
    content = files.render(made, target.suffix.lower().lstrip("."))
    with writing(target) as place:
        place.write_bytes(content)
    return Report(target, tuple(slide.title for slide in made.slides), made.left_out)


def draw(run: Path | str, figure: str, out: Path | str) -> str:
    """Draw one figure of a run, with title, caption and source, into a file.

    Parameters
    ----------
    run
        A run directory.
    figure
        Its name with parameters, as in the address of the page Present: ``"accuracy"``,
        ``"by_class:condition=masked"``, ``"protein:protein=AAC1"``.
    out
        The file: ``.svg``, ``.pdf`` or ``.png`` (200 dots per inch).

    Returns
    -------
    str
        The figure's caption.

    Raises
    ------
    UsageError
        No such run or figure, several figures, or another kind of file.
    BystanderError
        The run has nothing to show for it, or it is no chart.

    Examples
    --------
    >>> from dashboard import draw
    >>> caption = draw("my-run", "accuracy", "accuracy.svg")
    >>> "95%" in caption
    True
    """
    target = Path(out)
    kinds: dict[str, drawn.Format] = {f".{kind}": kind for kind in drawn.FORMATS}
    _require_kind(target, tuple(kinds))
    wanted = keys.read_strictly(figure)
    if len(wanted) != 1:
        raise UsageError(f"{figure!r} names {len(wanted)} figures.", "Name one.")
    opened = open_runs(run).runs[0]
    slide = registry.slide(wanted[0], opened, directly)
    if slide.chart is None:
        raise BystanderError(
            f"The figure {wanted[0].name!r} is no chart.", "Take it into a report: write_report."
        )
    content = drawn.render(slide.chart, kinds[target.suffix.lower()], source_of(opened))
    with writing(target) as place:
        place.write_bytes(content)
    return slide.caption


def _require_kind(target: Path, kinds: tuple[str, ...]) -> None:
    """Refuse a file whose name does not say what is written."""
    if target.suffix.lower() not in kinds:
        raise UsageError(
            f"{target} does not end in {', '.join(kinds[:-1])} or {kinds[-1]}.",
            "The end of the name says what is written.",
        )
