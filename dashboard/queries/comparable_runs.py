"""What runs have in common, and what they have not, in sentences."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from compute.errors import InputError
from compute.schema import CONDITIONS, Aggregation, Condition, Probe, Protocol
from dashboard import theme
from dashboard.queries.filters import listed
from dashboard.queries.open_runs import Run

Ask = Callable[..., Any]
"""Answers ``ask(run, query, *args)``: `dashboard.cache.ask`, or `directly`."""

SETTINGS = {
    "plan.repeats": "donors per cell",
    "plan.seed": "seed",
    "plan.folds": "folds",
    "plan.fold_scheme": "how folds are made",
    "plan.donors": "folds that donors come from",
    "embed.paste": "how the cell is pasted",
    "embed.normalisation": "scaling",
    "embed.harmonise": "intensity scale of donors",
    "embed.donor_centre": "the donor's own cell",
}
"""Settings whose difference is said, since it may explain a difference of numbers."""

_TRIALS = ("plan.grid_cells", "plan.backgrounds", "plan.split", "embed.mask_shift")
"""Further settings that decide which trials there are."""

PUBLISHED = "published"
"""`kind` of a run that holds a publication's numbers."""

NAMED = 6
"""Names of a list that are said before the rest is counted."""


def directly(run: Run, query: Callable[..., Any], *args: Any) -> Any:
    """Return ``query(run, *args)``, without a cache."""
    return query(run, *args)


@dataclass(frozen=True)
class Entry:
    """One model of one run.

    Parameters
    ----------
    run
        The run.
    model
        Name of one of its models.
    alone
        Whether it is the only run, so that the title need not name it.
    """

    run: Run
    model: str
    alone: bool

    @property
    def title(self) -> str:
        """Name as shown; with the run's where there are several runs."""
        title = theme.model_title(self.model, short=True)
        return title if self.alone else f"{title} · {self.run.title}"

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes that its own head can answer with; none where it has no head."""
        return self.run.named_by(self.model)


@dataclass(frozen=True)
class Comparison:
    """What runs have in common, over which they can be compared.

    Parameters
    ----------
    entries
        Models of runs that can be compared.
    conditions, localizations
        Those of all of them; conditions in reading order.
    classes
        Whether `localizations` are fewer than some run has.
    choices
        Combinations of protocol, probe and aggregation that all have.
    notes
        What they do not have in common, in sentences.
    left_out
        Runs that cannot be compared, each with its reason.
    """

    entries: tuple[Entry, ...]
    conditions: tuple[str, ...]
    localizations: tuple[str, ...]
    classes: bool
    choices: tuple[tuple[str, str, str], ...]
    notes: tuple[str, ...]
    left_out: tuple[str, ...]


def comparison(ask: Ask, runs: Sequence[Run]) -> Comparison:
    """Find what runs have in common, and say what they have not.

    Parameters
    ----------
    ask
        Answers queries.
    runs
        One run or several; one that is given twice counts once.

    Returns
    -------
    Comparison
        Without entries where no run has accuracies.
    """
    tested: dict[str, _Tested] = {}
    left_out = []
    by_key = {run.key: run for run in runs}
    for run in by_key.values():
        try:
            found = ask(run, _tested)
        except InputError as error:
            left_out.append(f"{run.title}: {error.problem}")
            continue
        if found.choices and found.models:
            tested[run.key] = found
        else:
            left_out.append(f"{run.title}: no accuracy was computed, for it has no labelled cells.")
    alone = len(by_key) == 1
    several = list(tested.values())
    entries, twice = _once(
        [
            Entry(by_key[key], model, alone)
            for key, found in tested.items()
            for model in theme.models_in_order(found.models)
        ]
    )
    conditions = tuple(theme.in_order(_in_all([t.conditions for t in several])))
    order = several[0].localizations if several else ()
    shared = _in_all([t.localizations for t in several])
    localizations = tuple(name for name in order if name in shared)
    fewer = any(set(t.localizations) != shared for t in several)
    choices = _in_all([t.choices for t in several])
    if fewer:
        choices = {choice for choice in choices if choice[1] == Probe.PAIR}
        if len(localizations) < 2:
            choices = set()
    notes = _differences([by_key[key] for key in tested], several, shared, fewer)
    if twice:
        names = [theme.model_title(name, short=True) for name in twice]
        notes.append(
            f"Asked in the same way in several of these runs, and shown once: {listed(names)}."
        )
    return Comparison(
        tuple(entries),
        conditions,
        localizations,
        fewer,
        tuple(sorted(choices, key=_rank)),
        tuple(notes),
        tuple(left_out),
    )


def _once(entries: Sequence[Entry]) -> tuple[list[Entry], list[str]]:
    """Leave out models that another run asked in the same way; that with most models keeps them.

    Returns
    -------
    entries
        In their order.
    twice
        Names of the models that several runs asked.
    """
    asked: dict[tuple[str, ...], list[Entry]] = {}
    for number, entry in enumerate(entries):
        run = entry.run
        hashes = [m.get("hash") for m in run.meta.get("models", []) if m["name"] == entry.model]
        what = (run.meta.get("store", {}).get("fingerprint"), *hashes)
        way = (*map(str, what), *(_setting(run, s) for s in (*SETTINGS, *_TRIALS)))
        asked.setdefault(way if len(what) == 2 and all(what) else (str(number),), []).append(entry)
    kept = [max(some, key=lambda entry: len(entry.run.models)) for some in asked.values()]
    twice = [some[0].model for some in asked.values() if len(some) > 1]
    found = [entry for entry in entries if any(entry is one for one in kept)]
    alone = len({entry.run.key for entry in found}) == 1
    return [replace(entry, alone=alone) for entry in found], twice


def answering(found: Comparison, protocol: str) -> Comparison:
    """Return a comparison of only the models that have answers under a protocol."""
    kept = tuple(e for e in found.entries if e.model in e.run.models_under(protocol))
    return replace(found, entries=kept)


def unlike_heads(found: Comparison, protocol: str) -> str:
    """Say that models' own answers are judged on different classes; empty where they are not.

    A cell of a class that a head lacks is in none of its numbers, and a head of fewer classes has
    fewer ways to be wrong. So models are ranked by their own answers only where all of their heads
    name the same classes.

    Parameters
    ----------
    found
        From `comparison`.
    protocol
        How they were asked; under all but `own` the classes are the same.
    """
    if protocol != Protocol.OWN:
        return ""
    named = {entry.title: set(entry.classes) for entry in answering(found, protocol).entries}
    shared = set.intersection(*named.values()) if named else set[str]()
    if all(classes == shared for classes in named.values()):
        return ""
    each = listed([f"{title} {len(classes)}" for title, classes in named.items()])
    return (
        f"Not ranked, for the heads are judged on different classes: of the classes here {each}, "
        f"{len(shared)} of them in all heads. A cell of a class that a head lacks is in none of "
        "its numbers, and fewer classes are fewer ways to be wrong. Drops class by class, and "
        "tested differences, are of the classes that both heads name."
    )


@dataclass(frozen=True)
class _Tested:
    """What one run has to compare."""

    models: tuple[str, ...]
    conditions: tuple[str, ...]
    localizations: tuple[str, ...]
    choices: tuple[tuple[str, str, str], ...]
    proteins: frozenset[str]
    cells: int


def _tested(run: Run) -> _Tested:
    found = run.query(
        """
        SELECT DISTINCT model, condition, protocol, probe, aggregation, scope, localization
        FROM {accuracy}
        """,
        ("accuracy",),
    )
    known = {*Condition}
    classes = set(found["localization"].dropna())
    ordered = [name for name in run.localizations if name in classes]
    proteins, cells = frozenset[str](), 0
    if run.has("cells"):
        names = run.query("SELECT protein, count(*) AS n FROM {cells} GROUP BY 1", ("cells",))
        proteins, cells = frozenset(names["protein"]), int(names["n"].sum())
    choices = found[["protocol", "probe", "aggregation"]].drop_duplicates()
    return _Tested(
        tuple(sorted(found["model"].unique())),
        tuple(sorted(name for name in found["condition"].unique() if name in known)),
        (*ordered, *sorted(classes - set(ordered))),
        tuple(sorted((str(a), str(b), str(c)) for a, b, c in choices.to_numpy())),
        proteins,
        cells,
    )


def _in_all(parts: Sequence[Sequence[Any]]) -> set[Any]:
    return set.intersection(*(set(part) for part in parts)) if parts else set()


def _rank(choice: tuple[str, str, str]) -> tuple[int, int, int]:
    protocol, probe, aggregation = choice
    return (
        list(Protocol).index(Protocol(protocol)),
        list(Probe).index(Probe(probe)),
        list(Aggregation).index(Aggregation(aggregation)),
    )


def _differences(
    runs: Sequence[Run], tested: Sequence[_Tested], shared: set[str], fewer: bool
) -> list[str]:
    """Say what runs do not have in common, and what follows from it."""
    if len(runs) < 2:
        return []
    notes = []
    stores = {str(run.meta.get("store", {}).get("fingerprint", "")) for run in runs}
    if len(stores) == 1 and stores != {""}:
        notes.append("Same cells: all runs read the same crop store.")
    else:
        notes.append(
            "Not the same cells: the runs read different crop stores, so a difference between "
            "them is of models and of cells together."
        )
        notes.append(_proteins(runs, tested))
    if fewer:
        gone = [
            f"{run.title} also has {_named(sorted(set(t.localizations) - shared))}"
            for run, t in zip(runs, tested, strict=True)
            if set(t.localizations) - shared
        ]
        notes.append(
            f"{len(shared)} localizations in common ({'; '.join(gone)}). Pair tests are averaged "
            "anew over the common ones; the other probes are left out, since their answers cannot "
            "be taken apart."
        )
    for run, t in zip(runs, tested, strict=True):
        more = set(t.conditions) - _in_all([each.conditions for each in tested])
        if more:
            names = [CONDITIONS[Condition(name)].title.lower() for name in theme.in_order(more)]
            notes.append(f"Only {run.title} has {listed(names)}; left out.")
    notes += _settings(runs)
    for run in runs:
        if run.meta.get("kind") == PUBLISHED:
            notes.append(f"{run.title}: a publication's numbers, with its own settings and cells.")
    if not all(run.simulated for run in runs):
        notes.append(simulated_words(runs))
    return [note for note in notes if note]


def simulated_words(runs: Sequence[Run]) -> str:
    """Say which runs are of simulated cells, in a sentence; empty where none is."""
    made = [run.title for run in runs if run.simulated]
    if not made:
        return ""
    if len(made) == len(runs):
        return "Simulated cells."
    return f"Simulated cells: {listed(made)}; the other cells are real."


def with_kind(caption: str, runs: Sequence[Run]) -> str:
    """Return a figure's caption with what `simulated_words` says, unless that stands in it."""
    made = simulated_words(runs)
    return caption if made in caption else f"{caption} {made}".strip()


def _proteins(runs: Sequence[Run], tested: Sequence[_Tested]) -> str:
    unknown = [run.title for run, t in zip(runs, tested, strict=True) if not t.proteins]
    if unknown:
        return f"{listed(unknown)}: which proteins were tested is not known."
    common = frozenset.intersection(*(t.proteins for t in tested))
    each = [f"{run.title} {len(t.proteins):,}" for run, t in zip(runs, tested, strict=True)]
    return f"{len(common):,} proteins in common ({', '.join(each)})."


def _settings(runs: Sequence[Run]) -> list[str]:
    notes = []
    runs = [run for run in runs if run.meta.get("kind") != PUBLISHED]
    for place, title in SETTINGS.items():
        values = {run.title: _setting(run, place) for run in runs}
        if len(set(values.values())) > 1:
            each = [f"{key}: {value}" for key, value in values.items()]
            notes.append(f"Different settings, {title}: {'; '.join(each)}.")
    return notes


def _setting(run: Run, place: str) -> str:
    value: Any = run.meta.get("configuration", {})
    for part in place.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return "not recorded" if value is None else str(value)


def _named(names: Sequence[str]) -> str:
    if len(names) <= NAMED:
        return listed(names)
    return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"
