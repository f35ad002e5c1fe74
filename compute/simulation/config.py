"""Checked parameters of simulated plates: how they look, and how much is simulated. No files.

Lengths are pixels. Cells and light follow two real data sets of yeast: the 64×64 crops of the
Paired Cell Inpainting toy data (github.com/alexxijielu/paired_cell_inpainting; four strains) and
the two example fields of CycleNET (github.com/BooneAndrewsLab/CycleNET; one strain). `REAL` has
what both look like. Simulated medians lie within 20% of one of them or between them; `bystander
bench appearance` prints them. Exceptions are GFP's `blurred`, as a protein's own pattern blurs the
edge in some of the 15 classes, and the glow 8 pixels from the cell, below 2% in all of them.

Share of a crop that other cells cover, found by `compute.images.segmentation` on the marker: 0.170
in both real sets together, where CycleNET's smaller cells are counted by their labels.
"""

from dataclasses import dataclass, field, fields
from typing import Any

from compute.errors import UsageError

REAL: dict[tuple[str, str], tuple[float, float]] = {
    ("", "area"): (1087, 614),
    ("", "neighbours"): (0.143, 0.252),
    ("GFP", "range over noise"): (18.8, 28.9),
    ("GFP", "light over noise"): (5.97, 8.89),
    ("GFP", "cell over medium"): (2.35, 1.47),
    ("GFP", "variation in cells"): (0.515, 0.634),
    ("GFP", "variation in cells, smoothed"): (0.412, 0.582),
    ("GFP", "correlation of noise"): (-0.0135, 0.469),
    ("GFP", "fine over coarse"): (0.0594, 0.0139),
    ("GFP", "edge"): (4.22, 3.69),
    ("GFP", "glow at 1"): (0.511, 0.390),
    ("GFP", "glow at 2"): (0.285, 0.147),
    ("GFP", "glow at 3"): (0.166, 0.0655),
    ("GFP", "glow at 4"): (0.0908, 0.0211),
    ("GFP", "glow at 6"): (0.0263, 0.00657),
    ("GFP", "glow at 8"): (0.0116, 0.000915),
    ("GFP", "specks"): (0.0122, 0.224),
    ("GFP", "blurred"): (0.129, 0.0915),
    ("RFP", "range over noise"): (27.8, 489),
    ("RFP", "light over noise"): (14.9, 248),
    ("RFP", "cell over medium"): (4.05, 12.2),
    ("RFP", "variation in cells"): (0.325, 0.477),
    ("RFP", "variation in cells, smoothed"): (0.301, 0.448),
    ("RFP", "correlation of noise"): (0.214, 0.478),
    ("RFP", "fine over coarse"): (0.0162, 0.000308),
    ("RFP", "edge"): (4.22, 3.30),
    ("RFP", "glow at 1"): (0.516, 0.372),
    ("RFP", "glow at 2"): (0.282, 0.124),
    ("RFP", "glow at 3"): (0.159, 0.0463),
    ("RFP", "glow at 4"): (0.0802, 0.0172),
    ("RFP", "glow at 6"): (0.0242, 0.00426),
    ("RFP", "glow at 8"): (0.0092, 0.00150),
    ("RFP", "specks"): (0.0290, 0.409),
    ("RFP", "blurred"): (0.0678, 0.110),
}
"""Channel and number → its value over 546 Paired Cell crops and over 525 crops of CycleNET's
fields, both imported by Bystander; `compute.bench.appearance` defines and measures the numbers."""


def ranged(default: float, low: float, high: float, unit: str) -> Any:
    """Declare a dataclass field with its default, its range (both ends included) and its unit."""
    return field(default=default, metadata={"low": low, "high": high, "unit": unit})


def check_ranges(settings: Any) -> None:
    """Compare every ranged field of a dataclass with its range.

    Raises
    ------
    UsageError
        A value is out of range; names the field, its value, its range and its unit.
    """
    for item in fields(settings):
        if "low" not in item.metadata:
            continue
        value, low, high = getattr(settings, item.name), item.metadata["low"], item.metadata["high"]
        whole = isinstance(item.default, int)
        if (
            isinstance(value, bool)
            or not isinstance(value, int if whole else (int, float))
            or not low <= value <= high
        ):
            raise UsageError(
                f"{item.name} = {value!r} cannot be simulated.",
                f"Allowed: {'whole numbers ' if whole else ''}{low} to {high} "
                f"({item.metadata['unit']}).",
            )


@dataclass(frozen=True)
class SimulationConfig:
    """How a field looks: cells, crowding, light and camera. Defaults stand beside the fields.

    Parameters
    ----------
    size
        Side of a crop, pixels, 48 to 128.
    cell_diameter
        Median diameter of a mother cell, pixels, 12 to 60.
    crowding
        Share of the field's area that cells are placed to cover, 0.02 to 0.5.
    clumping
        Chance that a cell lies against one already placed, 0 to 1.
    budded
        Share of cells that have a bud, 0 to 1.
    defocused
        Share of cells that lie out of focus, 0 to 0.5.
    focus_spread
        Standard deviation of the distance from the focus of the other cells, as pixels of blur, 0
        to 3.
    debris
        Particles that are no cells, per 10,000 pixels of the field, 0 to 20.
    debris_light
        Median light of such a particle, share of a median cell's light, 0 to 1.
    psf_sigma
        Width of the point-spread function's core, pixels, 0.5 to 4.
    halo
        Share of the light that lands far from where it belongs, 0 to 0.5.
    brightness
        Median over proteins of the light from the protein, photons per cell pixel, 1 to 2000.
    brightness_spread
        Standard deviation of the natural logarithm of brightness over proteins, 0 to 1.5.
    contrast
        Median over proteins of the brightest place of a cell, multiples of the protein's mean over
        the cell, 2 to 100. What a localization cannot hold at this contrast is in the cytoplasm, as
        with real proteins: light in one dot would outshine all else.
    contrast_spread
        Standard deviation of the natural logarithm of contrast over proteins, 0 to 1.
    marker
        Light from the cytosolic marker, photons per cell pixel, 1 to 5000.
    autofluorescence
        Light of the cell itself in GFP, photons per pixel, 0 to 500.
    medium
        Light from the medium, photons per pixel, 0 to 500.
    gain
        Camera counts per photon, 0.1 to 50.
    offset
        Camera counts without light, 0 to 5000.
    read_noise
        Standard deviation of the camera's own noise, counts, 0 to 100.
    resampling
        Share of a pixel's counts that interpolation mixes into each neighbour along an axis, 0 to
        0.25; it correlates the noise of neighbours.
    batch
        Strength of batch effects, the differences between replicates, 0 (none) to 2.
    windows
        Windows without cells to look for in a field, 0 to 16.

    Raises
    ------
    UsageError
        A value is outside its range; names the value and the range.
    """

    size: int = ranged(64, 48, 128, "pixels")
    cell_diameter: float = ranged(35.0, 12.0, 60.0, "pixels")
    crowding: float = ranged(0.30, 0.02, 0.5, "share of the field's area")
    clumping: float = ranged(0.65, 0.0, 1.0, "probability")
    budded: float = ranged(0.42, 0.0, 1.0, "share of cells")
    defocused: float = ranged(0.06, 0.0, 0.5, "share of cells")
    focus_spread: float = ranged(0.75, 0.0, 3.0, "pixels")
    debris: float = ranged(0.3, 0.0, 20.0, "particles per 10,000 pixels")
    debris_light: float = ranged(0.01, 0.0, 1.0, "share of a cell's light")
    psf_sigma: float = ranged(1.5, 0.5, 4.0, "pixels")
    halo: float = ranged(0.12, 0.0, 0.5, "share of the light")
    brightness: float = ranged(16.0, 1.0, 2000.0, "photons per cell pixel")
    brightness_spread: float = ranged(0.7, 0.0, 1.5, "natural logarithm")
    contrast: float = ranged(4.0, 2.0, 100.0, "cell mean")
    contrast_spread: float = ranged(0.3, 0.0, 1.0, "natural logarithm")
    marker: float = ranged(115.0, 1.0, 5000.0, "photons per cell pixel")
    autofluorescence: float = ranged(4.0, 0.0, 500.0, "photons per pixel")
    medium: float = ranged(6.0, 0.0, 500.0, "photons per pixel")
    gain: float = ranged(10.0, 0.1, 50.0, "counts per photon")
    offset: float = ranged(60.0, 0.0, 5000.0, "counts")
    read_noise: float = ranged(14.0, 0.0, 100.0, "counts")
    resampling: float = ranged(0.09, 0.0, 0.25, "share of a pixel's counts")
    batch: float = ranged(1.0, 0.0, 2.0, "strength")
    windows: int = ranged(4, 0, 16, "windows a field")

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.cell_diameter > 0.65 * self.size:
            raise UsageError(
                f"cell_diameter = {self.cell_diameter} pixels is too large for crops of size = "
                f"{self.size}: most cells would be cut.",
                f"Allowed: up to {0.65 * self.size:.0f} pixels, or larger crops.",
            )


@dataclass(frozen=True)
class StudyDesign:
    """How much is simulated, and from which seeds. Defaults stand beside the fields.

    Parameters
    ----------
    proteins_per_class
        Proteins with one localization, per localization, 1 to 1000.
    mixed_proteins
        Proteins in two places, 0 to 5000. Of every second one the proportion differs from cell to
        cell; of the others it is the same in all.
    cells_per_protein
        Crops per protein over all its fields, 1 to 5000.
    fields_per_protein
        Fields per protein, 1 to 100; they are in the replicates by turns.
    replicates
        Plates, each with its own light, gain, background and focus, 1 to 20.
    seed
        Decides cells, fields, batch effects and noise, 0 to 2⁶³ − 1.
    proteome_seed
        Decides the proteins' localizations and brightness, 0 to 2⁶³ − 1.
    varying_proteins
        Proteins in two places whose proportion differs from cell to cell, with the label of one of
        them, 0 to 5000.

    Raises
    ------
    UsageError
        A value is outside its range, or there are fewer cells than fields.
    """

    proteins_per_class: int = ranged(10, 1, 1000, "proteins")
    mixed_proteins: int = ranged(12, 0, 5000, "proteins")
    cells_per_protein: int = ranged(40, 1, 5000, "cells")
    fields_per_protein: int = ranged(2, 1, 100, "fields")
    replicates: int = ranged(2, 1, 20, "replicates")
    seed: int = ranged(0, 0, 2**63 - 1, "seed")
    proteome_seed: int = ranged(1, 0, 2**63 - 1, "seed")
    varying_proteins: int = ranged(0, 0, 5000, "proteins")

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.cells_per_protein < self.fields_per_protein:
            raise UsageError(
                f"cells_per_protein = {self.cells_per_protein} cannot be spread over "
                f"fields_per_protein = {self.fields_per_protein}.",
                "Allowed: at least one cell a field.",
            )
