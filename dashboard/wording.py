"""Findings and numbers in words, computed from tables. Pure: no SQL, no Streamlit."""

import functools
from collections import namedtuple
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from compute.paper.table_1 import SPREAD
from compute.schema import CONDITIONS, PROBES, Condition, Probe
from compute.statistics.aggregation import UNIT
from compute.statistics.config import ALPHA, LEVEL
from dashboard.theme import condition_title, model_title

CLEAR = 0.02
"""A difference of accuracies below two points is called small, whatever its interval."""


FEW = 5
"""Cells or trials from which a title says what became of them; of fewer it says only how many."""


def known(value: Any) -> bool:
    """Return whether a table's value is there: neither None nor NaN."""
    return value is not None and not pd.isna(value)


def records(table: pd.DataFrame) -> list[Any]:
    """Return the rows as objects with a field per column."""
    columns = [column.tolist() for _, column in table.items()]
    return list(map(_kind(tuple(table.columns))._make, zip(*columns, strict=True)))


@functools.lru_cache(maxsize=128)
def _kind(columns: tuple[str, ...]) -> Any:
    """Make the class of rows, which takes longer than filling most tables of a page."""
    return namedtuple("Row", columns, rename=True)


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share as percent, as ``93.0%``; ``–`` for None."""
    return f"{100 * value:.{digits}f}%" if known(value) and value is not None else "–"


def points(value: float | None) -> str:
    """Return a difference of shares in percentage points, as ``15.8 points`` or ``−5.0 points``."""
    if value is None or not known(value):
        return "–"
    number = f"{100 * value:.1f}".replace("-", "−")
    return f"{'0.0' if number == '−0.0' else number} points"


def level() -> str:
    """Return ``95%``: how often intervals are to hold the true value."""
    return percent(LEVEL, 0)


def interval(low: float | None, high: float | None, unit: str | None = None) -> str:
    """Return an interval in points, as ``95% interval 13.1 to 18.4``, or that there is none."""
    if low is None or high is None or not (known(low) and known(high)):
        return "no interval"
    what = f"± {SPREAD}:" if unit == UNIT else f"{level()} interval"
    return f"{what} {100 * low:.1f} to {100 * high:.1f}".replace("-", "−")


@dataclass(frozen=True)
class _Named:
    """The ends of the interval of an effect that was picked for being the largest, and its words.

    Parameters
    ----------
    low, high
        Ends, None where there is no interval.
    words
        As `interval` writes them.
    together
        How many effects the interval holds at once; 1 where it is the effect's own.
    """

    low: float | None
    high: float | None
    words: str
    together: int = 1

    @property
    def may_be_zero(self) -> bool:
        """Whether the interval, where there is one, begins at zero or below."""
        return self.low is not None and known(self.low) and not self.low > 0


def _picked(row: Any, low: str, high: str, unit: str, what: str) -> _Named:
    """Return the interval of a row that is the largest of many, which is simultaneous if it can be.

    Parameters
    ----------
    row
        Of `accuracy.overall` or `accuracy.gaps`.
    low, high, unit
        Fields with the ends of the row's own interval, and what was resampled for it.
    what
        The effects in words: `drops` or `gaps`.
    """
    many, ends = (
        getattr(row, "together", 0),
        [getattr(row, f"simultaneous_{e}", None) for e in ("low", "high")],
    )
    if known(many) and many > 1 and all(map(known, ends)):
        numbers = " to ".join(f"{100 * end:.1f}" for end in ends if end is not None)
        words = f"{level()} simultaneous interval over {int(many)} {what}: {numbers}"
        return _Named(ends[0], ends[1], words.replace("-", "−"), int(many))
    first, last = getattr(row, low), getattr(row, high)
    return _Named(first, last, interval(first, last, getattr(row, unit, None)))


def simultaneous_note(table: pd.DataFrame) -> str:
    """Return what a simultaneous interval is; empty where the finding has none."""
    row = worst(table)
    if row is None:
        return ""
    many = _picked(row, "drop_low", "drop_high", "drop_unit", "drops").together
    if many < 2:
        return ""
    return (
        f"Simultaneous: the largest of {many} drops was picked after looking at all of them, and "
        "the one that is picked tends to look larger than it is. So the interval is made longer, "
        f"until intervals of that kind hold all {many} true drops at once in {level()} of studies."
    )


def p_text(value: float | None) -> str:
    """Return a p-value as ``p = 0.004`` or ``p < 0.001``."""
    if value is None or not known(value):
        return "p not computed"
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def count(number: int | float, one: str, many: str = "") -> str:
    """Return a number of things as ``1 cell`` or ``1,200 cells``, or that it is not known."""
    if not known(number):
        return f"an unknown number of {many or one + 's'}"
    return f"{int(number):,} {one if int(number) == 1 else many or one + 's'}"


def tested_on(row: Any) -> str:
    """Return ``n = 900 cells of 90 proteins`` of a row with both counts."""
    return f"n = {count(row.n_cells, 'cell')} of {count(row.n_proteins, 'protein')}"


def unit_note(table: pd.DataFrame) -> str:
    """Say what the intervals are, and what was resampled."""
    units = sorted(table["unit"].dropna().unique()) if "unit" in table else []
    if not units:
        return "No intervals were computed."
    if units == [UNIT]:
        return f"Bars: ± {SPREAD}, as in the paper."
    over = f"Bars: {level()} bootstrap intervals over"
    if units == ["protein"]:
        return f"{over} whole proteins."
    if units == ["cell"]:
        return f"{over} cells (too few proteins to resample them)."
    return f"{over} {' or '.join(f'{unit}s' for unit in units)}."


def on_background(condition: str) -> str:
    """Return the words for what was done, to follow “accuracy falls …”."""
    return CONDITIONS[Condition(condition)].phrase


SWAPS = tuple(str(c) for c, spec in CONDITIONS.items() if spec.headline)
"""Conditions that the headline is chosen from. The controls (`sham`, `alone`, `same_protein`) say
what a drop is made of, and `conflicting` (fewer cells, a background that argues for the other
answer) is said beside it."""


SPLIT = 2
"""Disagreements of probes that are told, those with the largest drops; the others are counted."""


def worst(table: pd.DataFrame) -> Any | None:
    """Return the row of a table of `headline.counted` that heads its finding, or None."""
    rows = table[table["counted"].notna()]
    if rows.empty:
        return None
    return records(rows.sort_values("counted", ascending=False))[0]


def _of_zeros(table: pd.DataFrame, value: str = "drop_estimate") -> pd.DataFrame:
    """Return the rows under `masked` where clearly more is lost than with medium there."""
    return table[(table[value] - table["mild_value"]) >= CLEAR].sort_values(value, ascending=False)


def shifts_of_zeros(table: pd.DataFrame, share: str) -> str:
    """Say which shares of proteins shift for zeros, not for want of neighbours; perhaps empty.

    Parameters
    ----------
    table
        Of `headline.counted`, one row a model and condition.
    share
        Column of shares from 0 to 1.
    """
    each = [
        f"{model_title(row.model)} {percent(getattr(row, share), 0)}, "
        f"{condition_title(row.mild).lower()} {percent(row.mild_value, 0)}"
        for row in records(_of_zeros(table, share))
    ]
    if not each:
        return ""
    return (
        f"What shifts {on_background(Condition.MASKED)}, beyond what shifts with medium there, is "
        f"what a network makes of zeros, not of neighbours: {'; '.join(each)}."
    )


def _lost_where(row: Any) -> str:
    """Return the words for what was done; under `masked` with what is lost with medium there."""
    if not known(row.mild):
        return on_background(row.condition)
    return f"{on_background(row.condition)} ({points(row.mild_value)} with medium there)"


def zeros_finding(table: pd.DataFrame) -> str:
    """Say where accuracy falls for zeros, not for want of neighbours; empty where it does not.

    Parameters
    ----------
    table
        From `queries.accuracy.overall`.
    """
    rows = _of_zeros(table)
    each = [
        f"{model_title(row.model)} {points(row.drop_estimate)} "
        f"({interval(row.drop_low, row.drop_high, row.drop_unit)}; "
        f"{condition_title(row.mild).lower()}: {points(row.mild_value)})"
        for row in records(rows)
    ]
    if not each:
        return ""
    return (
        f"What accuracy falls {on_background(Condition.MASKED)}, beyond what it falls with medium "
        f"there, is what a network makes of zeros, which it does not know, not of neighbours: "
        f"{'; '.join(each)}; {tested_on(records(rows)[0])}."
    )


@dataclass(frozen=True)
class Headline:
    """The largest drop as one number in large type, and what is said beside it.

    Parameters
    ----------
    model, condition
        Whose drop it is, and where.
    number, unit
        The number, and what it is of: ``17.8`` and ``points``.
    said
        What the number is.
    sure
        Between which ends the true drop lies, and how many cells say so.
    """

    model: str
    condition: str
    number: str
    unit: str
    said: str
    sure: str


def headline(table: pd.DataFrame) -> Headline | None:
    """Return the drop that `drop_finding` tells, for large type; None where there is none.

    Parameters
    ----------
    table
        From `queries.accuracy.overall`.
    """
    row = worst(table)
    if row is None:
        return None
    named = _picked(row, "drop_low", "drop_high", "drop_unit", "drops")
    who, where = model_title(row.model), _lost_where(row)
    fall = (
        f"from {percent(row.estimate + row.drop_estimate)} on crops as imaged to "
        f"{percent(row.estimate)}"
    )
    if named.may_be_zero:
        said = (
            f"of accuracy at most, which may be chance: no model is seen to lose accuracy when the "
            f"background changes. Largest is the drop of {who} {where}, {fall}."
        )
    elif row.drop_estimate < CLEAR:
        said = (
            f"of accuracy at most: it hardly depends on the background. Largest is the drop of "
            f"{who} {where}, {fall}."
        )
    else:
        said = f"of accuracy are lost by {who} {where}: {fall}."
    number, _, unit = points(row.drop_estimate).partition(" ")
    return Headline(str(row.model), str(row.condition), number, unit, said, _sure(named, row))


def _sure(named: _Named, row: Any) -> str:
    """Say between which ends a drop lies."""
    if named.low is None or named.high is None or not (known(named.low) and known(named.high)):
        return f"No interval was computed ({tested_on(row)})."
    how = f"± {SPREAD}" if row.drop_unit == UNIT else f"{level()} interval"
    if named.together > 1:
        how += f", made longer because the largest of {named.together} drops was picked"
    ends = f"{100 * named.low:.1f} and {100 * named.high:.1f}".replace("-", "−")
    return f"The true drop is likely between {ends} points ({how}; {tested_on(row)})."


def neighbours_alone(table: pd.DataFrame, model: str, guess: str = "") -> str:
    """Say how far a model gets without the cell; empty where that was not tried.

    Parameters
    ----------
    table
        From `queries.accuracy.overall`.
    model
        Which model.
    guess
        What a guess reaches, in words; empty, the default, where that is not known.
    """
    rows = table[(table["condition"] == Condition.BACKGROUND_ONLY) & (table["model"] == model)]
    if rows.empty:
        return ""
    row = records(rows)[0]
    beside = f"; {guess}" if guess else ""
    return (
        f"The neighbours alone give {percent(row.estimate)}: {model_title(model)}'s accuracy with "
        f"the cell taken out of the picture "
        f"({interval(row.ci_low, row.ci_high, row.unit)}{beside})."
    )


def drop_finding(table: pd.DataFrame) -> str:
    """Return a sentence on the worst drop, or that nothing falls."""
    row = worst(table)
    if row is None and table["mild"].notna().any():
        return (
            "No drop is evidence about neighbours here: setting everything around the cell to zero "
            "removes the medium with them."
        )
    if row is None:
        return "No drop could be computed: this run has no labelled cells under two conditions."
    named = _picked(row, "drop_low", "drop_high", "drop_unit", "drops")
    numbers = f"{named.words}; {tested_on(row)}"
    before = row.estimate + row.drop_estimate
    if named.may_be_zero:
        return (
            f"No model is seen to lose accuracy when the background changes: the largest drop, "
            f"{model_title(row.model)}'s {on_background(row.condition)}, is "
            f"{points(row.drop_estimate)} ({numbers}), an interval that includes zero."
        )
    if row.drop_estimate < CLEAR:
        return (
            f"Accuracy hardly depends on the background: the largest drop, "
            f"{model_title(row.model)}'s {on_background(row.condition)}, is only "
            f"{points(row.drop_estimate)} ({numbers})."
        )
    return (
        f"{model_title(row.model)} loses {points(row.drop_estimate)} of accuracy "
        f"{_lost_where(row)}: from {percent(before)} to {percent(row.estimate)} "
        f"({numbers})."
    )


def equivalence_finding(table: pd.DataFrame, *, own: bool = False) -> str:
    """Return sentences on which drops are shown to be negligible; empty without such tests.

    A model is called robust under a condition only where every probe of the run says so, within the
    margin in points and, where the run has one, within that in odds.

    Parameters
    ----------
    table
        From `queries.accuracy.equivalence`. Only the test supports the claim: a small drop whose
        interval is wide is not called robust.
    own
        Whether the answers are the models' own, which no probe gives; False by default.
    """
    rows = table[table["condition"].isin(SWAPS)]
    if rows["p_equivalence_holm"].isna().all():
        return ""
    within = _margins(rows)
    passed = (rows["p_equivalence_holm"] <= ALPHA) & (
        rows["margin_odds"].isna() | (rows["p_equivalence_odds_holm"] <= ALPHA)
    )
    probes = list(dict.fromkeys(rows["probe"]))
    every = "every probe" if len(probes) > 1 else "the only probe"
    named = f"{every} of this run ({', '.join(_by(probe) for probe in probes)})"
    named = "the model's own answer" if own else named
    agreed: dict[str, list[str]] = {}
    split: list[tuple[float, str]] = []
    worst, first = 0.0, None
    for (model, condition), some in rows.groupby(["model", "condition"], sort=False):
        yes = passed[some.index]
        if yes.all() and set(some["probe"]) == set(probes):
            agreed.setdefault(str(model), []).append(str(condition))
            worst = max(
                worst, *some["p_equivalence_holm"], *some["p_equivalence_odds_holm"].dropna()
            )
            first = records(some)[0] if first is None else first
        elif yes.any() and not yes.all():
            split.append(_disagreement(str(model), str(condition), some[yes], some[~yes]))
    many = rows.groupby(["model", "condition"]).ngroups
    if first is None:
        said = f"No model is shown to be robust, with {within}, by {named}: of {many} pairs of a "
        said += "model and a condition none passes all equivalence tests (Holm)."
    else:
        each = [
            f"{model_title(model)} under "
            + " and ".join(f"“{condition_title(name).lower()}”" for name in names)
            for model, names in agreed.items()
        ]
        of = sum(map(len, agreed.values()))
        said = (
            f"Shown to be robust, with {within}, by the equivalence tests of {named}: "
            f"{'; '.join(each)} ({of} of {many} pairs of a model and a condition, Holm "
            f"p ≤ {worst:.3f}; {tested_on(first)}). Of the others that cannot be said."
        )
    if split:
        largest = [text for _, text in sorted(split, key=lambda pair: -pair[0])]
        left = len(largest) - SPLIT
        more = f"; and on {count(left, 'other pair')}" if left > 0 else ""
        said += f" The probes disagree on {'; '.join(largest[:SPLIT])}{more}."
    return said


def without_head(models: Sequence[str]) -> str:
    """Say in a sentence which models have no own answer; empty where all have one."""
    if not models:
        return ""
    names = " and ".join(model_title(name, short=True) for name in models)
    have, their = ("have", "their") if len(models) > 1 else ("has", "its")
    return f"{names} {have} no last layer that names these classes, so no answer of {their} own."


def _by(probe: str) -> str:
    """Return a probe as it follows “by”."""
    return PROBES[Probe(probe)].words


def _margins(rows: pd.DataFrame) -> str:
    """Return the margins of equivalence tests in words."""
    text = f"a drop within ±{points(float(rows['margin'].dropna().iloc[0]))}"
    odds = rows["margin_odds"].dropna()
    if odds.empty:
        return text
    return f"{text} and odds of a right answer that change by less than a factor {odds.iloc[0]:g}"


def _disagreement(
    model: str, condition: str, yes: pd.DataFrame, no: pd.DataFrame
) -> tuple[float, str]:
    """Say which probes show a model to be robust, and which of the others has the largest drop."""
    row = records(no.sort_values("estimate", ascending=False))[0]
    agree = " and ".join(_by(probe) for probe in yes["probe"])
    verb = "say" if len(yes) > 1 or agree.endswith("s") else "says"
    return row.estimate, (
        f"{model_title(model)} under “{condition_title(condition).lower()}”: {agree} {verb} that "
        f"it is robust, {_by(row.probe)} not: there it loses {points(row.estimate)} "
        f"({interval(row.ci_low, row.ci_high)})"
    )


def conflict_finding(table: pd.DataFrame) -> str:
    """Return a sentence on the largest drop under `conflicting`; empty where there is none."""
    rows = table[(table["condition"] == Condition.CONFLICTING) & table["drop_estimate"].notna()]
    if rows.empty:
        return ""
    row = records(rows.sort_values("drop_estimate", ascending=False))[0]
    return (
        f"Where each cell of a pair stands on the other's background, the cue is wrong: "
        f"{model_title(row.model)} then loses {points(row.drop_estimate)} "
        f"({interval(row.drop_low, row.drop_high)}; {tested_on(row)})."
    )


def gap_finding(table: pd.DataFrame) -> str:
    """Return a sentence on the largest background gap, with the other models' range."""
    if table.empty:
        return ""
    row = records(table)[0]
    named = _picked(row, "ci_low", "ci_high", "unit", "gaps")
    numbers = f"{named.words}; {tested_on(row)}"
    start = (
        "The background gap, accuracy on a background of the same class minus accuracy on one of "
        "another class, is"
    )
    if named.low is not None and known(named.low) and named.low <= 0 and row.estimate > 0:
        text = f"{start} not told from zero: at most {points(row.estimate)}, for "
    elif row.estimate <= 0:
        text = f"{start} not above zero: {points(row.estimate)} at most, for "
    else:
        text = f"{start} largest for "
        return (
            f"{text}{model_title(row.model)}: {points(row.estimate)} ({numbers}){_others(table)}."
        )
    return f"{text}{model_title(row.model)} ({numbers}){_others(table)}."


def _others(table: pd.DataFrame) -> str:
    rows = records(table)[1:]
    if not rows:
        return ""
    each = [f"{model_title(row.model)} {points(row.estimate)}" for row in rows]
    return f"; {', '.join(each)}"


def donors_seen(table: pd.DataFrame) -> str:
    """Return a sentence on donors that the probe knows; empty where it knows none.

    Parameters
    ----------
    table
        Has `donor_seen`, a share from 0 to 1, missing without donors.
    """
    seen = table["donor_seen"].dropna()
    if seen.empty or not seen.max() > 0:
        return ""
    low, high = (_share(float(value)) for value in (seen[seen > 0].min(), seen.max()))
    share = high if low == high else f"{low} to {high}"
    return (
        f"In {share} of the tested crops with a foreign background, that background comes from a "
        "protein that the probe was fitted on, so the probe may know these neighbours already: the "
        "background gap can come out larger than on backgrounds that are new to it."
    )


def _share(value: float) -> str:
    return percent(value, 0) if value >= 0.01 else "less than 1%"


def short_finding(table: pd.DataFrame) -> str:
    """Return a chart's title that says the worst drop."""
    row = worst(table)
    zeros = "" if _of_zeros(table).empty else ": only zeros around the cell lower it"
    if row is None:
        return f"Accuracy under each condition{zeros}"
    named = _picked(row, "drop_low", "drop_high", "drop_unit", "drops")
    if named.may_be_zero or row.drop_estimate < CLEAR:
        return f"Accuracy stays within its intervals whatever the background{zeros}"
    return (
        f"Accuracy falls most for {model_title(row.model)} {_lost_where(row)}: "
        f"by {points(row.drop_estimate)}"
    )


def definition(condition: str) -> str:
    """Return ``Masked: the cell with …``."""
    return f"{condition_title(condition)}: {CONDITIONS[Condition(condition)].definition}"


def plain_name(text: str) -> str:
    """Escape a name from the data for Streamlit's Markdown."""
    for character in "\\`*_{}[]()#+-!|<>$~:":
        text = text.replace(character, f"\\{character}")
    return text
