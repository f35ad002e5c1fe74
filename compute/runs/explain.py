"""Where the models of a finished run look: the tables `occlusions` and `occlusion_summary`.

Layer: reads a run's embeddings and a store's crops, embeds crops with pieces taken out
(`compute.explanations`), and gives the run the tables. One cell is explained without writing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from compute import schema
from compute.backgrounds.config import WITH_GLOW, PlanConfig
from compute.backgrounds.occlusion import Occluded, occlude
from compute.devices import choose_device
from compute.embedding.config import EmbedConfig
from compute.errors import InputError, UsageError
from compute.explanations.ask import Asked, choose_cells, fill_seed, occlusion_rows
from compute.explanations.config import ExplainConfig
from compute.images.dilation import to_masks
from compute.models.card_files import FoundModel, Model
from compute.models.embedder import load_model
from compute.probes.cells import Cells
from compute.probes.gather import gather_grid
from compute.probes.multiclass import Multiclass, TrainingCrops, fit_multiclass
from compute.runs.config import RunConfig
from compute.runs.example_crops import outline
from compute.runs.finished import models_of, open_finished
from compute.runs.prepare import prepare
from compute.schema import Condition, Piece
from compute.statistics.bootstrap import BootstrapConfig
from compute.statistics.occlusions import summarise
from compute.storage.atomic_files import Progress, silent
from compute.storage.run_directory import RunDirectory
from compute.store.reader import CropArrays, CropStore
from compute.store.some_rows import read_rows

CELLS_TOGETHER = 16
"""Cells whose crops are asked about together: about a hundred crops."""


def explain(
    store: Path | str,
    run: Path | str,
    models: Sequence[Model] | None = None,
    config: ExplainConfig | None = None,
    *,
    device: str = "auto",
    trusted: bool = False,
    progress: Progress = silent,
) -> pa.Table:
    """Find out where the models of a finished run look, and add that to the run.

    Of some cells' unaltered crops each neighbour in turn, the centre and a patch of medium are
    filled with medium; the frozen multi-class probe of the fold that holds the cell out answers
    each.

    Parameters
    ----------
    store
        The crop store that the run was made from.
    run
        The finished run, with its embeddings.
    models
        Its models, all or some: names of shipped models or paths of cards. By default all, which
        must then be shipped ones.
    config
        How many cells are looked at; `ExplainConfig()` by default.
    device
        As for `compute.runs.run.run`.
    trusted
        Whether foreign code that models bring may run; False by default.
    progress
        Called with ``"explain"``, cells done and cells in all; silent by default.

    Returns
    -------
    Table
        Columns of `compute.schema.OCCLUSION_SUMMARY`; that of single pieces is
        ``RunDirectory(run).read("occlusions")``.

    Raises
    ------
    UsageError
        The run is not finished, kept no embeddings, or is of another store or other models; it
        lacks the condition `unaltered`; or a model's answers are from a table.
    InputError
        A model cannot be loaded, or no probe can be fitted.

    Examples
    --------
    >>> from compute import ExplainConfig, explain
    >>> table = explain("store", "my-run", ["deeploc.toml"], ExplainConfig(cells=4))
    >>> "neighbour_share" in table["quantity"].to_pylist()
    True
    """
    config = ExplainConfig() if config is None else config
    opened = _open(store, run, models, device, trusted)
    chosen = choose_cells(opened.cells, config.cells, opened.settings.plan.seed)
    rows: list[dict[str, Any]] = []
    done = 0
    for some in _occluded(opened, chosen):
        progress("explain", done, len(chosen))
        rows += opened.ask(some)
        done += len(some)
    progress("explain", done, len(chosen))
    order = {one.model.name: number for number, one in enumerate(opened.asked)}
    rows.sort(key=lambda row: order[row["model"]])
    table = pa.Table.from_pylist(rows, schema.OCCLUSIONS)
    frame = table.to_pandas()
    summary = [
        {"model": name, **row}
        for name in order
        for row in summarise(
            frame[frame["model"] == name], opened.cells.units, opened.settings.bootstrap,
            opened.cells.names,
        )
    ]  # fmt: skip
    found = pa.Table.from_pylist(summary, schema.OCCLUSION_SUMMARY)
    opened.base.add("occlusions", table)
    opened.base.add("occlusion_summary", found)
    return found


@dataclass(frozen=True)
class CellExplanation:
    """Where models look in one cell's crop.

    Parameters
    ----------
    table
        Columns of `compute.schema.OCCLUSIONS`, a row a model and piece.
    image
        The crop as imaged, float32, shape (C, H, W).
    channels
        Names of its channels.
    marker
        The one that shows whole cells, or None.
    outlines
        By kind and number of each piece its closed contours, each x0, y0, x1, y1, … in pixels.
    simulated
        Whether the store's cells are simulated, which a picture has to say.
    """

    table: pa.Table
    image: NDArray[np.float32]
    channels: list[str]
    marker: str | None
    outlines: dict[tuple[str, int], list[list[float]]]
    simulated: bool


def explain_cell(
    store: Path | str,
    run: Path | str,
    cell: int,
    models: Sequence[Model] | None = None,
    *,
    device: str = "auto",
    trusted: bool = False,
) -> CellExplanation:
    """Find out where models look in the crop of one cell; nothing is written.

    Parameters
    ----------
    store, run, models, device, trusted
        As for `explain`.
    cell
        Number of the cell: its row in the store's `cells`. It need not stand in pair tests.

    Returns
    -------
    CellExplanation
        With what is needed to draw it (`dashboard.write_explanation`).

    Raises
    ------
    UsageError
        As for `explain`; or the run has no such cell.
    InputError
        As for `explain`.

    Examples
    --------
    >>> from compute import RunDirectory, explain_cell
    >>> cell = RunDirectory("my-run").read("trials")["cell"][0].as_py()
    >>> found = explain_cell("store", "my-run", cell, ["deeploc.toml"])
    >>> found.table["kind"].to_pylist()[-1]
    'centre'
    """
    if isinstance(cell, bool) or not isinstance(cell, int | np.integer):
        raise UsageError(f"cell is {cell!r}, not a whole number.", "Give the number of a cell.")
    opened = _open(store, run, models, device, trusted, only=int(cell))
    [found] = _occluded(opened, np.array([cell], np.int64))
    [occluded] = found.values()
    outlines = {
        (str(kind), int(number)): outline(piece)
        for kind, number, piece in zip(
            occluded.kinds, occluded.numbers, occluded.pieces[1:], strict=True
        )
        if kind is not Piece.NOTHING
    }
    table = pa.Table.from_pylist(opened.ask(found), schema.OCCLUSIONS)
    source = opened.store.meta["source"]
    return CellExplanation(
        table, occluded.images[0], opened.store.channels, source.get("marker"), outlines,
        bool(source["simulated"]),
    )  # fmt: skip


@dataclass(frozen=True)
class _Opened:
    """A finished run whose models can be asked.

    Parameters
    ----------
    base, store
        The run and its store.
    settings
        Its configuration.
    cells
        Labels and folds of the store's cells.
    asked
        Its models with their probes.
    """

    base: RunDirectory
    store: CropStore
    settings: RunConfig
    cells: Cells
    asked: list[Asked]

    def ask(self, occluded: dict[int, Occluded]) -> list[dict[str, Any]]:
        """Ask all models about the crops of some cells."""
        embed = self.settings.embed
        return list(occlusion_rows(occluded, self.asked, self.cells, self.store.channels, embed))


def _open(
    store: Path | str,
    run: Path | str,
    models: Sequence[Model] | None,
    device: str,
    trusted: bool,
    only: int | None = None,
) -> _Opened:
    """Open a finished run, load its models and fit their probes; `only` is a cell it must have."""
    base, opened = open_finished(store, run)
    said = base.meta["configuration"]
    settings = RunConfig(
        plan=PlanConfig(**said["plan"]),
        embed=EmbedConfig(**said["embed"]),
        bootstrap=BootstrapConfig(**said["bootstrap"]),
    )
    if Condition.UNALTERED not in settings.plan.conditions:
        raise UsageError(
            f"{base.path} lacks the condition {Condition.UNALTERED}, on which probes are fitted.",
            f"Run it with --conditions {Condition.UNALTERED} or more.",
        )
    found = models_of(base, opened, models, trusted)
    for name in found:
        if not base.parts("embeddings", name):
            raise UsageError(
                f"{base.path} has no embeddings of model {name!r}, to which its probe is fitted.",
                "Run it again without --drop-embeddings.",
            )
    plan, cells = prepare(opened, settings)
    known = plan.rows[cells.folds.fold[plan.rows] >= 0]
    if only is not None and only not in known:
        raise UsageError(
            f"{base.path} has no cell {only}.",
            "Give one of the column `cell` of its table `trials`.",
        )
    where = choose_device(device)
    asked = [_asked(base, cells, model, where) for model in found.values()]
    return _Opened(base, opened, settings, cells, asked)


def _asked(base: RunDirectory, cells: Cells, model: FoundModel, device: Any) -> Asked:
    """Load a model and fit its frozen probe, as the run did."""
    embedder = load_model(model, device)
    if embedder.answers is not None:
        raise UsageError(
            f"Model {model.name!r} has answers to the run's own crops only; here models are shown "
            "other crops.",
            "Leave it out: give --models without it.",
        )
    probe = _probe(base, cells, model.name)
    if probe is None:
        raise InputError(
            f"Model {model.name!r}: its probe cannot be fitted, for fewer than two classes can be "
            "tested or there are fewer than two folds.",
            "Give a run with more labelled proteins.",
        )
    return Asked(embedder, probe)


def _probe(base: RunDirectory, cells: Cells, model: str) -> Multiclass | None:
    """Fit the probe that the protocol `frozen` keeps, to one unaltered crop of each cell."""
    own = Condition.UNALTERED
    crops, first = gather_grid(base, cells, model, [own])[own]
    learned = TrainingCrops(crops.features[first], crops.cell[first], crops.classes[first])
    return fit_multiclass(learned, cells.folds, len(cells.names))


def _occluded(opened: _Opened, rows: NDArray[np.int64]) -> Iterator[dict[int, Occluded]]:
    """Take pieces out of some cells' crops, `CELLS_TOGETHER` at a time, in order of the store."""
    embed, seed = opened.settings.embed, opened.settings.plan.seed
    found: dict[int, Occluded] = {}
    for some, read in read_rows(opened.store, rows):
        arrays = CropArrays(
            read.images, read.masks, read.foregrounds, read.windows, embed.mask_shift
        )
        for place, cell in enumerate(some.tolist()):
            width = opened.store.size
            mask, every = (
                to_masks(words, width)[0] for words in arrays.outlines(np.array([place]))
            )
            image = np.asarray(arrays.images[place])
            found[cell] = occlude(
                image, mask, every, fill_seed(seed, cell), glow=embed.paste == WITH_GLOW
            )
            if len(found) == CELLS_TOGETHER:
                yield found
                found = {}
    if found:
        yield found
