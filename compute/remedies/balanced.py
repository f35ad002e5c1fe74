"""The balanced probe: fitted on unaltered crops and on other backgrounds together. Pure arrays."""

import numpy as np

from compute.backgrounds.folds import Folds
from compute.probes.multiclass import Multiclass, Softmax, TrainingCrops, fit_softmax
from compute.remedies.choose import choose
from compute.remedies.config import RemedyConfig
from compute.remedies.learned import Learned


def balanced_crops(learned: Learned, mixture: float) -> TrainingCrops:
    """Put each cell's unaltered crop and its crops on other classes' backgrounds together.

    A cell counts as much as in a probe of unaltered crops alone: its crops share a weight of 1.

    Parameters
    ----------
    learned
        The cells.
    mixture
        The part of that weight that the crops on other backgrounds have; cells without any have all
        of it on the unaltered crop.
    """
    swapped = learned.swapped.take(learned.swapped.different)
    many = np.bincount(swapped.place, minlength=len(learned.cell))
    own = np.where(many > 0, 1 - mixture, 1.0)
    weight = np.append(own, mixture / many[swapped.place])
    features = np.concatenate([learned.unaltered, swapped.features])
    cell = np.append(learned.cell, learned.cell[swapped.place])
    classes = np.append(learned.classes, learned.classes[swapped.place])
    kept = weight > 0
    return TrainingCrops(features[kept], cell[kept], classes[kept], weight[kept])


def fit_balanced(
    learned: Learned, folds: Folds, n_classes: int, config: RemedyConfig
) -> tuple[Multiclass, str]:
    """Fit the balanced probe for every fold, with a mixture and regularisation of its own.

    Parameters
    ----------
    learned
        The cells.
    folds
        Which cells of the store are held out together.
    n_classes
        Number of classes in the store.
    config
        The settings to choose from.

    Returns
    -------
    probe : Multiclass
        Answers each cell by the fold that holds it out.
    chosen : str
        The settings of the folds, in words.
    """
    settings, fold = config.balances, folds.fold

    def fit(some: Learned) -> list[Softmax]:
        found: dict[tuple[float, float], Softmax] = {}
        for mixture in config.mixture:
            crops, start = balanced_crops(some, mixture), None
            for strength in sorted(config.strengths):
                start = _fit(crops, strength, start)
                found[mixture, strength] = start
        return [found[each] for each in settings]

    places = choose(learned, fold, folds.number, fit) if len(settings) > 1 else None
    of = [settings[place] for place in places or [0] * folds.number]
    held = fold[learned.cell]
    probes = [
        _fit(balanced_crops(learned.take(held != number), mixture), strength, None)
        for number, (mixture, strength) in enumerate(of)
    ]
    told = "; ".join(f"share {mixture:g}, C {strength:g}" for mixture, strength in of)
    return Multiclass(probes, n_classes, folds), told


def _fit(crops: TrainingCrops, strength: float, start: Softmax | None) -> Softmax:
    """Fit one classifier."""
    return fit_softmax(crops.features, crops.classes, start, weight=crops.weight, c=strength)
