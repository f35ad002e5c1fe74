"""What a reader asked for: small frozen objects that give SQL, bound values and English.

The sentence is the caption of the chart or table that shows the answer, so the two cannot differ.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from compute.schema import (
    CONDITIONS,
    FLIP_DIRECTIONS,
    PROBES,
    PROTOCOLS,
    Aggregation,
    Condition,
    Flip,
    Probe,
    Protocol,
)
from compute.statistics.config import ALPHA, SUBSTANTIAL
from dashboard.theme import model_title

ACCURACY = "accuracy"
"""The measure of most probes; charts and findings speak of it."""

AGGREGATIONS: dict[Aggregation, str] = {
    Aggregation.ALL: "over every pair and every background",
    Aggregation.PUBLISHED: "averaged as in the paper's Table 1",
}


@dataclass(frozen=True)
class Clause:
    """A condition for WHERE.

    Parameters
    ----------
    sql
        Constant SQL, with ``$name`` for each value.
    values
        The values by name.
    words
        The same in English, for a caption; empty where nothing need be said.
    """

    sql: str
    values: Mapping[str, Any] = field(default_factory=dict)
    words: str = ""


def joined(clauses: Sequence[Clause]) -> Clause:
    """Return clauses joined with AND, their words with commas; ``true`` for none."""
    values: dict[str, Any] = {}
    for clause in clauses:
        values.update(clause.values)
    return Clause(
        " AND ".join(f"({clause.sql})" for clause in clauses) or "true",
        values,
        ", ".join(clause.words for clause in clauses if clause.words),
    )


def listed(words: Sequence[str], last: str = "and") -> str:
    """Return ``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def contains(text: str) -> str:
    """Return a LIKE pattern (escape ``!``) that finds `text` as it is written."""
    for character in "!%_":
        text = text.replace(character, f"!{character}")
    return f"%{text}%"


def answered_by(protocol: str) -> str:
    """Say in a sentence whose answers are shown under a protocol."""
    if protocol == Protocol.OWN:
        return "The answers are the model's own: no probe was fitted."
    return f"Probe {PROTOCOLS[Protocol(protocol)]}."


def _conditions_words(conditions: Sequence[str]) -> str:
    return listed([CONDITIONS[Condition(name)].title.lower() for name in conditions])


@dataclass(frozen=True)
class AccuracyFilter:
    """Which accuracies: one protocol, probe and aggregation; some models and conditions.

    Only pair tests have several averages; the `aggregation` of other probes is always `all`.

    Raises
    ------
    ValueError
        No such protocol, probe or aggregation.
    """

    protocol: str = str(Protocol.REFIT)
    probe: str = str(Probe.PAIR)
    aggregation: str = str(Aggregation.ALL)
    models: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        Protocol(self.protocol)
        Probe(self.probe)
        if self.probe != Probe.PAIR:
            object.__setattr__(self, "aggregation", str(Aggregation.ALL))
        Aggregation(self.aggregation)

    def clause(self) -> Clause:
        """Give the condition on `accuracy` and `effects`."""
        return joined(
            [
                Clause("protocol = $protocol", {"protocol": self.protocol}),
                Clause("probe = $probe", {"probe": self.probe}),
                Clause("aggregation = $aggregation", {"aggregation": self.aggregation}),
                Clause("model IN $models", {"models": list(self.models)}),
            ]
        )

    def sentence(self) -> str:
        """Say what is shown."""
        spec, over = PROBES[Probe(self.probe)], "the mean over localizations"
        if self.protocol == Protocol.OWN:
            return f"Accuracy of the model's own answer, {over} that it can name. " + answered_by(
                self.protocol
            )
        if self.probe == Probe.PAIR:
            over = AGGREGATIONS[Aggregation(self.aggregation)]
        return (
            f"{spec.measure[:1].upper()}{spec.measure[1:]} in {spec.definition}, {over}. "
            f"{answered_by(self.protocol)}"
        )

    @property
    def measure(self) -> str:
        """What the numbers are: `ACCURACY`, or another measure's name."""
        return PROBES[Probe(self.probe)].measure


@dataclass(frozen=True)
class ShiftFilter:
    """Which protein shifts: one model, condition and protocol; genes that contain a text.

    Parameters
    ----------
    protocol, model, condition
        Of the shifts.
    search
        Text in the gene or ORF, upper and lower case alike; empty for all.
    threshold
        Total variation, from 0 to 1, from which on a shift is substantial.
    q_value
        What q may be at most for a substantial shift.
    proteins
        Names of those to keep; empty for all.

    Raises
    ------
    ValueError
        No such protocol or condition, or a threshold outside 0 to 1.
    """

    protocol: str
    model: str
    condition: str
    search: str = ""
    threshold: float = SUBSTANTIAL
    q_value: float = ALPHA
    proteins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        Protocol(self.protocol)
        Condition(self.condition)
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold must be from 0 to 1, not {self.threshold}")

    def base(self) -> Clause:
        """Give the condition on `shifts` without the search."""
        return joined(
            [
                Clause("protocol = $protocol", {"protocol": self.protocol}),
                Clause("model = $model", {"model": self.model}),
                Clause("condition = $condition", {"condition": self.condition}),
            ]
        )

    def clause(self) -> Clause:
        """Give the whole condition on `shifts`."""
        listed_ones = Clause("protein IN $proteins", {"proteins": list(self.proteins)})
        return joined(
            [
                self.base(),
                *([search_clause(self.search)] if self.search else []),
                *([listed_ones] if self.proteins else []),
            ]
        )

    def substantial(self) -> Clause:
        """Give the condition that a shift is substantial."""
        return Clause(
            "q_value <= $q_value AND tv >= $threshold",
            {"q_value": self.q_value, "threshold": self.threshold},
            f"q ≤ {self.q_value:g} and total variation ≥ {self.threshold:.2f}",
        )

    def sentence(self) -> str:
        """Say what is shown."""
        title = CONDITIONS[Condition(self.condition)].title.lower()
        some = f", genes or ORFs with “{self.search}” in them" if self.search else ""
        if self.proteins:
            some += f", {len(self.proteins):,} chosen by name"
        return (
            f"How far {model_title(self.model)}'s localizations of each protein under “{title}” "
            f"are from those under “unaltered”{some}. {answered_by(self.protocol)}"
        )


def search_clause(text: str) -> Clause:
    """Give the condition that a protein's gene or ORF contains a text in any case."""
    return Clause(
        "protein ILIKE $search ESCAPE '!' OR orf ILIKE $search ESCAPE '!'",
        {"search": contains(text)},
        f"gene or ORF contains “{text}”",
    )


@dataclass(frozen=True)
class PairFilter:
    """Which pair tests: one model, condition and protocol; classes that contain a text.

    Raises
    ------
    ValueError
        No such protocol or condition.
    """

    protocol: str
    model: str
    condition: str
    search: str = ""

    def __post_init__(self) -> None:
        Protocol(self.protocol)
        Condition(self.condition)

    def clause(self) -> Clause:
        """Give the condition on `pairwise`."""
        found = Clause(
            "localization_a ILIKE $search ESCAPE '!' OR localization_b ILIKE $search ESCAPE '!'",
            {"search": contains(self.search)},
        )
        return joined(
            [
                Clause("protocol = $protocol", {"protocol": self.protocol}),
                Clause("model = $model", {"model": self.model}),
                *([found] if self.search else []),
            ]
        )

    def sentence(self) -> str:
        """Say what is shown."""
        title = CONDITIONS[Condition(self.condition)].title.lower()
        some = f" Pairs with “{self.search}” in them." if self.search else ""
        return (
            f"{model_title(self.model)}: each pair of localizations under “unaltered” and under "
            f"“{title}”, the mean over backgrounds. {answered_by(self.protocol)}"
            f"{some}"
        )


@dataclass(frozen=True)
class CropFilter:
    """Which cells of `examples`: by what models said, class, protein and flags.

    Parameters
    ----------
    protocol
        Of the probe whose predictions count.
    models, conditions
        Where a change is looked for.
    changed
        Only cells whose prediction changed under one of the conditions for one of the models.
    localization, search
        One of the cell's classes; text in its gene or ORF; empty for any.
    flags
        ``"all"``, ``"clean"`` (no quality flag in any shown condition) or ``"flagged"``.
    background
        Only cells that stand on a background of this class under one of the conditions.
    direction
        Only cells whose answer flips this way (`compute.schema.Flip`) under one of the conditions
        for one of the models; empty for any.
    proteins
        Only cells of these; empty for all.
    """

    protocol: str
    models: tuple[str, ...]
    conditions: tuple[str, ...]
    changed: bool = False
    localization: str = ""
    search: str = ""
    flags: str = "all"
    background: str = ""
    direction: str = ""
    proteins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        Protocol(self.protocol)
        if self.flags not in FLAG_CHOICES:
            raise ValueError(f"flags must be one of {', '.join(FLAG_CHOICES)}, not {self.flags!r}")
        if self.direction:
            Flip(self.direction)

    def clause(self) -> Clause:
        """Give the condition on cells (columns of `examples.CELLS`)."""
        parts = []
        if self.localization:
            parts.append(
                Clause(
                    "localization = $localization OR list_contains(labels, $localization)",
                    {"localization": self.localization},
                    f"of {self.localization}",
                )
            )
        if self.search:
            parts.append(search_clause(self.search))
        if self.proteins:
            parts.append(
                Clause(
                    "protein IN $proteins",
                    {"proteins": list(self.proteins)},
                    f"of {listed(self.proteins[:4])}"
                    + (f" and {len(self.proteins) - 4} more" if len(self.proteins) > 4 else ""),
                )
            )
        if self.background:
            parts.append(
                Clause(
                    "list_contains(behind, $background)",
                    {"background": self.background},
                    f"on {self.background} backgrounds",
                )
            )
        if self.direction:
            words = FLIP_DIRECTIONS[Flip(self.direction)]
            parts.append(Clause(f"{self.direction} > 0", {}, f"whose answer is {words}"))
        if self.changed:
            parts.append(Clause("changes > 0", {}, "whose prediction changed"))
        if self.flags != "all":
            parts.append(
                Clause(
                    "flags = 0" if self.flags == "clean" else "flags <> 0",
                    {},
                    FLAG_CHOICES[self.flags],
                )
            )
        return joined(parts)

    def sentence(self, shown: int, total: int) -> str:
        """Say which cells are shown, with counts."""
        words = self.clause().words
        return (
            f"{total:,} cell{'s' if total != 1 else ''} with stored images"
            f"{' ' + words if words else ''}; {shown:,} on this page. "
            f"Columns: {_conditions_words(self.conditions) or 'none'}. "
            f"{answered_by(self.protocol)}"
        )


FLAG_CHOICES = {
    "all": "with and without quality flags",
    "clean": "without quality flags",
    "flagged": "with a quality flag",
}
