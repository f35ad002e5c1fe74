"""The effects stage: from tallies and predictions to the run's summary tables.

Layer: reads `predictions`, `trials` and the probe stage's work files; writes every summary table
but `examples`. The numbers are computed in `compute.statistics`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from compute import schema
from compute.effects.beside import rows_beside
from compute.effects.donors import at_ends, donor_seen, pair_donors, with_donor_seen
from compute.effects.gather import Gathered, Gatherer
from compute.effects.predictions import Predictions, blocks, dose_edges
from compute.embedding.config import LOCKED, EmbedConfig, StepEnd, View
from compute.hashing import Stream, mix
from compute.probes.cells import Cells
from compute.probes.protein_moves import ReadMoves
from compute.probes.second import step_views_of
from compute.probes.stage import ONCE
from compute.probes.tables import read_donor_influence
from compute.schema import Aggregation, Condition, Dose, Flip, Probe, Protocol
from compute.statistics.aggregation import aggregate, with_counts
from compute.statistics.backgrounds import background_rows
from compute.statistics.bootstrap import BootstrapConfig, Resampling
from compute.statistics.calibration import calibration_rows, fit_temperature, reliability_rows
from compute.statistics.config import ALPHA
from compute.statistics.decomposition import decomposition_rows
from compute.statistics.donors import side_by_side
from compute.statistics.dose import dose_rows
from compute.statistics.effect_rows import adjust, effect_rows, pair_tallies
from compute.statistics.effects import Tallies
from compute.statistics.flips import flip_rows
from compute.statistics.joint_answers import Answered
from compute.statistics.model_differences import adjust_differences, model_difference_rows
from compute.statistics.protein_shifts import Nulls
from compute.statistics.resampling_units import Units
from compute.statistics.rescaling import rescaling_rows
from compute.statistics.training_seeds import training_seed_rows
from compute.statistics.truth import Truth
from compute.statistics.variation import mixed_rows
from compute.statistics.worst_case import worst_rows
from compute.storage.atomic_files import Progress, silent, write_stream
from compute.storage.run_directory import RunDirectory

COPIED = ("pairwise", "pair_tallies")
"""Summary tables that the probe stage has written in parts, which are joined here."""

PICTURES = ("examples", "mosaic")
"""Summary tables of crops to look at, which `compute.runs` makes."""

MADE = tuple(name for name in schema.SUMMARY_TABLES if name not in (*COPIED, *PICTURES))
"""Summary tables that are computed here."""

BY_PROTEIN = ("shifts", "distributions", "variation", "truth")
"""Those of them that have rows for every protein, and are written in parts first."""

FIT_CELLS = 50_000
"""Most cells that a temperature is fitted on, on average; its error is then below 1%."""


def summarise(
    run: RunDirectory,
    cells: Cells,
    table: pd.DataFrame,
    models: Sequence[str],
    conditions: Sequence[str],
    config: BootstrapConfig,
    progress: Progress = silent,
    *,
    truth: pd.DataFrame | None = None,
    embed: EmbedConfig = ONCE,
    seeds: Mapping[str, Sequence[str]] | None = None,
    own: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Write every summary table that is not there yet.

    Parameters
    ----------
    run
        The run; its probe stage is finished.
    cells
        Labels and folds of the store's cells.
    table
        The store's `cells`.
    models, conditions
        Names of the run's models and conditions.
    config
        Says how many bootstrap draws and sign flips are made, with which seed, and the margin.
    progress
        Called with the stage's name, how many units are done and how many there are; a unit is one
        protein under one model. By default nothing is called.
    truth
        The store's `truth`, on simulated cells; by default None.
    embed
        How trials were composed and read, and read again; by default once, and scaled by the crop.
    seeds
        Models that are one network trained from several seeds, by its name; none by default.
    own
        Classes that a model's own head can answer with, by model; by default none was asked.

    Raises
    ------
    InputError
        Predictions are not sorted by protein, or lack cells or trials.
    """
    for name in COPIED:
        _copy(run, name, models, conditions)
    if all(run.summary(name).is_file() for name in MADE):
        return
    stage = _Stage(
        run, cells, table, models, conditions, config, truth, embed, seeds or {}, own
    )  # fmt: skip
    stage.gather(progress)
    for name, tables in stage.tables(progress):
        expected = schema.SUMMARY_TABLES[name]
        checked = (schema.check_table(part, expected, name) for part in tables)
        write_stream(run.summary(name), checked, expected)


def _copy(run: RunDirectory, name: str, models: Sequence[str], conditions: Sequence[str]) -> None:
    """Write a summary table from its parts, one per model and condition, if it is not there."""
    if run.summary(name).is_file():
        return
    kind = "tallies" if name == "pair_tallies" else name
    files = (run.pairs(kind, m, c) for m, c in product(models, conditions))
    parts = (pq.read_table(file, partitioning=None) for file in files if file.is_file())
    write_stream(run.summary(name), parts, schema.SUMMARY_TABLES[name])


class _Stage:
    """Collects the rows of all tables, model by model; the arguments are those of `summarise`."""

    def __init__(
        self,
        run: RunDirectory,
        cells: Cells,
        table: pd.DataFrame,
        models: Sequence[str],
        conditions: Sequence[str],
        config: BootstrapConfig,
        truth: pd.DataFrame | None,
        embed: EmbedConfig,
        seeds: Mapping[str, Sequence[str]],
        own: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.seeds, self.own = seeds, own or {}
        self.run, self.cells, self.table, self.config = run, cells, table, config
        self.models, self.conditions = models, conditions
        self.composed = [c for c in schema.COMPOSED if c in conditions]
        self.names = list(cells.names)
        self.embed, self.ends = embed, embed.step_views(self.composed)
        views = {c: step_views_of(embed, self.composed, c) for c, *_ in self.ends}
        self.views = {c: some or [View(c)] for c, some in views.items()}
        code, proteins = pd.factorize(cells.protein, sort=True)
        self.proteins, self.protein = pa.array(proteins.tolist()), code.astype(np.int32)
        self.units = cells.units
        learned = np.bincount(cells.classes[cells.tested], minlength=len(cells.names))
        self.prior = learned / max(learned.sum(), 1)
        self.truth = None if truth is None else Truth.of(truth, len(cells.classes), self.names)
        self.rows: dict[str, list[dict[str, Any]]] = {name: [] for name in MADE}
        self.multiclass: dict[tuple[str, Protocol], Answered] = {}
        self.steps: dict[tuple[str, Protocol], Answered] = {}
        self.compared: dict[tuple[Protocol, Probe], dict[str, Answered]] = {}
        self._resampling = cache(self._draw)

    def gather(self, progress: Progress) -> None:
        """Go through every model's predictions and collect the rows that come from them."""
        size = len(self.proteins)
        doses = dose_edges(self.run, self.units.of >= 0, self.config.seed)
        for done, model in enumerate(self.models):

            def report(protein: int, done: int = done) -> None:
                progress("effects", done * size + protein + 1, len(self.models) * size)

            gatherer = Gatherer(
                self.cells.classes, self.protein, self.names, self.units, self.cells.donor_units,
                self.composed, self._temperatures(model), self.prior, self.views, doses,
                self.embed.normalisation == LOCKED, self.config.seed, self.truth,
                {c: self._nulls(model, c) for c in self.composed}, self._answerable(model),
            )  # fmt: skip
            donors = self.cells.donor_units
            found = gatherer.gather(
                blocks(self.run, model, self.composed, self.names, self.protein, donors), report
            )
            self._multiclass(model, found, doses)
            self._proteins(model, found)
        progress("effects", len(self.models) * size, len(self.models) * size)

    def tables(self, progress: Progress) -> Iterator[tuple[str, Iterator[pa.Table]]]:
        """Yield the name of every table and its parts."""
        accuracy, effects = self._effects(progress)
        frames = {
            "accuracy": accuracy, "effects": effects, "model_differences": self._differences(),
            "training_seeds": self._training_seeds(),
        }  # fmt: skip
        for name in MADE:
            if name in BY_PROTEIN:
                yield name, self._joined(name)
            else:
                frame = frames.get(name, pd.DataFrame(self.rows[name]))
                yield name, iter([_table(frame, schema.SUMMARY_TABLES[name])])

    def _nulls(self, model: str, condition: Condition) -> Nulls:
        """Return what gives the null of a protein's shift under `refit`."""
        found = ReadMoves(self.run.pairs("exchanges", model, condition))
        names = self.proteins.to_pylist()
        return lambda protein, cell: found.null(names[protein], cell)

    def _answerable(self, model: str) -> NDArray[np.bool_]:
        """Return which classes the model's own head can answer with, shape (K,)."""
        return np.isin(self.names, list(self.own.get(model, self.names)))

    def _temperatures(self, model: str) -> dict[Protocol, float]:
        """Fit a temperature for each protocol on the unaltered crops of tested cells.

        Empty where the model has no predictions for them.
        """
        number = self.composed.index(Condition.UNALTERED)
        path = self.run.part("predictions", number, model)
        if not path.is_file():
            return {}
        of = self.units.of
        known = max(int((of >= 0).sum()), 1)
        parts: dict[Protocol, list[tuple[Any, Any]]] = {}
        file = Predictions(path, self.names, self.protein)
        while (protein := file.block()) is not None:
            for protocol, answers in file.until(protein).items():
                cell = answers.cell
                drawn = (
                    mix(self.config.seed, Stream.CALIBRATION_CELLS, cell) % np.uint64(known)
                    < FIT_CELLS
                )
                asked = (of[cell] >= 0) & drawn
                if protocol is Protocol.OWN:
                    asked &= self._answerable(model)[self.cells.classes[cell]]
                some = answers.cells(asked)
                parts.setdefault(protocol, []).append(
                    (some.probabilities, self.cells.classes[some.cell[some.position]])
                )
        found = {}
        for protocol, pieces in parts.items():
            probabilities, own = (np.concatenate(piece) for piece in zip(*pieces, strict=True))
            found[protocol] = fit_temperature(probabilities, own)
        return found

    def _draws(self, classes: NDArray[np.int64]) -> Resampling:
        """Return the draws of resampling units with these classes, made once."""
        return self._resampling(classes.tobytes())

    def _draw(self, classes: bytes) -> Resampling:
        """Return the draws of resampling units with these classes (the bytes of an int64 array)."""
        code = np.frombuffer(classes, np.int64)
        # Cells of several labels are a stratum more than there are classes.
        return Resampling(
            code,
            max(len(self.names), int(code.max(initial=-1)) + 1),
            self.config.draws,
            self.config.seed,
        )

    def _multiclass(
        self,
        model: str,
        found: Gathered,
        doses: Mapping[tuple[Condition, Dose], NDArray[np.float64]],
    ) -> None:
        """Collect the rows that come from one model's sums, and its tallies for `_effects`."""
        asked: dict[Protocol, tuple[NDArray[np.bool_], Units, Resampling]] = {}
        for protocol in Protocol:
            mine = {c: sums for (p, c), sums in found.sums.items() if p is protocol}
            if not mine:
                continue
            # A head may lack a class, whose cells are then not asked about.
            answered = np.any([sums.n[:, 0] > 0 for sums in mine.values()], axis=0)
            units = self.units.take(answered)
            drawn = self._draws(units.classes)
            asked[protocol] = answered, units, drawn
            n = np.stack([sums.n[answered] for sums in mine.values()])
            tallies = Tallies(
                np.stack([sums.right[answered] for sums in mine.values()]), n, units.classes,
                n[..., 0].round().astype(np.int64), units.protein,
            )  # fmt: skip
            behind = {
                condition: None if sums.donors is None else sums.donors.influence()
                for condition, sums in mine.items()
            }
            accuracy = [None if each is None else each.columns([0]) for each in behind.values()]
            self.multiclass[model, protocol] = Answered(
                tallies, [str(c) for c in mine], side_by_side(accuracy, len(self.names))
            )
            for condition, sums in mine.items():
                key = {"model": model, "protocol": str(protocol), "condition": str(condition)}
                cells = sums.n[answered, 0]
                for at in sums.calibration:
                    measured = calibration_rows(at.take(answered), cells, units, drawn)
                    self._add("calibration", key, measured)
                    self._add("reliability", key, reliability_rows(at))
                if condition is not Condition.UNALTERED:
                    there = behind[condition]
                    flipped = None if there is None else there.columns(range(1, 1 + len(Flip)))
                    changed = flip_rows(
                        sums.flips[answered], cells, units, drawn, self.names, flipped,
                        sums.single,
                    )  # fmt: skip
                    self._add("flips", key, changed)
                if sums.grid is not None:
                    grid = background_rows(sums.grid[answered], units, drawn, self.names)
                    self._add("backgrounds", key, grid)
            self._steps(model, protocol, found, units, answered)
        for (protocol, condition), worst in found.worst.items():
            answered, units, drawn = asked[protocol]
            key = {"model": model, "protocol": str(protocol), "condition": str(condition)}
            self._add("worst_case", key, worst_rows(worst[answered], units, drawn, self.names))
        for (protocol, condition, dose), by_bin in found.doses.items():
            key = {
                "model": model, "protocol": str(protocol), "condition": str(condition),
                "measure": str(dose),
            }  # fmt: skip
            ends = doses[condition, dose]
            answered, units, drawn = asked[protocol]
            self._add("dose", key, dose_rows(by_bin[answered], ends, units, drawn, self.names))
        for condition, readings in found.readings.items():
            answered, units, drawn = asked[Protocol.FROZEN]
            parts = rescaling_rows(
                readings.right[answered], readings.n[answered, 0], units, drawn, self.names
            )
            self._add("rescaling", {"model": model, "condition": str(condition)}, parts)

    def _steps(
        self,
        model: str,
        protocol: Protocol,
        found: Gathered,
        units: Units,
        answered: NDArray[np.bool_],
    ) -> None:
        """Arrange the multi-class probe's answers at the ends of steps, if all were read."""
        views = {c: found.views.get((protocol, c)) for c in self.views}
        if not views or any(sums is None for sums in views.values()):
            return
        there = {c: sums for c, sums in views.items() if sums is not None}
        columns = [(there[end[0]], self._view(end)) for end in self.ends]
        tallies = Tallies(
            np.stack([sums.right[answered, view, None] for sums, view in columns]),
            np.stack([sums.n[answered] for sums, _ in columns]), units.classes,
            np.stack([sums.n[answered, 0] for sums, _ in columns]).round().astype(np.int64),
            units.protein,
        )  # fmt: skip
        influences = {c: s.donors.influence() if s.donors else None for c, s in there.items()}
        self.steps[model, protocol] = Answered(
            tallies, [], at_ends(influences, list(self.ends), self._view, len(self.names))
        )

    def _view(self, end: StepEnd) -> int:
        """Return the place of an end's view among those of its condition."""
        return self.views[end[0]].index(self.ends[end])

    def _pair_steps(self, model: str, protocol: Protocol) -> Answered | None:
        """Arrange the answers in pair tests at the ends of steps; None if not all were read."""
        files = [
            self.run.pairs("step_tallies" if len(self.views[view.condition]) > 1 else "tallies",
                           model, view.name)
            for view in self.ends.values()
        ]  # fmt: skip
        if not files or not all(file.is_file() for file in files):
            return None
        frames = [pq.read_table(file, partitioning=None).to_pandas() for file in files]
        rows = pd.concat(
            [
                frame[frame["protocol"] == str(protocol)].assign(condition=str(m))
                for m, frame in enumerate(frames)
            ],
            ignore_index=True,
        )
        places = [str(m) for m in range(len(files))]
        tallies, tested = pair_tallies(rows, places, self.names)
        if tallies is None or tested != places:
            return None
        influences = {}
        for condition in self.views:
            path = self.run.pairs("step_donors", model, condition)
            influences[condition] = (
                read_donor_influence(
                    pq.read_table(path, partitioning=None), protocol,
                    self.cells.donor_units.classes, self.names,
                )
                if path.is_file()
                else None
            )  # fmt: skip
        donors = at_ends(influences, list(self.ends), self._view, len(self.names))
        return Answered(tallies, [], donors)

    def _add(self, table: str, key: dict[str, str], rows: Iterable[dict[str, Any]]) -> None:
        """Append rows to a table, each with the columns of `key`."""
        self.rows[table] += [{**key, **row} for row in rows]

    def _effects(self, progress: Progress) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the tables `accuracy` and `effects`, of all probes and in both aggregations."""
        combinations = list(product(self.models, Protocol))
        answers = self.run.read("pair_tallies").to_pandas()
        rows: tuple[list[dict[str, Any]], ...] = ([], [])
        for done, (model, protocol) in enumerate(combinations):
            progress("intervals", done, len(combinations))
            mine = answers[(answers["model"] == model) & (answers["protocol"] == protocol)]
            tallies, tested = pair_tallies(mine, self.conditions, self.names)
            pair = None
            if tallies is not None:
                pair = Answered(
                    tallies, tested, pair_donors(self.run, self.cells, model, protocol, tested)
                )
            whole = self.multiclass.get((model, protocol))
            found: list[tuple[Probe, Any, Answered | None]] = [
                (
                    probe,
                    effect_rows(
                        given.tallies, given.tested, self.names, self._draws(given.tallies.classes),
                        self.config, given.donors,
                    ),
                    given,
                )
                for probe, given in ((Probe.PAIR, pair), (Probe.MULTICLASS, whole))
                if given is not None
            ]  # fmt: skip
            found += rows_beside(self.run, self.cells, model, protocol, self._draws, self.config)
            for probe, both, answered in found:
                if answered is not None:
                    self.compared.setdefault((protocol, probe), {})[model] = answered
                key = {
                    "model": model, "protocol": str(protocol), "probe": str(probe),
                    "aggregation": str(Aggregation.ALL), "unit": self.units.kind,
                }  # fmt: skip
                for kept, some in zip(rows, both, strict=True):
                    kept += [{**key, **row} for row in some]
            self._decomposition(model, protocol)
        progress("intervals", len(combinations), len(combinations))
        accuracy, effects = (pd.DataFrame(kept) for kept in rows)
        seen = donor_seen(self.run, self.cells)
        accuracy, effects = (with_donor_seen(frame, seen) for frame in (accuracy, effects))
        if len(effects):
            effects = adjust(effects, self.config.seed)
        pairwise = self.run.read("pairwise").to_pandas()
        if len(pairwise) == 0:
            return accuracy, effects
        more = [with_counts(part, accuracy) for part in aggregate(pairwise, Aggregation.PUBLISHED)]
        return (
            pd.concat([accuracy, more[0]], ignore_index=True),
            pd.concat([effects, more[1]], ignore_index=True) if len(more[1]) else effects,
        )

    def _differences(self) -> pd.DataFrame:
        """Return the table `model_differences`; ask after `_effects`."""
        rows: list[dict[str, Any]] = []
        for (protocol, probe), answers in self.compared.items():
            found = model_difference_rows(answers, self.names, self._draws, self.config)
            key = {"protocol": str(protocol), "probe": str(probe), "unit": self.units.kind}
            rows += [{**row, **key} for row in found]
        frame = pd.DataFrame(rows)
        return adjust_differences(frame) if len(frame) else frame

    def _training_seeds(self) -> pd.DataFrame:
        """Return the table `training_seeds`; ask after `_effects`."""
        rows: list[dict[str, Any]] = []
        for (protocol, probe), answers in self.compared.items():
            key = {"protocol": str(protocol), "probe": str(probe), "unit": self.units.kind}
            for network, models in self.seeds.items():
                mine = {model: answers[model] for model in models if model in answers}
                if len(mine) == len(models):
                    found = training_seed_rows(mine, self.names, self._draws)
                    rows += [{"network": network, **row, **key} for row in found]
        return pd.DataFrame(rows)

    def _decomposition(self, model: str, protocol: Protocol) -> None:
        """Collect what one model's drop is made of, in both probes."""
        for probe, given in (
            (Probe.PAIR, self._pair_steps(model, protocol)),
            (Probe.MULTICLASS, self.steps.get((model, protocol))),
        ):
            if given is None:
                continue
            drawn = self._draws(given.tallies.classes)
            rows = decomposition_rows(
                given.tallies, list(self.ends), self.names, drawn, given.donors
            )
            key = {
                "model": model, "protocol": str(protocol), "probe": str(probe),
                "unit": self.units.kind,
            }  # fmt: skip
            self._add("decomposition", key, rows)

    def _proteins(self, model: str, found: Gathered) -> None:
        """Write one model's parts of the tables `BY_PROTEIN`, to be joined when all are done."""
        keys = [(p, c) for p, c in product(Protocol, self.composed) if (p, c) in found.shifts]
        named = {
            (p, c): {"model": model, "condition": str(c), "protocol": str(p)}
            for p, c in product(Protocol, self.composed)
        }
        moved = [found.shifts[key].tables(self.table, **named[key]) for key in keys]
        variation = schema.VARIATION.empty_table()
        if found.variation is not None:
            variation = found.variation.table(self.table, model)
        varies = variation.to_pandas()
        varying = set(varies.loc[varies["q_value"] <= ALPHA, "protein"])
        for key, (shifts, _) in zip(keys, moved, strict=True):
            self._add("mixed_shifts", named[key], mixed_rows(shifts.to_pandas(), varying))
        parts = {
            "variation": iter([variation]),
            "shifts": (shifts for shifts, _ in moved),
            "truth": (truth for _, truth in moved),
            "distributions": (
                found.distributions[key].table(self.proteins, self.names, **named[key])
                for key in named
                if key in found.distributions
            ),
        }
        for name, tables in parts.items():
            write_stream(self.run.moved(name, model), tables, schema.SUMMARY_TABLES[name])

    def _joined(self, name: str) -> Iterator[pa.Table]:
        """Yield a table from its parts, one per model."""
        for model in self.models:
            with pq.ParquetFile(self.run.moved(name, model), pre_buffer=False) as file:
                for batch in file.iter_batches():
                    yield pa.Table.from_batches([batch])


def _table(frame: pd.DataFrame, expected: pa.Schema) -> pa.Table:
    """Turn a data frame into a table of the expected schema; columns that it lacks are missing."""
    if len(frame) == 0:
        return expected.empty_table()
    columns = frame.reindex(columns=expected.names)
    return pa.Table.from_pandas(columns, schema=expected, preserve_index=False)
