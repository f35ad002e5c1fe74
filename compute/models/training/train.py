"""Train a network on any crop store by its own objective.

Layer: reads a store, writes a model's card, weights and history, and checkpoints on the way. PIFiA
names the protein, Paired Cell Inpainting paints the protein of another cell of the same field,
DeepLoc names the localization (`compute.models.training.objectives`). `compute.models.embedder`
loads what comes out.
"""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compute.devices import choose_device
from compute.errors import BystanderError, UsageError, unknown_value
from compute.models.card import ModelCard, make_card
from compute.models.card_files import save_card
from compute.models.networks import NetworkSpec, network_spec
from compute.models.networks.blocks import LayeredNetwork, channels_last
from compute.models.precision import STORED
from compute.models.readable import require_readable, require_trainable
from compute.models.training.checkpoint import TrainingState, restore_state, save_state
from compute.models.training.consistency import Consistency, layers_to_compare
from compute.models.training.crops import Pixels
from compute.models.training.load_pixels import load_pixels
from compute.models.training.objectives import OBJECTIVES, Objective
from compute.models.training.options import TrainingOptions as TrainingOptions
from compute.models.training.select_cells import Rows, Selection, select_cells
from compute.models.weights import DTYPES, weights_of, write_weights
from compute.storage.atomic_files import Progress, silent, write_json
from compute.storage.locks import LOCK_FILE, lock
from compute.store.reader import CropStore

MEASURED = ("loss", "score", "consistency")
"""What is measured of an epoch, on either side of the split: the loss that is minimised, the
objective's score, and the term of consistency where it is part of the loss."""

VALIDATION_BATCH = 256
"""Crops at a time in validation, where no gradients are kept."""


@dataclass(frozen=True)
class _Job:
    """Everything of one training that stays the same while it runs.

    Parameters
    ----------
    card
        The card to be, without the weights' hash and the notes on the result.
    spec, options, objective
        The network, how it is trained, and to do what.
    selection, pixels
        The cells in use, and the crops of all.
    consistency
        How a cell's embeddings on two backgrounds are compared.
    configuration
        What a resumed training must have in common with this one.
    progress, say
        As in `train`.
    """

    card: ModelCard
    spec: NetworkSpec
    options: TrainingOptions
    objective: Objective
    selection: Selection
    pixels: Pixels
    consistency: Consistency
    configuration: dict[str, Any]
    progress: Progress
    say: Callable[[str], None]

    @property
    def counts(self) -> str:
        """How many cells are used and how many are left out, as a sentence."""
        left_out = ", ".join(f"{n} {why}" for why, n in self.selection.left_out.items())
        return (
            f"{len(self.selection.training)} cells to train on, {len(self.selection.validation)} "
            f"to validate on; left out: {left_out or 'none'}."
        )


def train(
    model: str,
    store_path: Path | str,
    out: Path | str,
    *,
    width: float = TrainingOptions.width,
    epochs: int = TrainingOptions.epochs,
    patience: int = TrainingOptions.patience,
    batch_size: int = TrainingOptions.batch_size,
    learning_rate: float = TrainingOptions.learning_rate,
    seed: int = TrainingOptions.seed,
    precision: str = TrainingOptions.precision,
    background: str = TrainingOptions.background,
    swap_share: float = TrainingOptions.swap_share,
    consistency: float = TrainingOptions.consistency,
    consistency_layers: Collection[str] = TrainingOptions.consistency_layers,
    paste: str = TrainingOptions.paste,
    device: torch.device | str = "auto",
    split: str | None = None,
    fields: Collection[str] | None = None,
    channels: Sequence[str] | None = None,
    dtype: str = STORED,
    resume: bool = True,
    name: str | None = None,
    license: str = "",
    created_by: str | None = None,
    progress: Progress = silent,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Train a network and write its weights, card and history.

    Every crop of the store is held in memory, in the store's dtype: 16 KiB per cell of two
    channels of 64×64 uint16, so 1.6 GB for 100,000 cells; 56 KiB where they stand on other
    backgrounds, which are made once, before the first epoch. Donors are of the same side of
    the split as the cell. On a GPU all of that lies in its memory where it fits in half of what is
    free.

    A checkpoint is written after every epoch. The same call goes on from there after an
    interruption and, on the same kind of machine with the same number of threads, ends with the
    weights it would have had without. Each epoch's last cells are passed over where a single one
    would be left for a step. Learning uses Adam; running statistics of the batch normalisations
    follow at torch's default rate (see `compute.models.networks.blocks.MOMENTUM`).

    Parameters
    ----------
    model
        Key of `compute.models.networks.NETWORKS`.
    store_path
        Folder of a crop store.
    out
        Folder for `<name>.safetensors`, `<name>.toml` and `<name>.history.json`.
    width, epochs, patience, batch_size, learning_rate, seed, precision
        See `TrainingOptions`.
    background, swap_share, consistency, consistency_layers, paste
        See `TrainingOptions`; crops stay as imaged by default.
    device
        Where to compute; ``"auto"`` takes a GPU where there is one.
    split
        Train on cells of this split only.
    fields
        Train on cells of these fields only; not with `split`.
    channels
        The store's channels that it is to read, in the network's order; by default those that it
        was published with.
    dtype
        How weights are stored: ``"float32"``, the default, or ``"float16"``.
    resume
        Whether to go on from a checkpoint, as by default; otherwise it is thrown away.
    name
        Name of the model; that of the network by default.
    license, created_by
        For the card. No licence by default; the maker is the matching `bystander train` command.
    progress
        Called after every step with what is trained, steps done and the most there can be; silent
        by default.
    say
        Called with a line of text: what was left out, then each epoch's figures; silent by
        default.

    Returns
    -------
    Path
        Path of the card.

    Raises
    ------
    UsageError
        An unknown network, split, field, device, dtype, background or layer, options out of range
        or at odds, a channel that the store lacks, or too many or too few of them.
    InputError
        There are too few cells or classes, the crops are too small, or the checkpoint is damaged.
    ChangedError
        The checkpoint belongs to another store or to other options.
    BystanderError
        The loss is no longer finite.
    BusyError
        Another process trains this model in this folder.

    Examples
    --------
    >>> from compute import train
    >>> card = train("deeploc", "store", "weights", epochs=1, width=0.1, device="cpu")
    >>> card.name
    'deeploc.toml'
    """
    options = TrainingOptions(
        width, epochs, patience, batch_size, learning_rate, seed, precision,
        background, swap_share, consistency, tuple(consistency_layers), paste,
    )  # fmt: skip
    spec = network_spec(model)
    layers = layers_to_compare(spec, options.consistency_layers) if options.consistency else ()
    if dtype not in DTYPES:
        raise unknown_value("dtype", dtype, DTYPES)
    if split is not None and fields is not None:
        raise UsageError("Both a split and fields are given.", "Give one of them.")
    where = choose_device(device) if isinstance(device, str) else device
    store = CropStore(store_path)
    wanted = tuple(spec.channels if channels is None else channels)
    require_trainable(spec, wanted, store)
    if split is not None:
        fields = store.fields_of(split)
    objective = OBJECTIVES[spec.objective]
    selection = select_cells(store.cells, store.localizations, objective, seed, fields)
    configuration = {
        "network": model,
        "channels": list(wanted),
        "store": store.fingerprint,
        "fields": None if fields is None else sorted(fields),
        "classes": list(selection.classes),
        **{k: v for k, v in options.chosen().items() if k not in ("epochs", "patience")},
        **({"consistency_layers": list(layers)} if layers else {}),
    }
    # Made before the work, so that a name or licence that the card refuses is found out at once.
    card = _draft_card(
        model, name or model, options, wanted, store, selection, Path(out).name, license, created_by
    )
    [reading] = require_readable([card], store)
    if reading.remarkable:
        say(f"{reading}.")
    pixels = load_pixels(store, spec, wanted, selection, options, where, progress)
    comparison = Consistency(options.consistency, layers)
    job = _Job(
        card, spec, options, objective, selection, pixels, comparison, configuration, progress, say
    )
    say(f"{spec.title}: {job.counts}")
    for note in selection.notes:
        say(note)

    out = Path(out)
    folder = out / f".{card.name}.training"
    checkpoint = folder / "checkpoint.safetensors"
    with lock(folder, "training in"):
        if not resume:
            checkpoint.unlink(missing_ok=True)
        state = _begin(job)
        if checkpoint.is_file():
            restore_state(checkpoint, state, configuration)
            say(f"Going on after epoch {len(state.history)}.")
        for _ in _epochs(job, state):
            save_state(checkpoint, state, configuration)
        path = _finish(job, state, out, dtype)
        checkpoint.unlink(missing_ok=True)
    (folder / LOCK_FILE).unlink(missing_ok=True)
    folder.rmdir()
    return path


def _begin(job: _Job) -> TrainingState:
    """Make a network with weights that the seed decides, and its optimiser."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.options.seed)
        network = job.spec.build(job.options.width, len(job.selection.classes))
    network = channels_last(network.to(job.pixels.device))
    optimiser = torch.optim.Adam(network.parameters(), lr=job.options.learning_rate)
    return TrainingState(network, optimiser, {}, [])


def _epochs(job: _Job, state: TrainingState) -> Iterator[None]:
    """Train epoch by epoch until that no longer helps; yields after each."""
    for epoch in range(len(state.history), job.options.epochs):
        if state.epochs_since_best >= job.options.patience:
            return
        began = time.monotonic()
        stage = f"{job.spec.title}, epoch {epoch + 1} of {job.options.epochs}"
        # Seeded by epoch, so that resuming repeats what would have happened.
        rng = np.random.default_rng([job.options.seed, epoch])
        trained = _train_epoch(job, state, rng, epoch)
        validated = _validate(job, state.network)
        loss, validation_loss = trained[0], validated[0]
        if not np.isfinite([loss, validation_loss]).all():
            raise BystanderError(
                f"{stage}: the loss is no longer finite (training {loss}, validation "
                f"{validation_loss}).",
                "Start afresh with a lower learning rate.",
            )
        if validation_loss < state.best_loss:
            state.best = {k: t.detach().clone() for k, t in weights_of(state.network).items()}
        seconds = time.monotonic() - began
        state.history.append(
            {
                "epoch": epoch + 1,
                **_named("training", trained),
                **_named("validation", validated),
                "seconds": round(seconds, 2),
            }
        )
        job.say(
            f"{stage}: training loss {loss:.4f}, validation loss {validation_loss:.4f}, "
            f"{job.objective.score_name} {validated[1]:.3f}, "
            + (f"consistency term {validated[2]:.3f}, " if len(validated) > 2 else "")
            + f"{seconds:.0f} s"
            + (", best so far" if state.epochs_since_best == 0 else "")
        )
        yield


def _named(side: str, values: tuple[float, ...]) -> dict[str, float]:
    """Name what was `MEASURED` on a side of the split; the term of consistency may not be there."""
    names = MEASURED[: len(values)]
    return {f"{side}_{name}": value for name, value in zip(names, values, strict=True)}


def _train_epoch(
    job: _Job, state: TrainingState, rng: np.random.Generator, epoch: int
) -> tuple[float, ...]:
    """Go through the training cells once; return means of what is `MEASURED`."""
    state.network.train()
    order = rng.permutation(job.selection.training)
    batches = [rows for rows in _batches(order, job.options.batch_size) if len(rows) > 1]
    found = []
    for number, rows in enumerate(batches, start=1):
        state.optimiser.zero_grad(set_to_none=True)
        losses = _losses(job, state.network, rows, rng)
        losses[0].backward()
        state.optimiser.step()
        found.append(losses.detach())
        done = epoch * len(batches) + number
        job.progress(f"training {job.spec.title}", done, job.options.epochs * len(batches))
    return _means(found, batches)


@torch.inference_mode()
def _validate(job: _Job, network: LayeredNetwork) -> tuple[float, ...]:
    """Return means of what is `MEASURED` on the validation cells, without augmentation."""
    network.eval()
    batches = list(_batches(job.selection.validation, VALIDATION_BATCH))
    return _means([_losses(job, network, rows, None) for rows in batches], batches)


def _losses(
    job: _Job, network: LayeredNetwork, rows: Rows, rng: np.random.Generator | None
) -> Tensor:
    """Compute what is `MEASURED` in the chosen precision, as one tensor."""
    dtype = getattr(torch, job.options.precision)
    with torch.autocast(job.pixels.device.type, dtype, enabled=dtype != torch.float32):
        found = job.objective.loss(network, job.pixels, job.selection, rows, rng, job.consistency)
    if found.consistency is None:
        return torch.stack((found.loss, found.score))
    loss = found.loss + job.consistency.weight * found.consistency
    return torch.stack((loss, found.score, found.consistency.detach()))


def _means(found: list[Tensor], batches: list[Rows]) -> tuple[float, ...]:
    """Average over cells what was found batch by batch.

    Numbers are fetched from the device once an epoch: to wait for each would leave a GPU idle.
    """
    sums = np.zeros(len(found[0]))
    for values, rows in zip(torch.stack(found).tolist(), batches, strict=True):
        sums += np.array(values) * len(rows)
    return tuple((sums / sum(map(len, batches))).tolist())


def _batches(rows: Rows, size: int) -> Iterator[Rows]:
    """Cut rows into batches of at most `size`."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _draft_card(
    model: str,
    name: str,
    options: TrainingOptions,
    channels: tuple[str, ...],
    store: CropStore,
    selection: Selection,
    out: str,
    license: str,
    created_by: str | None,
) -> ModelCard:
    """Make the card, without the weights' hash and the notes on the result."""
    spec = network_spec(model)
    cells = store.cells.iloc[selection.training]
    command = " ".join(
        f"--{k.replace('_', '-')} {','.join(v) if isinstance(v, list) else v}"
        for k, v in options.chosen().items()
        if v != []
    )
    if channels != spec.channels:
        command += f" --channels {','.join(channels)}"
    return make_card(
        model,
        name=name,
        weights=f"{name}.safetensors",
        sha256="0" * 64,
        width=options.width,
        channels=channels,
        size=store.size,
        windows=spec.default_windows if store.size > spec.input_size else "centre",
        classes=selection.classes,
        trained_on=(
            f"{len(cells)} {'simulated ' if store.simulated else ''}cells of "
            f"{cells['protein'].nunique()} proteins in {cells['field'].nunique()} fields of "
            f"{store.path.name} (store {store.fingerprint})"
            + (f", {options.way.words}" if options.way.changes else "")
        ),
        simulated=store.simulated,
        license=license,
        created_by=created_by or f"bystander train {model} {store.path.name} --out {out} {command}",
    )


def _finish(job: _Job, state: TrainingState, out: Path, dtype: str) -> Path:
    """Write the history, the weights, then the card that names them; return the card's path."""
    best = min(state.history, key=lambda row: row["validation_loss"])
    write_json(
        out / f"{job.card.name}.history.json",
        {
            "configuration": job.configuration,
            "options": job.options.chosen(),
            "training_cells": len(job.selection.training),
            "validation_cells": len(job.selection.validation),
            "left_out": job.selection.left_out,
            "notes": job.selection.notes,
            "score": job.objective.score_name,
            "epochs": state.history,
        },
    )
    result = (
        f"Epoch {best['epoch']} of {len(state.history)}: validation loss "
        f"{best['validation_loss']:.4f}, {job.objective.score_name} "
        f"{best['validation_score']:.3f}."
    )
    card = replace(
        job.card,
        sha256=write_weights(out / job.card.weights, state.best, dtype),
        notes=" ".join(
            (f"Cells: {job.counts}", *_on_backgrounds(job), result, *job.selection.notes)
        ),
    )
    path = out / f"{card.name}.toml"
    save_card(card, path)
    return path


def _on_backgrounds(job: _Job) -> tuple[str, ...]:
    """Say in sentences, for the card, what cells stood on in training; nothing if as imaged."""
    options, way = job.options, job.options.way
    if not way.changes:
        return ()
    share = f" (share {options.swap_share:g})" if way.mixed else ""
    where = ", donors from its own side of the split" if way.donors else ""
    said = f"Backgrounds: {options.background}{share}, paste {options.paste}{where}."
    if not options.consistency:
        return (said,)
    layers = ", ".join(job.consistency.layers)
    return said, f"Consistency: weight {options.consistency:g} at {layers}."
