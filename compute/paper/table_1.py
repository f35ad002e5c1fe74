"""The paper's Table 1 and its figures of mixed proteins, and where the results behind them are.

Layer: data only.

Source: Gupta, Moses and Lu (2025), Table 1: mean pair-test accuracy over localizations; the paper's
± is three standard errors over localizations. The results behind it, and the code that made both:
`swap_experiments` in github.com/microsoft/microscopy-sc-robustness.
"""

from dataclasses import dataclass

from compute.schema import Condition

SOURCE = "Gupta, Moses & Lu 2025, Table 1"
"""The table's name, for charts."""

SPREAD = "three standard errors over localizations"
"""What the paper's ± stands for."""

PUBLICATION = (
    "Gupta, Moses and Lu: Representation Learning Methods for Single-Cell Microscopy are "
    "Confounded by Background Cells, 2025"
)
ADDRESS = "https://github.com/microsoft/microscopy-sc-robustness"
RESULTS = "swap_experiments/results"
"""Folder of the fifteen files at `ADDRESS`."""

EXPLANATION = (
    "The paper's Table 1 leaves some of its pair tests out. Unaltered and masked accuracies are "
    "grouped by the first class of each pair only, so the class that is last in the list "
    "(vacuole) is missing, and the later a class is in the list, the fewer pairs it rests on. "
    "On swapped backgrounds each pair counts on one background of the thirteen that were tested: "
    "the first in the list that is neither of its classes. ± is three standard errors over "
    "localizations. “Every pair and background” leaves none out: over the same files it differs "
    "from Table 1 by up to 0.8 points, most for DeepLoc on masked crops (0.685, not 0.677). The "
    "paper's background gap of 15.8 points is the difference of two rounded numbers; it is 15.9."
)
"""Why the two aggregations of the same pair tests differ."""


@dataclass(frozen=True)
class PublishedAccuracy:
    """One number of Table 1.

    Parameters
    ----------
    model
        Name of the network.
    condition
        The condition.
    estimate
        Mean accuracy over localizations, 0 to 1.
    spread
        Its ±: three standard errors over localizations.
    """

    model: str
    condition: Condition
    estimate: float
    spread: float


@dataclass(frozen=True)
class PublishedModel:
    """One model of the published results.

    Parameters
    ----------
    folder
        Name of the folder that has its five files.
    layer
        Name of the activation that served as embedding, as `run_svm.py` names it.
    """

    folder: str
    layer: str


MODELS: dict[str, PublishedModel] = {
    "pifia": PublishedModel("pifia", "conv8"),
    "paired_cell": PublishedModel("pci", "conv4_1"),
    "deeploc": PublishedModel("deeploc", "conv5"),
}
"""Every model by the name of its network here."""

CROPS_PER_CLASS = 1000
"""Crops of each class in a pair test: `len1` and `len2` in `swap_experiments/run_svm.py`."""

_COLUMNS = (
    Condition.UNALTERED,
    Condition.MASKED,
    Condition.CELL_FREE,
    Condition.SAME,
    Condition.DIFFERENT,
)
_TABLE_1: dict[str, tuple[tuple[float, float], ...]] = {
    "pifia": ((0.946, 0.020), (0.883, 0.023), (0.902, 0.017), (0.939, 0.013), (0.843, 0.022)),
    "paired_cell": (
        (0.916, 0.025),
        (0.869, 0.029),
        (0.876, 0.019),
        (0.930, 0.016),
        (0.772, 0.026),
    ),
    "deeploc": ((0.713, 0.029), (0.677, 0.029), (0.689, 0.023), (0.746, 0.030), (0.612, 0.025)),
}

TABLE_1: tuple[PublishedAccuracy, ...] = tuple(
    PublishedAccuracy(model, condition, estimate, spread)
    for model, row in _TABLE_1.items()
    for condition, (estimate, spread) in zip(_COLUMNS, row, strict=True)
)
"""Every number of Table 1."""

MIXED_SHARE = 0.15
"""About what share of proteins with mixed localization shift substantially when neighbours are
masked, by the paper's account; from which divergence on a shift is substantial is not published."""

MIXED_PROTEINS = 1531
"""Number of these proteins (PIFiA; `pifia_logistic_regression/analyze_lr.ipynb` at `ADDRESS`)."""

MIXED_DIVERGENCE = (0.187, 0.479, 1.047)
"""Quartiles of their Kullback–Leibler divergence in nats, from the same place: of a logistic
regression on unaltered crops from one on masked crops, for one row of features per ORF."""
