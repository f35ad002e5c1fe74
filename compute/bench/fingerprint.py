"""Whether composites can be told from unaltered crops: by a small network, embeddings, a ring.

Layer: reads a store, composes crops, trains classifiers; yields rows. A model that can tell them
apart need not look at neighbours to lose accuracy on composites. Classifiers are fitted on crops of
some proteins and asked about those of others, and donors come from the proteins of their own side.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn import functional

from compute.backgrounds.compose import Composed, compose
from compute.backgrounds.config import HARD_EDGE, PASTE, PlanConfig
from compute.backgrounds.harmonise import measure
from compute.backgrounds.plan import Plan
from compute.backgrounds.scene import Scene
from compute.bench.config import FingerprintConfig
from compute.bench.table import Row
from compute.embedding.config import EmbedConfig
from compute.embedding.tables import embed_crops
from compute.errors import UsageError, unknown_value
from compute.images.distance import steps_from
from compute.models.card import select_channels
from compute.models.card_files import FoundModel
from compute.models.embedder import load_model
from compute.schema import Condition
from compute.store.reader import CropArrays, CropStore

CONTROL = "unaltered, other cells"
"""Name of the control, in which both sides are unaltered crops: nothing can be told."""

LIMITS = {"network": 0.65, "embeddings": 0.60}
"""Largest area under the curve for `sham`, by kind of classifier (DESIGN section 9)."""

RING = 6
"""Pixels around a cell whose mean brightness is a classifier of its own."""

DIM, BRIGHT = 0.02, 0.995
"""Quantiles of a crop's channel between which the network sees it."""

CURVE = 8.0
"""The network sees asinh(`CURVE` · x): dim light and its noise take up half of its range."""

WIDTHS, PAIRS, RATE = (16, 24, 32), 32, 4e-3
"""Channels of the network's layers, pairs of crops in a training step, highest learning rate."""


@dataclass(frozen=True)
class Sides:
    """n pairs of crops that are to be told apart; every row of both is of the same protein.

    Parameters
    ----------
    first, second
        Unaltered crops and composites (or other unaltered crops), shape (n, C, H, W), float32.
    masks
        Masks of the cells in each, shape (2, n, H, W).
    protein
        Number of each pair's protein, shape (n,).
    fold
        Fold in which it is held out, shape (n,).
    """

    first: NDArray[np.float32]
    second: NDArray[np.float32]
    masks: NDArray[np.bool_]
    protein: NDArray[np.int64]
    fold: NDArray[np.int64]


def fingerprint_rows(
    path: Path,
    found: Sequence[FoundModel],
    config: FingerprintConfig,
    paste: str,
    device: torch.device,
) -> Iterator[Row]:
    """Tell composites from unaltered crops, under each condition, pasted in two ways.

    Parameters
    ----------
    path
        A crop store.
    found
        The models whose embeddings are tried, bound to the store.
    config
        What is tried, and how hard.
    paste
        One of `compute.backgrounds.config.PASTE`; ``"hard"`` is measured beside it.
    device
        Where to compute.

    Yields
    ------
    Row
        The area under the curve of each classifier: 0.5 where composites look like unaltered
        crops, 1 where they are always told. Intervals hold 95% of bootstrap draws of proteins, or
        of pairs where a fold has fewer than 5 proteins.

    Raises
    ------
    UsageError
        `paste` is not allowed, or the store has fewer proteins than folds.
    """
    if paste not in PASTE:
        raise unknown_value("paste", paste, PASTE)
    store = CropStore(path)
    arrays = store.arrays()
    scales = measure(EmbedConfig.harmonise, store.cells, store.windows, arrays, config.seed)
    protein, fold, chosen = _dealt(store, config)
    models = [load_model(model, device) for model in found]
    channels = [select_channels(model.card, store.channels) for model in models]

    def tried(
        name: str, kept: str, sides: Sides, crops: Sequence[Composed] | None
    ) -> Iterator[Row]:
        note = f"{len(sides.protein)} pairs of {len(set(sides.protein))} proteins"
        row = partial(_row, config, name, kept, sides, note)
        told = _network_scores(sides, config, device)
        yield row("a small network", told, LIMITS["network"])
        yield row("brightness of the ring", _ring_scores(sides), None)
        for model, picked in zip(models, channels, strict=True) if crops else ():
            vectors = [embed_crops(model, each, picked, 0, "crop") for each in crops or ()]
            scores = _embedding_scores(vectors[0], vectors[1], sides.fold)
            yield row(f"embeddings of {model.name}", scores, LIMITS["embeddings"])

    yield from tried(CONTROL, "", _control(arrays, protein, fold, chosen, config.seed), None)
    for kept in dict.fromkeys((paste, HARD_EDGE)):
        for name in config.conditions:
            trials = _trials(store, fold, chosen, name, config)
            if trials.empty:
                yield Row(f"{name}, {kept}", "no trials", note="no donor within a fold")
                continue
            seen = any(model.needs_scene for model in models)
            made = compose(trials, arrays, scales, paste=kept, with_scene=seen)
            cells = trials["cell"].to_numpy()
            masks = arrays.unpack(arrays.masks[cells])
            others = arrays.unpack(arrays.foregrounds[cells]) & ~masks
            own_scene = Scene(torch.from_numpy(masks), torch.from_numpy(others))
            own = made.unaltered[made.reference]
            sides = Sides(own, made.images, np.stack([masks, masks]), protein[cells], fold[cells])
            crops = [_whole(own, own_scene), _whole(made.images, made.scene)]
            yield from tried(name, kept, sides, crops)


def _whole(images: NDArray[np.float32], scene: Scene | None) -> Composed:
    """Wrap crops that are to be embedded as they are."""
    count = len(images)
    unknown = np.full(count, np.nan, np.float32)
    flags, rows = np.zeros(count, np.int32), np.arange(count)
    return Composed(images, flags, unknown, unknown, images, rows, scene)


def _dealt(
    store: CropStore, config: FingerprintConfig
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Give proteins numbers, deal them to folds class by class, and choose cells evenly.

    Returns
    -------
    protein, fold, chosen
        Of every cell of the store, shape (N,).
    """
    cells = store.cells
    codes, names = pd.factorize(cells["protein"], sort=True)
    protein = codes.astype(np.int64)
    if len(names) < config.folds:
        raise UsageError(
            f"The store has {len(names)} proteins; {config.folds} folds need as many.",
            "Give a store with more proteins.",
        )
    rng = np.random.default_rng(config.seed)
    label = cells.assign(protein=protein).groupby("protein")["localization"].first()
    shuffled = rng.permutation(len(names))
    by_class = sorted(shuffled.tolist(), key=lambda number: str(label.get(number)))
    of_protein = np.empty(len(names), np.int64)
    of_protein[by_class] = np.arange(len(names)) % config.folds
    place = np.full(len(cells), np.iinfo(np.int64).max)
    usable = np.flatnonzero(store.usable)
    order = usable[np.lexsort((rng.random(len(usable)), protein[usable]))]
    first = np.searchsorted(protein[order], protein[order], "left")
    place[order] = np.arange(len(order)) - first
    chosen = np.zeros(len(cells), bool)
    chosen[np.lexsort((protein, place))[: min(config.cells, len(usable))]] = True
    return protein, of_protein[protein], chosen


def _trials(
    store: CropStore,
    fold: NDArray[np.int64],
    chosen: NDArray[np.bool_],
    condition: str,
    config: FingerprintConfig,
) -> pd.DataFrame:
    """Plan one trial of every chosen cell, with donors from its own fold."""
    # Donors may come from anywhere among the cells that a plan is given, which are of one fold.
    planned = PlanConfig(conditions=(condition,), seed=config.seed, grid_cells=2, donors="any")
    found = []
    for number in range(config.folds):
        usable = chosen & (fold == number)
        if usable.any():
            plan = Plan(store.cells, usable, store.windows, store.localizations, planned)
            found.append(plan.trials(0, len(plan.rows)))
    trials = pd.concat(found, ignore_index=True)
    wanted = (trials["condition"] == condition) & (trials["repeat"] == 0)
    return trials[wanted].reset_index(drop=True)


def _control(
    arrays: CropArrays,
    protein: NDArray[np.int64],
    fold: NDArray[np.int64],
    chosen: NDArray[np.bool_],
    seed: int,
) -> Sides:
    """Pair unaltered crops of different cells of each protein."""
    cells = np.random.default_rng(seed).permutation(np.flatnonzero(chosen))
    cells = cells[np.argsort(protein[cells], kind="stable")]
    starts = np.flatnonzero(np.diff(protein[cells], prepend=-1))
    place = np.arange(len(cells)) - np.repeat(starts, np.diff([*starts, len(cells)]))
    one = np.flatnonzero((place[:-1] % 2 == 0) & (protein[cells[:-1]] == protein[cells[1:]]))
    first, second = cells[one], cells[one + 1]
    masks = np.stack([arrays.unpack(arrays.masks[each]) for each in (first, second)])
    images = [np.asarray(arrays.images[each]).astype(np.float32) for each in (first, second)]
    return Sides(images[0], images[1], masks, protein[first], fold[first])


def _row(
    config: FingerprintConfig,
    name: str,
    paste: str,
    sides: Sides,
    note: str,
    classifier: str,
    scores: tuple[NDArray[np.float64], NDArray[np.float64]],
    limit: float | None,
) -> Row:
    """Turn scores into a row."""
    area, low, high = area_under_curve(*scores, sides, config.draws, config.seed)
    judged = name == Condition.SHAM and paste != HARD_EDGE and limit is not None
    return Row(
        ", ".join(part for part in (name, paste, classifier) if part),
        f"{area:.3f} ({low:.3f} to {high:.3f})",
        f"≤ {limit}" if judged else "",
        bool(area <= limit) if judged and limit is not None else None,
        note,
    )


def area_under_curve(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    sides: Sides,
    draws: int,
    seed: int,
) -> tuple[float, float, float]:
    """Measure how well scores tell two sides apart, with a 95% interval.

    Parameters
    ----------
    first, second
        Scores of each pair's two crops, shape (n,); those of one fold are compared with each other
        only, since each fold has a classifier of its own.
    sides
        The pairs, whose proteins are drawn anew (pairs, where a fold has fewer than 5 proteins).
    draws
        Number of draws.
    seed
        Decides them.

    Returns
    -------
    area, low, high
        Share of (first, second) in which the second has the higher score, ties counting half; and
        percentiles 2.5 and 97.5 of the draws.
    """
    rng = np.random.default_rng(seed)
    won = tried = np.zeros(draws + 1)
    for number in np.unique(sides.fold):
        here = sides.fold == number
        units, unit = np.unique(sides.protein[here], return_inverse=True)
        if len(units) < 5:
            units = unit = np.arange(int(here.sum()))
        difference = second[here][None, :] - first[here][:, None]
        wins = (difference > 0) + 0.5 * (difference == 0)
        drawn = rng.multinomial(len(units), np.full(len(units), 1 / len(units)), draws)
        weights = np.vstack([np.ones(len(units)), drawn])[:, unit]
        won = won + np.einsum("di,ij,dj->d", weights, wins, weights, optimize=True)
        tried = tried + weights.sum(1) ** 2
    area = won / tried
    low, high = np.percentile(area[1:], (2.5, 97.5))
    return float(area[0]), float(low), float(high)


def _ring_scores(sides: Sides) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Score crops by the brightness around the cell, in the channel that tells most.

    The mean over `RING` pixels is taken as a share of the crop's own range, and its sign so that
    composites have the higher one.
    """
    means = []
    for images, masks in zip((sides.first, sides.second), sides.masks, strict=True):
        steps = steps_from(masks)
        ring = ((steps > 0) & (steps <= RING))[:, None]
        low, high = np.quantile(images, (DIM, BRIGHT), axis=(2, 3))
        mean = (images * ring).sum((2, 3)) / np.maximum(ring.sum((2, 3)), 1)
        means.append((mean - low) / np.maximum(high - low, 1e-12))
    apart = np.array([_rank_area(*(side[:, c] for side in means)) for c in range(len(means[0][0]))])
    channel = int(np.argmax(np.abs(apart - 0.5)))
    sign = 1.0 if apart[channel] >= 0.5 else -1.0
    return sign * means[0][:, channel], sign * means[1][:, channel]


def _rank_area(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Return the share of (first, second) in which the second is higher."""
    return float(np.mean(np.searchsorted(np.sort(first), second) / len(first)))


def _embedding_scores(
    first: NDArray[np.float32], second: NDArray[np.float32], fold: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Score embeddings by a logistic regression that was fitted on the other folds."""
    scores = np.empty((2, len(first)))
    for number in np.unique(fold):
        held, rest = fold == number, fold != number
        fitted = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
        fitted.fit(np.concatenate([first[rest], second[rest]]), np.repeat([0, 1], rest.sum()))
        for side, vectors in enumerate((first, second)):
            scores[side, held] = fitted.decision_function(vectors[held])
    return scores[0], scores[1]


class SmallNetwork(nn.Module):
    """Three convolutions, mean and maximum over the crop, one answer.

    Parameters
    ----------
    channels
        Channels of a crop.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        widths = (channels, *WIDTHS)
        for number, (before, after) in enumerate(pairwise(widths)):
            size, stride = (5, 2) if number == 0 else (3, 1)
            layers += [
                nn.Conv2d(before, after, size, stride, size // 2, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
            if number == 1:
                layers.append(nn.MaxPool2d(2))
        self.body = nn.Sequential(*layers)
        self.answer = nn.Linear(2 * widths[-1], 1)

    def forward(self, images: Tensor) -> Tensor:
        """Score crops, N×C×H×W; returns (N,)."""
        seen = self.body(images)
        pooled = torch.cat([seen.mean((2, 3)), seen.amax((2, 3))], 1)
        scores: Tensor = self.answer(pooled)[:, 0]
        return scores


def _network_scores(
    sides: Sides, config: FingerprintConfig, device: torch.device
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Score crops by a network that was trained on the other folds."""
    first, second = (_seen(images).to(device) for images in (sides.first, sides.second))
    scores = np.empty((2, len(first)))
    for number in np.unique(sides.fold):
        held = torch.from_numpy(sides.fold == number).to(device)
        network = _trained(first[~held], second[~held], config)
        with torch.inference_mode():
            for side, images in enumerate((first, second)):
                told = [network(batch) for batch in images[held].split(256)]
                scores[side, held.cpu().numpy()] = torch.cat(told).cpu().numpy()
    return scores[0], scores[1]


def _seen(images: NDArray[np.float32]) -> Tensor:
    """Scale each channel of each crop by its own dimmest and brightest pixels, and curve it."""
    low, high = np.quantile(images, (DIM, BRIGHT), axis=(2, 3), keepdims=True)
    scaled = (images - low) / np.maximum(high - low, 1e-12)
    return torch.from_numpy(np.arcsinh(CURVE * scaled).astype(np.float32) - 1)


def _trained(first: Tensor, second: Tensor, config: FingerprintConfig) -> SmallNetwork:
    """Train a network; both crops of a pair are in the same step, turned and flipped alike."""
    random = torch.Generator().manual_seed(config.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = SmallNetwork(first.shape[1]).to(first.device)
    steps = config.epochs * -(-len(first) // PAIRS)
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    for _ in range(config.epochs):
        for pairs in torch.randperm(len(first), generator=random).split(PAIRS):
            rows = pairs.to(first.device)
            turn = int(torch.randint(8, (1,), generator=random))
            images = torch.rot90(torch.cat([first[rows], second[rows]]), turn % 4, (2, 3))
            images = images.flip(3) if turn >= 4 else images
            images = images.contiguous(memory_format=torch.channels_last)
            truth = torch.arange(2, device=first.device).repeat_interleave(len(rows)).float()
            loss = functional.binary_cross_entropy_with_logits(network(images), truth)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return network.eval()
