"""What a reader does on each page: steps as addresses, drawn so that few are asked twice."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from dashboard import theme
from dashboard.queries import accuracy, compare, examples, proteins
from dashboard.queries.open_runs import Run
from dashboard.wording import records


@dataclass(frozen=True)
class Visit:
    """One step of a reader.

    Parameters
    ----------
    page
        As in the address; empty for the first.
    step
        What the reader does, in words.
    selections
        What the address then holds.
    """

    page: str
    step: str
    selections: Mapping[str, str]

    @property
    def title(self) -> str:
        """The page's name."""
        return (self.page or "overview").capitalize()


@dataclass(frozen=True)
class Choices:
    """What there is to choose from in a run, as an address names it."""

    proteins: tuple[str, ...]
    classes: tuple[str, ...]
    models: tuple[str, ...]
    conditions: tuple[str, ...]
    cells: tuple[int, ...]


Step = Callable[[Choices, Random], Mapping[str, str]]

PER_PAGE = 8
"""Cells on a page of crops (`dashboard.views.crops`)."""


def choices(run: Run) -> Choices:
    """Look up what a run's pages offer."""
    names = proteins.names(run)
    titles = [
        f"{row.protein} ({row.orf})" if row.orf and row.orf != row.protein else str(row.protein)
        for row in records(names)
    ]
    stored = run.query("SELECT DISTINCT cell FROM {examples} ORDER BY cell", ("examples",))
    altered = [name for name in run.conditions if name not in ("unaltered", "conflicting")]
    return Choices(
        tuple(titles),
        tuple(run.localizations),
        tuple(theme.model_title(name) for name in run.models),
        tuple(theme.condition_title(name) for name in altered),
        tuple(int(cell) for cell in stored["cell"]),
    )


def _condition(of: Choices, rng: Random) -> Mapping[str, str]:
    return {"condition": rng.choice(of.conditions)}


def _model(of: Choices, rng: Random) -> Mapping[str, str]:
    return {**_condition(of, rng), "model": rng.choice(of.models)}


def _class(of: Choices, rng: Random) -> Mapping[str, str]:
    return {**_condition(of, rng), "class": rng.choice(of.classes)}


def _square(of: Choices, rng: Random) -> Mapping[str, str]:
    return {"condition": theme.condition_title("different"), "centre": rng.choice(of.classes)}


def _pairs(of: Choices, rng: Random) -> Mapping[str, str]:
    order = rng.choice(list(accuracy.PAIR_ORDERS)).capitalize()
    return {**_model(of, rng), "pair_order": order, "pair": rng.choice(of.classes)[:4]}


def _protein(of: Choices, rng: Random) -> Mapping[str, str]:
    return {**_condition(of, rng), "protein": rng.choice(of.proteins)}


def _threshold(of: Choices, rng: Random) -> Mapping[str, str]:
    return {**_condition(of, rng), "threshold": f"{rng.randrange(1, 90) / 100:g}"}


def _sorted(of: Choices, rng: Random) -> Mapping[str, str]:
    order = rng.choice(list(proteins.ORDERS)).capitalize()
    return {**_model(of, rng), "order": order}


def _searched(of: Choices, rng: Random) -> Mapping[str, str]:
    return {**_condition(of, rng), "q": rng.choice(of.proteins).split(" ")[0][:-1]}


def _pasted(of: Choices, rng: Random) -> Mapping[str, str]:
    some = rng.sample(of.proteins, min(12, len(of.proteins)))
    return {**_condition(of, rng), "genes": "\n".join(name.split(" ")[0] for name in some)}


def _leafed(of: Choices, rng: Random) -> Mapping[str, str]:
    return {"page": str(rng.randint(1, max(1, len(of.cells) // PER_PAGE)))}


def _crops_sorted(of: Choices, rng: Random) -> Mapping[str, str]:
    return {"sort": rng.choice(list(examples.ORDERS)).capitalize(), "class": rng.choice(of.classes)}


def _changed(of: Choices, rng: Random) -> Mapping[str, str]:
    return {
        "changed": "true",
        "under": rng.choice(of.conditions),
        "background": rng.choice(of.classes),
    }


def _gene(of: Choices, rng: Random) -> Mapping[str, str]:
    return {"gene": rng.choice(of.proteins).split(" ")[0], "contrast": "Same for a protein"}


def _enlarged(of: Choices, rng: Random) -> Mapping[str, str]:
    return {"cell": f"cell {rng.choice(of.cells)}"}


def _board(of: Choices, rng: Random) -> Mapping[str, str]:
    return {**_condition(of, rng), "sort": rng.choice(list(compare.SORTS)).capitalize()}


def _slide(of: Choices, rng: Random) -> Mapping[str, str]:
    return {"slide": str(rng.randint(1, 6))}


def _frozen(of: Choices, rng: Random) -> Mapping[str, str]:
    return {"protocol": "Fitted once, then frozen"}


STEPS: dict[tuple[str, str], Step] = {
    ("", "open"): lambda of, rng: {},
    ("", "another protocol"): _frozen,
    ("accuracy", "another condition"): _condition,
    ("accuracy", "another model"): _model,
    ("accuracy", "a class, with its crops"): _class,
    ("accuracy", "a square, with its crops"): _square,
    ("accuracy", "search and sort pairs"): _pairs,
    ("proteins", "open"): _condition,
    ("proteins", "another protein"): _protein,
    ("proteins", "move the threshold"): _threshold,
    ("proteins", "sort the table"): _sorted,
    ("proteins", "search the table"): _searched,
    ("proteins", "a pasted list"): _pasted,
    ("crops", "next cells"): _leafed,
    ("crops", "a class, sorted"): _crops_sorted,
    ("crops", "more filters"): _changed,
    ("crops", "one gene"): _gene,
    ("crops", "one cell, enlarged"): _enlarged,
    ("compare", "sort"): _board,
    ("present", "next figure"): _slide,
    ("methods", "open"): lambda of, rng: {},
}
"""Steps by page and what they are."""


def walk(of: Choices, rng: Random, rounds: int) -> list[Visit]:
    """Return steps in a mixed order, each of `STEPS` once a round.

    Parameters
    ----------
    of
        What can be chosen.
    rng
        Draws the choices and the order.
    rounds
        How often each is taken.
    """
    found = []
    for _ in range(rounds):
        steps = list(STEPS.items())
        rng.shuffle(steps)
        found += [Visit(page, step, make(of, rng)) for (page, step), make in steps]
    return found
