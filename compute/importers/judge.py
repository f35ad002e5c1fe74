"""Judges a source by its pixels: whether masks lie on cells, and whether surroundings are there.

Each part of an import counts its crops (`judge`); the sums decide on the source (`refuse`).
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compute.errors import InputError
from compute.images.contrast import contrasts, without_surroundings
from compute.importers.config import ENOUGH_JUDGED
from compute.schema import CellFlag

ON_CELL = 0.6
"""Least contrast (`compute.images.contrast`) of a cell's marker; 0.5 is that of a mask beside any
cell. Of real yeast cells 99% have more than 0.9."""

ON_CELL_UNMARKED, STANDARD_ERRORS = 0.65, 4.0
"""In a source without a marker, whose cells may be dark and show only nuclei: least contrast, or 1
less it, in the best channel; and from how many standard errors between the means of a cell and its
ring a mask with less than that lies on a cell all the same."""

FITS = 0.75
"""Contrast from which a mask clearly lies on a cell."""

LEAST_FITTING = 0.5
"""Least share of masks that clearly lie on a cell; transposed and shifted label images have 0.1."""

BRIGHTER = 0.9
"""Or, in a source without a marker, the least share of at least `ENOUGH_JUDGED` masks whose mean is
above that of their ring, as where only nuclei are bright."""

GONE_IN_ALL, GONE_IN_ONE = 0.5, 0.9
"""Shares of crops without surroundings in all channels, or in one, from which a source is refused.
Clipped images have a few where no neighbour is near."""


def judge(
    images: NDArray[np.generic],
    masks: NDArray[np.bool_],
    foregrounds: NDArray[np.bool_],
    given: NDArray[np.bool_],
    marker: int | None,
    counts: Counter[str],
) -> NDArray[np.int32]:
    """Count how crops look, and flag masks that do not lie on a cell.

    Parameters
    ----------
    images, masks, foregrounds
        Shapes (n, C, H, W), (n, H, W) and (n, H, W).
    given
        Which masks the source gave, shape (n,). The others were found where the marker is bright.
    marker
        Number of the channel that shows whole cells, or None: then any channel may show them.
    counts
        Of the part; added to.

    Returns
    -------
    ndarray
        `CellFlag.OFF_CELL` or 0, shape (n,), int32.
    """
    gone = without_surroundings(images, masks)
    counts["surroundings: judged"] += len(images)
    counts["surroundings: gone in all"] += int(gone.all(1).sum())
    for channel, number in enumerate(gone.sum(0).tolist()):
        counts[f"surroundings: gone in {channel}"] += number
    flags = np.zeros(len(images), np.int32)
    known = np.flatnonzero(given)
    if len(known) == 0:
        return flags
    channels = slice(None) if marker is None else slice(marker, marker + 1)
    contrast, difference = contrasts(images[known, channels], masks[known], foregrounds[known])
    judged = ~np.isnan(contrast[:, 0])
    contrast, difference = contrast[judged], difference[judged]
    counts["contrast: given"] += len(known)
    counts["contrast: judged"] += len(contrast)
    for channel in range(contrast.shape[1]):
        name = f"in {marker if marker is not None else channel}"
        values, more = contrast[:, channel], difference[:, channel]
        counts[f"contrast: bright {name}"] += int((values >= FITS).sum())
        counts[f"contrast: thousandths {name}"] += round(1000 * float(values.sum()))
        if marker is None:
            counts[f"contrast: dark {name}"] += int((values <= 1 - FITS).sum())
            counts[f"contrast: above {name}"] += int((more > STANDARD_ERRORS).sum())
            counts[f"contrast: below {name}"] += int((more < -STANDARD_ERRORS).sum())
    if marker is not None:
        off = np.asarray(contrast[:, 0] < ON_CELL)
    else:
        like_medium = np.maximum(contrast, 1 - contrast) < ON_CELL_UNMARKED
        off = np.all(like_medium & (np.abs(difference) < STANDARD_ERRORS), axis=1)
    flags[known[judged]] = np.where(off, int(CellFlag.OFF_CELL), 0)
    return flags


def share_on_cells(counts: Counter[str]) -> tuple[float, float, int]:
    """Return the share of masks that clearly lie on cells, their mean contrast, and the channel.

    Parameters
    ----------
    counts
        From `judge`, with at least one mask judged.

    Returns
    -------
    share, contrast, channel
        In the channel where they fit best. The share is 1 where nearly all are brighter (or, in a
        source without a marker, darker) on the mean.
    """
    n = counts["contrast: judged"]
    found = []
    for name in [key.split()[-1] for key in counts if key.startswith("contrast: bright")]:
        share = max(counts[f"contrast: {way} in {name}"] for way in ("bright", "dark")) / n
        mean = max(counts[f"contrast: {way} in {name}"] for way in ("above", "below")) / n
        if n >= ENOUGH_JUDGED and mean >= BRIGHTER:
            share = max(share, mean)
        found.append((share, counts[f"contrast: thousandths in {name}"] / 1000 / n, int(name)))
    return max(found)


def refuse(
    counts: Counter[str],
    channels: Sequence[str],
    *,
    unchecked_masks: bool = False,
    no_surroundings: bool = False,
    least: int = 1,
) -> None:
    """Refuse a source whose masks do not lie on cells, or whose surroundings are gone.

    Parameters
    ----------
    counts
        Sums of what `judge` has counted.
    channels
        Names of the channels.
    unchecked_masks, no_surroundings
        Take such masks, or such crops, all the same; False by default.
    least
        Crops below which nothing is decided yet; 1 by default.

    Raises
    ------
    InputError
        Says the share and the contrast, or the channels, and the way out.
    """
    gone = channels_gone(counts, channels) if counts["surroundings: judged"] >= least else []
    if gone and not no_surroundings:
        n = counts["surroundings: judged"]
        most = max(counts[f"surroundings: gone in {channels.index(name)}"] for name in gone)
        raise InputError(
            f"{most} of {n} crops have nothing around their cell in {', '.join(gone)}: every pixel "
            "outside is the same. Their backgrounds were removed before, so no background can be "
            "tested, and a run would find that no model uses any.",
            "Cut the crops again from the images without masking: scPortrait masks every crop, so "
            "take the cells' positions from it and cut windows of the images; DeepProfiler with "
            '"mask_objects": false (train, sampling); for label images, such as those of HPA Cell '
            "Segmentation, `bystander import fields` cuts whole crops. --no-surroundings takes "
            "them as they are, for runs that test no background.",
        )
    n = counts["contrast: judged"]
    if n < least or n == 0 or unchecked_masks:
        return
    share, contrast, channel = share_on_cells(counts)
    if share < LEAST_FITTING:
        raise InputError(
            f"Masks do not lie on cells: {share:.0%} of {n} stand out of the ring around them in "
            f"{channels[channel]}; on the mean {contrast:.0%} of a ring is darker than the cell "
            "(50% where there is no cell, 100% on a bright one).",
            "Are masks transposed, shifted, of other images or of nuclei only? Is the marker "
            "(--marker) the channel that shows whole cells? --unchecked-masks takes them as they "
            "are.",
        )


def channels_gone(counts: Counter[str], channels: Sequence[str]) -> list[str]:
    """Return the channels in which a source has no surroundings; none where it has some."""
    n = counts["surroundings: judged"]
    if n == 0:
        return []
    share = [counts[f"surroundings: gone in {channel}"] / n for channel in range(len(channels))]
    least = GONE_IN_ALL if counts["surroundings: gone in all"] >= GONE_IN_ALL * n else GONE_IN_ONE
    return [name for name, found in zip(channels, share, strict=True) if found >= least]


def judgement_notes(counts: Counter[str], channels: Sequence[str]) -> list[str]:
    """Say in sentences what a person should know of masks and surroundings of a finished import."""
    notes = []
    gone = channels_gone(counts, channels)
    if gone:
        notes.append(
            f"The crops have nothing around their cells in {', '.join(gone)}: backgrounds cannot "
            "be tested with them."
        )
    elif counts["surroundings: gone in all"]:
        notes.append(
            f"{counts['surroundings: gone in all']} of {counts['surroundings: judged']} crops have "
            "nothing around their cell, no noise either: they show no effect of any background."
        )
    if counts["contrast: judged"] < counts["contrast: given"] / 2:
        notes.append(
            f"{counts['contrast: given'] - counts['contrast: judged']} of "
            f"{counts['contrast: given']} masks have no medium around them, so nothing tells "
            "whether they lie on cells."
        )
    if counts["contrast: judged"]:
        share, contrast, channel = share_on_cells(counts)
        if share < LEAST_FITTING:
            notes.append(
                f"Masks were taken unchecked: {share:.0%} of {counts['contrast: judged']} stand "
                f"out of the ring around them in {channels[channel]} (contrast {contrast:.2f}; "
                "0.50 where there is no cell)."
            )
    return notes
