"""Proteins, cells and predictions of a synthetic run, as Arrow tables.

Pure arrays, a group of proteins at a time, so that memory stays flat. Nothing here is a result.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from compute import schema
from dashboard.bench.columns import constant, take, vectors
from dashboard.bench.synthetic_config import PROTOCOLS, SyntheticConfig

TOGETHER = 64
"""Proteins drawn at a time: about 25,000 cells at full size."""

ODD_NAMES = ("α-tubulin <b>'\";--", "タンパク質")
"""Names that are hard to show; after all others in the order of code points."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Key = tuple[str, str]
"""A model and a protocol."""


@dataclass(frozen=True)
class Drawn:
    """What the tables of a synthetic run share.

    Parameters
    ----------
    config
        What the run holds.
    names, orfs
        Of the proteins, in alphabetical order.
    classes
        Numbers of each protein's localizations, shape (proteins, 2): the same twice where it has
        one. Its cells are of the first and the second in turn.
    proportion, probability
        Share of the answers and mean probability of each class, by model and protocol: shape
        (proteins, composed conditions, classes). Filled while predictions are drawn.
    said, sure
        Number and probability of the answer to each example's crops, by model and protocol: shape
        (proteins, composed conditions, examples). Filled while predictions are drawn.
    """

    config: SyntheticConfig
    names: list[str]
    orfs: list[str]
    classes: Ints
    proportion: dict[Key, Floats] = field(default_factory=dict)
    probability: dict[Key, Floats] = field(default_factory=dict)
    said: dict[Key, Ints] = field(default_factory=dict)
    sure: dict[Key, Floats] = field(default_factory=dict)

    @property
    def home(self) -> Ints:
        """Class of each protein that has only one, shape (`config.proteins`,)."""
        return self.classes[: self.config.proteins, 0]

    @cached_property
    def fold(self) -> Ints:
        """Fold of each protein, shape (`config.all_proteins`,); -1 with several labels or none."""
        fold = np.full(self.config.all_proteins, -1)
        if self.config.labels:
            for k in range(len(self.config.localizations)):
                inside = np.flatnonzero(self.home == k)
                fold[inside] = np.arange(len(inside)) % self.config.folds
        return fold

    @cached_property
    def labels(self) -> pa.Array:
        """Names of each protein's localizations; none in a run without labels."""
        known = self.config.localizations if self.config.labels else ()
        named = [[known[k] for k in dict.fromkeys(row)] if known else [] for row in self.classes]
        return pa.array(named, pa.list_(pa.string()))

    def groups(self) -> Iterator[Ints]:
        """Give the proteins' numbers, some at a time."""
        count = self.config.all_proteins
        yield from np.split(np.arange(count), range(TOGETHER, count, TOGETHER))


def draw(config: SyntheticConfig) -> Drawn:
    """Draw the proteins of a run."""
    rng = np.random.default_rng(config.seed)
    count, places = config.all_proteins, len(config.localizations)
    width = len(str(count))
    names = [f"GEN{i + 1:0{width}d}" for i in range(count)]
    if config.odd_names:
        names[-len(ODD_NAMES) :] = ODD_NAMES[-count:]
    orfs = [
        f"Y{chr(65 + i % 16)}{'LR'[i % 2]}{i + 1:0{width}d}{'CW'[i // 2 % 2]}" for i in range(count)
    ]
    home = rng.permutation(np.arange(config.proteins) % places)
    pairs = [rng.choice(places, 2, replace=False) for _ in range(config.mixed)]
    return Drawn(config, names, orfs, np.array([*zip(home, home, strict=True), *pairs], np.int64))


def cells(drawn: Drawn) -> Iterator[pa.Table]:
    """Give the table of cells; those of a protein lie together, the one without trials last."""
    config = drawn.config
    rng = np.random.default_rng((config.seed, 1))
    for proteins in drawn.groups():
        of = np.repeat(proteins, config.cells + 1)
        number = np.tile(np.arange(config.cells + 1), len(proteins))
        first, second = drawn.classes[of].T
        count, cell = len(of), of * (config.cells + 1) + number
        border = np.where(number == config.cells, int(schema.CellFlag.TOUCHES_BORDER), 0)
        fields = cell // 20
        columns = {
            "cell": pa.array(cell),
            "protein": take(drawn.names, of),
            "orf": take(drawn.orfs, of),
            "localization": take(
                config.localizations, np.where((first == second) & config.labels, first, -1)
            ),
            "labels": drawn.labels.take(pa.array(of)),
            "field": take([f"field_{i}" for i in range(fields[-1] + 1)], fields),
            "replicate": take(("A", "B"), cell % 2),
            "split": constant("evaluate", count),
            "mask_area": pa.array(rng.integers(500, 1200, count, dtype=np.int32)),
            "neighbour_fraction": pa.array(neighbours(config.seed, cell)),
            "flags": pa.array(border.astype(np.int32)),
            "fold": pa.array(drawn.fold[of].astype(np.int16), mask=drawn.fold[of] < 0),
        }
        yield pa.table(columns, schema=schema.run_cells_schema())


def neighbours(seed: int, cell: Ints) -> NDArray[np.float32]:
    """Return the share of the crop that the neighbours of cells cover."""
    return chance(seed, cell, 6).astype(np.float32)


def chance(seed: int, numbers: Ints, purpose: int) -> Floats:
    """Return a number from 0 to below 1 for each number, the same whenever it is asked for.

    SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) of seed, number and purpose.
    """
    start = ((seed * 31 + purpose) * 0xD1B54A32D192ED03) % 2**64
    z = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(start)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = (z ^ (z >> np.uint64(31))) >> np.uint64(11)
    return z / 2.0**53


def predictions(drawn: Drawn, model: str, condition: str) -> Iterator[pa.Table]:
    """Draw a model's answers under a condition, by protein; keep each protein's means."""
    config, place = drawn.config, drawn.config.composed.index(condition)
    number = list(schema.Condition).index(schema.Condition(condition))
    rng = np.random.default_rng((config.seed, 3, config.models.index(model), number))
    shape = (config.all_proteins, len(config.composed))
    for protocol in PROTOCOLS:
        for kept in (drawn.proportion, drawn.probability):
            kept.setdefault((model, protocol), np.zeros((*shape, len(config.localizations))))
        drawn.said.setdefault((model, protocol), np.zeros((*shape, config.examples), np.int64))
        drawn.sure.setdefault((model, protocol), np.zeros((*shape, config.examples)))
    for proteins in drawn.groups():
        yield _answers(drawn, model, place, proteins, rng)


def _answers(
    drawn: Drawn, model: str, place: int, proteins: Ints, rng: np.random.Generator
) -> pa.Table:
    """Draw a model's answers to some proteins' cells, refit before frozen."""
    config, condition = drawn.config, drawn.config.composed[place]
    names, slots = config.localizations, [name for name, _ in config.slots]
    repeats = slots.count(condition)
    number = np.repeat(np.arange(config.cells), repeats)
    trial = (proteins[:, None] * config.cells + number) * len(slots) + slots.index(condition)
    trial += np.tile(np.arange(repeats), config.cells)
    home = drawn.classes[proteins[:, None], number % 2]
    scores = []
    for protocol in PROTOCOLS:
        right = rng.random(trial.shape) < config.right(model, condition, protocol, "multiclass")
        top = np.where(right, home, rng.integers(0, len(names), trial.shape))
        p = rng.standard_exponential((*trial.shape, len(names)), dtype=np.float32)
        more = rng.gamma(4, 3, trial.shape).astype(np.float32)
        p += (top[..., None] == np.arange(len(names))) * more[..., None]
        p /= p.sum(axis=2, keepdims=True)
        said, first = p.argmax(axis=2), slice(0, config.examples * repeats, repeats)
        key = (model, protocol)
        drawn.probability[key][proteins, place] = p.mean(axis=1)
        shares = [(said == k).mean(axis=1) for k in range(len(names))]
        drawn.proportion[key][proteins, place] = np.stack(shares, axis=1)
        drawn.said[key][proteins, place] = said[:, first]
        drawn.sure[key][proteins, place] = p[:, first].max(axis=2)
        scores.append(p)
    both = np.stack(scores, axis=1).reshape(-1, len(names))
    count, each = len(both), trial.shape[1]
    cell = proteins[:, None] * (config.cells + 1) + number
    columns = {
        "protein": take(drawn.names, np.repeat(proteins, len(PROTOCOLS) * each)),
        "cell": pa.array(np.tile(cell, len(PROTOCOLS)).ravel()),
        "trial": pa.array(np.tile(trial, len(PROTOCOLS)).ravel()),
        "condition": constant(condition, count),
        "protocol": take(PROTOCOLS, np.tile(np.repeat([0, 1], each), len(proteins))),
        "predicted": take(names, both.argmax(axis=1)),
        "probabilities": vectors(both),
    }
    return pa.table(columns, schema=schema.predictions_schema(len(names)))
