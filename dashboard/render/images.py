"""Stored crops to 8-bit pictures: decoding, contrast, colours, outlines. Pure arrays and bytes.

Pixels are never smoothed; the page enlarges them by whole numbers (`image-rendering: pixelated`),
and of crops larger than their place on the page whole squares of pixels are averaged.
"""

import base64
from collections.abc import Iterable, Sequence

import imagecodecs
import numpy as np
import numpy.typing as npt

from compute.errors import InputError
from dashboard.theme import channel_inks

Plane = npt.NDArray[np.float32]
Range = tuple[float, float]

LARGEST = 1024
"""Most pixels along a side of a stored picture; no crop of a store has more."""

_PNG = b"\x89PNG\r\n\x1a\n"

LOW, HIGH = 0.5, 99.8
"""Percentiles that become black and full colour."""


OUTLINE = "#ffe14d"
"""The colour of a cell's outline."""


def decode(images: Sequence[bytes], offset: Sequence[float], gain: Sequence[float]) -> Plane:
    """Return stored channels as intensities.

    Parameters
    ----------
    images
        One PNG per channel, of 8 or 16 bits.
    offset, gain
        Intensity = offset + gain × stored value, per channel.

    Returns
    -------
    numpy.ndarray
        Float32, channel × height × width.

    Raises
    ------
    InputError
        A picture is no grey PNG, is damaged, or claims to be larger than any crop; or they are not
        alike.
    """
    try:
        planes = [
            np.float32(o) + np.float32(g) * _grey(image)
            for image, o, g in zip(images, offset, gain, strict=True)
        ]
        return np.stack(planes)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(
            f"A stored picture cannot be shown: {error}.", "Run again with --fresh."
        ) from error


def _grey(image: bytes) -> Plane:
    """Decode a grey PNG, once its header is known to claim no more than a crop may have."""
    width, height = (int.from_bytes(image[at : at + 4], "big") for at in (16, 20))
    if not image.startswith(_PNG) or not 0 < max(width, height) <= LARGEST:
        raise ValueError(f"its header claims {width}×{height} pixels, of {LARGEST} at most")
    found = np.asarray(imagecodecs.png_decode(image))
    if found.ndim != 2:
        raise ValueError("it is not grey")
    return found.astype(np.float32)


def ranges(crops: Iterable[Plane]) -> tuple[Range, ...]:
    """Return, per channel, the intensities that become black and full colour.

    Parameters
    ----------
    crops
        Channel × height × width each; together they share one contrast.
    """
    pixels = [crop.reshape(crop.shape[0], -1) for crop in crops]
    if not pixels:
        return ()
    low, high = np.percentile(np.concatenate(pixels, axis=1), [LOW, HIGH], axis=1)
    return tuple((float(a), float(b)) for a, b in zip(low, high, strict=True))


def levels(crop: Plane) -> tuple[float, float, float]:
    """Return percentiles 20, 50 and 99 of the intensities in a crop's first channel."""
    low, middle, high = np.percentile(crop[0], [20, 50, 99])
    return float(low), float(middle), float(high)


def mismatch(unaltered: tuple[float, float, float], **others: tuple[float, float, float]) -> float:
    """Return how far the darker half of other crops is from that of the unaltered one.

    Parameters
    ----------
    unaltered
        From `levels`.
    **others
        The same of the cell on other backgrounds.

    Returns
    -------
    float
        The largest difference, as a share of the unaltered crop's range; 0 without others.
    """
    low, _, high = unaltered
    span = max(high - low, 1e-9)
    return max(
        (
            max(abs(a - b) for a, b in zip(unaltered[:2], other[:2], strict=True)) / span
            for other in others.values()
        ),
        default=0.0,
    )


def colour(
    crop: Plane,
    contrast: Sequence[Range],
    channels: Sequence[int],
    numbers: Sequence[int] | None = None,
) -> npt.NDArray[np.uint8]:
    """Scale a crop to 8 bits and colour it.

    Parameters
    ----------
    crop
        Channel × height × width.
    contrast
        From `ranges`, one for each channel of the crop.
    channels
        Which of the crop's to show: one in grey; several in their colours, whose light is added.
    numbers
        What numbers these have in the store, which decide their colours
        (`dashboard.theme.channel_inks`); by default `channels`.

    Returns
    -------
    numpy.ndarray
        Uint8, height × width × 3; height × width for one channel.
    """
    scaled = []
    for channel in channels:
        low, high = contrast[channel]
        scaled.append(np.clip((crop[channel] - low) / max(high - low, 1e-9), 0, 1))
    if len(scaled) == 1:
        return np.rint(255 * scaled[0]).astype(np.uint8)
    inks = channel_inks(channels if numbers is None else numbers)
    shares = np.array([_shares(ink) for ink, _ in inks], dtype=np.float32)
    mixed = np.einsum("chw,ck->hwk", np.stack(scaled), shares)
    return np.rint(255 * np.clip(mixed, 0, 1)).astype(np.uint8)


def _shares(ink: str) -> list[float]:
    """Return red, green and blue of ``#rrggbb``, each from 0 to 1."""
    return [int(ink[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def squares(size: int, side: int) -> tuple[int, int]:
    """Return how a crop is fitted into its place on a page.

    Parameters
    ----------
    size
        Side of the crop, pixels.
    side
        Side of its place, pixels of the screen.

    Returns
    -------
    mean : int
        Side of the squares of pixels that are averaged; 1 for crops that are not larger.
    enlarged : int
        Screen pixels along the side of each.
    """
    return max(1, -(-size // side)), max(1, side // size)


def shrunk(crop: Plane, mean: int) -> Plane:
    """Average squares of pixels, those at the lower and right edge over what there is.

    Parameters
    ----------
    crop
        Channel × height × width.
    mean
        Side of a square, pixels; 1 changes nothing.
    """
    if mean == 1:
        return crop
    rows, columns = (np.arange(0, n, mean) for n in crop.shape[1:])
    total = np.add.reduceat(np.add.reduceat(crop, rows, axis=1), columns, axis=2)
    high, wide = (
        np.diff(np.append(at, n)) for at, n in zip((rows, columns), crop.shape[1:], strict=True)
    )
    return np.asarray(total / (high[:, None] * wide[None, :]), np.float32)


def as_png(picture: npt.NDArray[np.uint8]) -> bytes:
    """Return a picture as PNG."""
    return bytes(imagecodecs.png_encode(np.ascontiguousarray(picture), level=3))


def as_uri(picture: npt.NDArray[np.uint8]) -> str:
    """Return a picture as a `data:` address for `<img src>`."""
    return f"data:image/png;base64,{base64.b64encode(as_png(picture)).decode('ascii')}"


def outline_uri(outline: Iterable[Sequence[float]], width: int, height: int, thick: float) -> str:
    """Return contours as an SVG picture that covers a crop, as a `data:` address.

    Parameters
    ----------
    outline
        As for `outline_path`.
    width, height
        Of the crop, pixels.
    thick
        Width of the line, pixels of the crop.
    """
    return outlines_uri([(outline, OUTLINE, 0)], width, height, thick)


def outlines_uri(
    several: Iterable[tuple[Iterable[Sequence[float]], str, float]],
    width: int,
    height: int,
    thick: float,
) -> str:
    """Return contours of several kinds as an SVG picture that covers a crop.

    Parameters
    ----------
    several
        Contours as for `outline_path`, their colour, and the length of their dashes in pixels of
        the crop, 0 for a whole line; the last ones lie on top.
    width, height
        Of the crop, pixels.
    thick
        Width of the lines, pixels of the crop.
    """
    paths = "".join(
        f'<path d="{outline_path(outline)}" fill="none" stroke="{colour}" '
        f'stroke-width="{thick:.2f}"' + (f' stroke-dasharray="{dash:.2f}"' if dash else "") + "/>"
        for outline, colour, dash in several
    )
    drawing = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">{paths}</svg>'
    )
    return f"data:image/svg+xml;base64,{base64.b64encode(drawing.encode()).decode('ascii')}"


def outline_path(outline: Iterable[Sequence[float]]) -> str:
    """Return contours as an SVG path in pixels of the crop.

    Parameters
    ----------
    outline
        Closed contours, each x0, y0, x1, y1, … with pixel centres at whole numbers.
    """
    parts = []
    for contour in outline:
        points = [
            f"{x + 0.5:.1f},{y + 0.5:.1f}" for x, y in zip(contour[::2], contour[1::2], strict=True)
        ]
        if points:
            parts.append(f"M{' L'.join(points)}Z")
    return " ".join(parts)
