"""Embeddings of a made-up model whose answer depends on the background by a known amount.

Layer: writes `trials` and `embeddings` of a run into a folder; everything else is arrays. A crop's
embedding is the sum of what its cell's localization, protein and cell show, and of what its
background shows along one direction: the level of the background's localization and a deviation of
the donor, the same for every cell that stands on it. Whatever a probe makes of that can be asked of
as many other proteins, cells and donors as one likes (`Elsewhere`), so what a remedy truly does is
known.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from compute import schema
from compute.backgrounds.config import PlanConfig
from compute.backgrounds.plan import Plan
from compute.embedding.tables import embeddings_table, trials_table
from compute.errors import UsageError
from compute.probes.cells import Cells
from compute.schema import Condition
from compute.storage.run_directory import RunDirectory, begin

CONDITIONS = ("unaltered", "same", "different", "background_only", "alone")
"""Conditions that have trials."""

MODEL, POOLED = "made_up", "made_up.pooled"
"""The model, and the same with its map pooled over the cell: a tenth of the background is left."""

LEFT = 0.1
"""How much of the background pooling leaves."""

_NOT_SHOWN = (Condition.ALONE, Condition.CELL_FREE, Condition.MASKED)
"""Conditions under which no background is seen."""


@dataclass(frozen=True)
class EmbeddingsConfig:
    """How embeddings come about. Localizations are one unit each; spreads are of every unit.

    Parameters
    ----------
    classes
        Number of localizations, at least 3.
    proteins
        Number of proteins of each localization, at least 4.
    cells
        Cells of a protein, at least 1.
    folds
        Folds in which whole proteins lie, at least 2.
    width
        Length of an embedding, more than `classes`.
    signal
        How far a localization's cells lie from the others', in its own unit.
    amount
        How far the backgrounds of the first and the last localization lie apart; 0 for none.
    protein_sd, cell_sd, crop_sd
        Standard deviations between a localization's proteins, a protein's cells, a cell's crops;
        the last anew in each of the two models.
    donor_sd
        Between the donors of one localization, along the direction of backgrounds, in parts of
        `amount`.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    classes: int = 4
    proteins: int = 20
    cells: int = 5
    folds: int = 3
    width: int = 8
    signal: float = 1.8
    amount: float = 4.0
    protein_sd: float = 0.35
    cell_sd: float = 0.6
    crop_sd: float = 0.1
    donor_sd: float = 0.15

    def __post_init__(self) -> None:
        """Check every value."""
        for what, least in (
            ("classes", 3), ("proteins", 4), ("cells", 1), ("folds", 2),
            ("width", self.classes + 1), ("amount", 0),
        ):  # fmt: skip
            if getattr(self, what) < least:
                raise UsageError(f"{what} is {getattr(self, what)}; it must be at least {least}.")

    @property
    def names(self) -> list[str]:
        """Names of the localizations."""
        return [f"localization {k}" for k in range(self.classes)]

    @property
    def direction(self) -> NDArray[np.float64]:
        """Where backgrounds move embeddings, also in units that show localizations; length 1."""
        found = np.zeros(self.width)
        found[self.classes - 2 : self.classes + 1] = 1, -1, 2
        return found / np.linalg.norm(found)

    @property
    def levels(self) -> NDArray[np.float64]:
        """Where on the direction the background of each localization lies, shape (classes,)."""
        return self.amount * np.linspace(-0.5, 0.5, self.classes)


@dataclass(frozen=True)
class Made:
    """A data set.

    Parameters
    ----------
    run
        Has `trials`, and `embeddings` of `MODEL` and `POOLED`.
    cells
        Labels and folds of its cells.
    """

    run: RunDirectory
    cells: Cells


def make(folder: Path, config: EmbeddingsConfig, rng: np.random.Generator, seed: int) -> Made:
    """Write a data set.

    Parameters
    ----------
    folder
        Where the run is put; must not be there.
    config
        How embeddings come about.
    rng
        Draws everything but the plan.
    seed
        Decides the plan; any integer ≥ 0.
    """
    names = config.names
    protein = np.repeat(np.arange(config.classes * config.proteins), config.cells)
    classes = protein // config.proteins
    labels = [names[k] for k in classes]
    number = np.arange(len(protein))
    table = pd.DataFrame(
        {
            "cell": number,
            "protein": [f"P{p:04d}" for p in protein],
            "localization": labels,
            "labels": [[name] for name in labels],
            "field": [f"P{p:04d}/{n % 2}" for p, n in zip(protein, number, strict=True)],
            "split": None,
        }
    )
    columns = {"window": np.int64, "protein": object, "localization": object, "field": object}
    windows = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})
    planned = PlanConfig(conditions=CONDITIONS, seed=seed, folds=config.folds)
    plan = Plan(table, np.ones(len(table), bool), windows, names, planned)
    grid = np.zeros(len(table), bool)
    grid[plan.rows[plan.grid]] = True
    cells = Cells(
        classes.astype(np.int64), table["protein"].to_numpy(dtype=object), grid, names, plan.folds
    )
    shown = _shown(config, classes, protein, rng)
    strays = config.donor_sd * config.amount * rng.standard_normal(len(table))
    trials = plan.trials(0, len(plan.rows))
    vectors = _vectors(config, trials, classes, shown, strays, rng)
    unknown, flags = np.full(len(trials), np.nan, np.float32), np.zeros(len(trials), np.int32)
    with begin(folder, {}, {"localizations": names}) as run:
        written = trials_table(trials, flags, unknown, unknown)
        run.write(run.part("trials", 0), written, schema.trials_schema())
        for model, found in zip((MODEL, POOLED), vectors, strict=True):
            run.write(
                run.part("embeddings", 0, model), embeddings_table(trials, found),
                schema.embeddings_schema(config.width),
            )  # fmt: skip
    return Made(run, cells)


def _shown(
    config: EmbeddingsConfig,
    classes: NDArray[np.int64],
    protein: NDArray[np.int64],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Draw what each cell shows of itself, shape (cells, width)."""
    found = config.cell_sd * rng.standard_normal((len(classes), config.width))
    own = config.protein_sd * rng.standard_normal((int(protein.max()) + 1, config.width))
    found += own[protein]
    found[np.arange(len(classes)), classes] += config.signal
    return found


def _vectors(
    config: EmbeddingsConfig,
    trials: pd.DataFrame,
    classes: NDArray[np.int64],
    shown: NDArray[np.float64],
    strays: NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the embeddings of trials by both models, each of shape (T, width)."""
    cell = trials["cell"].to_numpy()
    condition = trials["condition"].to_numpy().astype(str)
    donor = trials["donor"].fillna(-1).to_numpy().astype(np.int64)
    donor = np.where(donor < 0, cell, donor)
    seen = ~np.isin(condition, list(map(str, _NOT_SHOWN)))
    there = condition != str(Condition.BACKGROUND_ONLY)
    behind = seen * (config.levels[classes[donor]] + strays[donor])
    found = shown[cell] * there[:, None]
    moved = behind[:, None] * config.direction
    one, two = config.crop_sd * rng.standard_normal((2, *found.shape))
    return (found + one + moved).astype(np.float32), (found + two + LEFT * moved).astype(np.float32)


@dataclass(frozen=True)
class Elsewhere:
    """Other proteins, each with a cell, on other donors: n of each localization.

    Parameters
    ----------
    classes
        Localization of each cell, shape (N,).
    crops
        By condition, embeddings by both models, shape (2, N, crops of a cell, width).
    """

    classes: NDArray[np.int64]
    crops: dict[str, NDArray[np.float32]]

    @classmethod
    def draw(
        cls, config: EmbeddingsConfig, n: int, backgrounds: int, rng: np.random.Generator
    ) -> "Elsewhere":
        """Draw them.

        Parameters
        ----------
        config
            How embeddings come about.
        n
            Cells of each localization.
        backgrounds
            How many the mean of a cell's crops is over, no more than there are localizations.
        rng
            Draws everything.
        """
        classes = np.repeat(np.arange(config.classes), n)
        shown = _shown(config, classes, np.arange(len(classes)), rng)
        others = (classes[:, None] + np.arange(1, config.classes)) % config.classes
        own = classes[:, None]

        def crops(behind: NDArray[np.int64] | None, there: bool = True) -> NDArray[np.float32]:
            places = own if behind is None else behind
            found = np.repeat(shown[:, None] * there, places.shape[1], 1)
            one, two = config.crop_sd * rng.standard_normal((2, *found.shape))
            level = np.zeros(places.shape)
            if behind is not None:
                strays = rng.standard_normal(behind.shape)
                level = config.levels[behind] + config.donor_sd * config.amount * strays
            moved = level[..., None] * config.direction
            return np.stack([found + one + moved, found + two + LEFT * moved]).astype(np.float32)

        every = np.argsort(rng.random((len(classes), config.classes)), 1)[:, :backgrounds]
        return cls(
            classes,
            {
                "unaltered": crops(own), "same": crops(own), "different": crops(others),
                "background_only": crops(own, False), "alone": crops(None),
                "averaged": crops(every).mean(2, keepdims=True),
            },
        )  # fmt: skip
