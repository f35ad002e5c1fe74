"""Some figures of a run as a deck: slides, where they come from, what could not be made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compute.errors import BystanderError, UsageError
from dashboard import theme, wording
from dashboard.figures import registry
from dashboard.figures.keys import FigureKey
from dashboard.figures.request import Filters
from dashboard.figures.slide import Grid, Slide
from dashboard.queries import accuracy
from dashboard.queries.comparable_runs import PUBLISHED, Ask
from dashboard.queries.open_runs import Run
from dashboard.queries.provenance import source_of

PRODUCT = "Bystander"

USUAL = ("finding", "accuracy", "gap", "by_class", "histogram", "swap")
"""The figures that are shown where none was chosen."""


@dataclass(frozen=True)
class Deck:
    """Slides with what is said about all of them.

    Parameters
    ----------
    title, subtitle
        For the first page.
    source
        One line for every page: which run, which version.
    provenance
        What was run, on what, with what: names and values.
    left_out
        Figures that could not be made, each with its reason.
    date
        When the run was finished, ISO 8601; empty where it is not recorded.
    """

    title: str
    subtitle: str
    slides: tuple[Slide, ...]
    source: str
    provenance: tuple[tuple[str, str], ...]
    left_out: tuple[str, ...]
    date: str

    @property
    def notes_of_all(self) -> list[str]:
        """All notes."""
        return [self.notes(slide) for slide in self.slides]

    def notes(self, slide: Slide) -> str:
        """Return what a speaker should have at hand: caption, definitions, source."""
        parts = [slide.title, slide.caption, *slide.definitions, *slide.lines]
        if slide.grid and slide.grid.note:
            parts.append(slide.grid.note)
        facts = "; ".join(f"{name}: {value}" for name, value in self.provenance)
        return "\n\n".join([*(part for part in parts if part), f"{self.source} {facts}."])


def make(
    run: Run, figures: Sequence[FigureKey], ask: Ask, library: Mapping[str, Run] | None = None
) -> Deck:
    """Make a deck.

    Parameters
    ----------
    run
        Of which run.
    figures
        Which; what cannot be made is left out and said.
    ask
        Answers queries.
    library
        All open runs, for comparisons.

    Raises
    ------
    BystanderError
        None of the figures can be made.
    """
    slides, left_out = [], []
    for key in figures:
        try:
            slides.append(registry.slide(key, run, ask, library))
        except BystanderError as error:
            # What was asked for wrongly can be asked for rightly; what a run lacks it lacks.
            why = str(error) if isinstance(error, UsageError) else error.problem
            left_out.append(f"{key.text[:80]}: {why}")
    if not slides:
        why = " ".join(left_out[:3]) or "None was asked for."
        raise BystanderError(
            f"The run “{run.title}” has none of the figures. {why}", "Choose other figures."
        )
    date = str(run.meta.get("finished") or run.meta.get("created") or "")
    return Deck(
        f"{PRODUCT}: {run.title}",
        _tested(run, ask),
        tuple(slides),
        source_of(run),
        provenance(run),
        tuple(left_out),
        date,
    )


def usual_figures(filters: Filters, ask: Ask) -> tuple[FigureKey, ...]:
    """Return the figures that say what a run found: those it has the tables for.

    Parameters
    ----------
    filters
        The run, and what of it is shown.
    ask
        Answers queries.
    """
    found = []
    for name in USUAL:
        entry = registry.KEPT[name]
        if not all(filters.run.has(table) for table in entry.tables):
            continue
        values: dict[str, str] = {}
        if name in ("by_class", "histogram"):
            worst = _worst(filters, ask)
            values = {what: worst[what] for what in worst if what in entry.parameters}
        found.append(entry.key(filters, **values))
    return tuple(found)


def _worst(filters: Filters, ask: Ask) -> dict[str, str]:
    """Return the model and condition of the worst drop; nothing where there is none."""
    try:
        table = ask(filters.run, accuracy.overall, filters.accuracy)
    except BystanderError:
        return {}
    row = wording.worst(table)
    return {} if row is None else {"model": str(row.model), "condition": str(row.condition)}


def provenance(run: Run) -> tuple[tuple[str, str], ...]:
    """Return what was run, on what and with what, as names and values."""
    store = run.meta.get("store", {})
    facts = [
        ("Run", run.title),
        ("Fingerprint", str(run.meta.get("fingerprint", "unfinished"))),
        ("Finished", str(run.meta.get("finished", "")).replace("T", " ")[:16]),
        ("Bystander", str(run.meta.get("bystander_version", ""))),
        ("Crop store", str(store.get("fingerprint", ""))),
        ("Cells", "simulated" if run.simulated else str(store.get("source", {}).get("kind", ""))),
        ("Seed", str(run.meta.get("configuration", {}).get("plan", {}).get("seed", ""))),
        ("Command", str(run.meta.get("command", ""))),
    ]
    facts += [
        (theme.model_title(str(model["name"]), short=True), str(model.get("hash", ""))[:16])
        for model in run.meta.get("models", [])
    ]
    versions = run.meta.get("versions", {})
    if isinstance(versions, dict):
        facts.append(("Made with", ", ".join(f"{k} {v}" for k, v in sorted(versions.items()))))
    return tuple((name, value) for name, value in facts if value)


def as_grid(deck: Deck) -> Grid:
    """Return a deck's provenance as a table."""
    return Grid(("What", "Value"), deck.provenance, " ".join(deck.left_out))


def _tested(run: Run, ask: Ask) -> str:
    models = wording.count(len(run.models), "model")
    if run.meta.get("kind") == PUBLISHED or not run.has("cells"):
        return f"{models} on {wording.count(len(run.conditions), 'kind')} of background"
    tested = wording.records(ask(run, accuracy.tested))[0]
    made = "simulated cell" if run.simulated else "cell"
    return (
        f"{models} on {wording.count(tested.usable, made)} of "
        f"{wording.count(tested.proteins, 'protein')}, each on "
        f"{wording.count(len(run.conditions), 'kind')} of background"
    )
