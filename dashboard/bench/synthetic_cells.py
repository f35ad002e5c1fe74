"""Proteins, cells, trials, predictions and example crops of a synthetic run, as Arrow tables.

Pure arrays, a group of proteins at a time, so that memory stays flat. A trial's donor and flags
follow from its number alone, so every table says the same of it. Nothing here is a result.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import imagecodecs
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from compute import schema
from dashboard.bench.columns import constant, take, vectors
from dashboard.bench.synthetic_config import PROTOCOLS, SyntheticConfig, has_donors

TOGETHER = 64
"""Proteins drawn at a time: about 25,000 cells at full size."""

WINDOWS = 40
"""Cell-free windows that `donor` names under `cell_free`."""

CHANNELS = ("GFP", "RFP")
SIDE = 64
"""Pixels along a crop's side."""

PICTURES = 32
"""Different cells among the example crops."""

ODD_NAMES = ("α-tubulin <b>'\";--", "タンパク質")
"""Names that are hard to show; after all others in the order of code points."""

SHARE_OF_SEAMS = 0.08

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
            "neighbour_fraction": pa.array(rng.random(count, dtype=np.float32)),
            "flags": pa.array(border.astype(np.int32)),
        }
        yield pa.table(columns, schema=schema.cells_schema())


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


@dataclass(frozen=True)
class Trials:
    """Trials by their numbers: cells that have trials, times slots.

    Parameters
    ----------
    protein, cell, slot
        Numbers, shape (trials,).
    behind
        Class of the background, -1 where it is the cell's own or empty.
    donor
        The cell, or the window under `cell_free`, that the background is from; -1 for none.
    flags
        Of `compute.schema.TrialFlag`.
    """

    protein: Ints
    cell: Ints
    slot: Ints
    behind: Ints
    donor: Ints
    flags: NDArray[np.int32]


def look_up(drawn: Drawn, trials: Ints) -> Trials:
    """Return what the trials of some numbers are."""
    config, places = drawn.config, len(drawn.config.localizations)
    index, slot = np.divmod(trials, len(config.slots))
    protein, number = np.divmod(index, config.cells)
    home = drawn.classes[protein, number % 2]
    conditions = np.array([name for name, _ in config.slots])[slot]
    other = 1 + (chance(config.seed, trials, 1) * (places - 1)).astype(np.int64)
    behind = np.where((conditions == "same") | (places == 1), home, (home + other) % places)
    order = np.argsort(drawn.home, kind="stable")
    starts = np.searchsorted(drawn.home[order], np.arange(places + 1))
    there = np.diff(starts)[behind]
    donor = order[starts[behind] + (chance(config.seed, trials, 2) * there).astype(np.int64)]
    among = chance(config.seed, trials, 3)
    donor = donor * (config.cells + 1) + (among * config.cells).astype(np.int64)
    donor = np.where(conditions == "cell_free", (among * WINDOWS).astype(np.int64), donor)
    has = np.array([has_donors(name) for name, _ in config.slots])[slot]
    seam = has & (chance(config.seed, trials, 4) < SHARE_OF_SEAMS)
    return Trials(
        protein,
        protein * (config.cells + 1) + number,
        slot,
        np.where(has, behind, -1),
        np.where(has, donor, -1),
        np.where(seam, int(schema.TrialFlag.SEAM), 0).astype(np.int32),
    )


def trials(drawn: Drawn, start: int, stop: int) -> pa.Table:
    """Return the table of the trials of numbers from `start` to below `stop`."""
    config, number = drawn.config, np.arange(start, stop)
    found = look_up(drawn, number)
    columns = {
        "trial": pa.array(number),
        "cell": pa.array(found.cell),
        "condition": take([name for name, _ in config.slots], found.slot),
        "donor": pa.array(found.donor, mask=found.donor < 0),
        "donor_localization": _behind(drawn, found),
        "repeat": pa.array(np.array([r for _, r in config.slots], np.int16)[found.slot]),
        "seed": pa.array((chance(config.seed, number, 5) * 2**62).astype(np.int64)),
        "flags": pa.array(found.flags),
    }
    return pa.table(columns, schema=schema.trials_schema())


def _behind(drawn: Drawn, found: Trials) -> pa.Array:
    known = found.behind if drawn.config.labels else np.full(len(found.behind), -1)
    return take(drawn.config.localizations, known)


def predictions(drawn: Drawn, model: str, condition: str) -> Iterator[pa.Table]:
    """Draw a model's answers under a condition, by protein; keep each protein's means.

    Under `sham` they are those under `unaltered`, since the crops are the same.
    """
    config, place = drawn.config, drawn.config.composed.index(condition)
    alike = "unaltered" if condition == "sham" else condition
    rng = np.random.default_rng(
        (config.seed, 3, config.models.index(model), list(schema.Condition).index(alike))  # type: ignore[arg-type]
    )
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


def examples(drawn: Drawn) -> Iterator[pa.Table]:
    """Give the table of example crops: some pictures, shared by all, beside each crop's answers.

    The first cells of each protein are shown, the first trial of each condition. Ask after all
    predictions were drawn.
    """
    config = drawn.config
    slots = [name for name, _ in config.slots]
    first = np.array([slots.index(name) for name in config.composed], np.int64)
    pictures = pa.array(_pictures(config), pa.list_(pa.binary()))
    angle = np.linspace(0, 2 * np.pi, 41)
    ellipse = np.stack([31.5 + 13 * np.cos(angle), 31.5 + 16 * np.sin(angle)], axis=1).ravel()
    outline = pa.array([[ellipse.tolist()]], schema.EXAMPLES.field("outline").type)
    numbers = pa.array([[0.0] * len(CHANNELS), [1.0] * len(CHANNELS)], pa.list_(pa.float64()))
    for proteins in drawn.groups():
        index = proteins[:, None] * config.cells + np.arange(config.examples)
        trial = (index[:, :, None] * len(slots) + first).ravel()
        found, count = look_up(drawn, trial), len(trial)
        place = np.tile(np.arange(len(first)), index.size)
        labels = drawn.labels.take(pa.array(found.protein))
        single = drawn.classes[found.protein]
        known = (single[:, 0] == single[:, 1]) & config.labels
        donor = np.where(found.donor < 0, 0, found.donor) // (config.cells + 1)
        of_cell = np.array([name != "cell_free" for name in config.composed])[place]
        nothing = pa.array(np.zeros(count, np.int64))
        columns = {
            "protein": take(drawn.names, found.protein),
            "cell": pa.array(found.cell),
            "condition": take(config.composed, place),
            "trial": pa.array(trial),
            "localization": take(config.localizations, np.where(known, single[:, 0], -1)),
            "labels": labels,
            "donor": pa.array(found.donor, mask=found.donor < 0),
            "donor_localization": _behind(drawn, found),
            "donor_protein": take(drawn.names, np.where((found.donor >= 0) & of_cell, donor, -1)),
            "flags": pa.array(found.flags),
            "images": pictures.take(pa.array(found.cell % PICTURES * len(first) + place)),
            "offset": numbers.take(nothing),
            "gain": numbers.take(pa.array(np.ones(count, np.int64))),
            "outline": outline.take(nothing),
            "predictions": _example_answers(drawn, proteins),
        }
        yield pa.table(columns, schema=schema.EXAMPLES)


def _example_answers(drawn: Drawn, proteins: Ints) -> pa.Array:
    """Return the answers to each example crop of some proteins, a list for each crop."""
    keys = [(model, protocol) for model in drawn.config.models for protocol in PROTOCOLS]
    kind = schema.EXAMPLES.field("predictions").type
    count = len(proteins) * drawn.config.examples * len(drawn.config.composed)
    if not keys:
        return pa.array([[]] * count, kind)
    # Shape (keys, proteins, conditions, examples) becomes (proteins, examples, conditions, keys).
    said = np.stack([drawn.said[key][proteins] for key in keys]).transpose(1, 3, 2, 0).ravel()
    sure = np.stack([drawn.sure[key][proteins] for key in keys]).transpose(1, 3, 2, 0).ravel()
    number = np.tile(np.arange(len(keys)), count)
    fields = [
        take([model for model, _ in keys], number),
        take([protocol for _, protocol in keys], number),
        take(drawn.config.localizations, said),
        pa.array(sure.astype(np.float32)),
    ]
    answers = pa.StructArray.from_arrays(fields, fields=list(kind.value_type))
    starts = pa.array(np.arange(count + 1, dtype=np.int32) * len(keys))
    return pa.ListArray.from_arrays(starts, answers)


def _pictures(config: SyntheticConfig) -> list[list[bytes]]:
    """Draw cells under every composed condition: for each crop a 16-bit PNG per channel.

    A cell's own pixels are the same under all conditions that show it.
    """
    y, x = np.mgrid[0:SIDE, 0:SIDE]

    def radius(cx: float, cy: float) -> Floats:
        return np.hypot((x - cx) / 13, (y - cy) / 16)

    inside = radius(31.5, 31.5) < 1
    found = []
    for number in range(PICTURES):
        rng = np.random.default_rng((config.seed, 4, number))

        def cell(cx: float, cy: float, rng: np.random.Generator = rng) -> Floats:
            spot = np.hypot(x - cx - rng.normal(0, 4), y - cy - rng.normal(0, 4)) / 4
            body = np.clip(1.2 - radius(cx, cy), 0, 1)
            return np.stack([300 * (body > 0) + 2500 * np.exp(-(spot**2)), 900 * body])

        def medium(neighbours: int, rng: np.random.Generator = rng) -> Floats:
            image = rng.normal(300, 40, (len(CHANNELS), SIDE, SIDE))
            for angle in rng.uniform(0, 2 * np.pi, neighbours):
                image += cell(31.5 + 33 * np.cos(angle), 31.5 + 33 * np.sin(angle))
            return image

        own, around = medium(0) + cell(31.5, 31.5), medium(3)
        for condition in config.composed:
            image = around.copy() if condition in ("unaltered", "sham") else medium(3)
            if condition == "background_only":
                image = around.copy()
            elif condition == "cell_free":
                image = medium(0)
            elif condition == "masked":
                image = np.zeros_like(own)
            if condition != "background_only":
                image[:, inside] = own[:, inside]
            pixels = np.clip(image, 0, 65535).astype(np.uint16)
            found.append([bytes(imagecodecs.png_encode(channel)) for channel in pixels])
    return found
