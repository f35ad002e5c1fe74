"""A mosaic of a store's cells: what stands on each tile and around it, and as HTML.

`arrange` makes tiles, groups, legend and caption of the table `mosaic`; `mosaic_html` lays them out
for a page, `dashboard.render.mosaic_picture` as a file. No Streamlit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from compute.schema import CELL_FLAGS, WORST_FIRST, CellFlag
from dashboard.render import images
from dashboard.theme import channel_inks
from dashboard.wording import count

NEIGHBOUR = "#ff8c1a"
"""The colour of the outlines of all other cells, which are dashed too."""

TILE = 128
"""Side of a tile, pixels, to which small pictures are enlarged by a whole number."""

DIM = 0.25
"""Share of the common contrast's range that a tile must reach in some channel, or it is shown with
a contrast of its own: images of one store can differ in brightness by a hundred times."""

TOGETHER = 3
"""Channels in one picture, at most: the light of more adds up to white."""

BRIGHTENED = "dim: own contrast"

GOOD = "good"

GOOD_TITLE = "Cells without any flag"


@dataclass(frozen=True)
class Tile:
    """One cell.

    Parameters
    ----------
    cell, protein, place
        Its number, protein and class (or classes) in words.
    flags
        Its flags in short words; empty where it has none.
    brightened
        Whether it is so dim that it has a contrast of its own.
    picture
        Uint8, height × width, with or without 3 colours.
    outline, neighbours
        Contours in pixels of the picture.
    """

    cell: int
    protein: str
    place: str
    flags: tuple[str, ...]
    brightened: bool
    picture: npt.NDArray[np.uint8]
    outline: Sequence[Sequence[float]]
    neighbours: Sequence[Sequence[float]]

    @property
    def lines(self) -> tuple[str, ...]:
        """What stands below its number."""
        flags = f"⚑ {', '.join(self.flags)}" if self.flags else ""
        return tuple(
            filter(None, (self.protein, self.place, flags, BRIGHTENED if self.brightened else ""))
        )

    @property
    def alternative(self) -> str:
        """What the picture shows, in words."""
        flags = f", {', '.join(self.flags)}" if self.flags else ", no flag"
        return f"Cell {self.cell} of {self.protein}, {self.place}{flags}"


@dataclass(frozen=True)
class Group:
    """Tiles below one heading.

    Parameters
    ----------
    title, note
        What they have in common, and how they were chosen.
    tiles
        In order.
    """

    title: str
    note: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Mosaic:
    """All that a mosaic shows.

    Parameters
    ----------
    groups
        First the cells without a flag.
    legend
        Channels that are shown, each with its colour as ``#rrggbb``.
    size, reduced
        Side of a crop, pixels, and how many of them a pixel of a picture has along its side.
    caption
        How cells were chosen and contrast was set, in sentences.
    """

    groups: tuple[Group, ...]
    legend: tuple[tuple[str, str], ...]
    size: int
    reduced: int
    caption: str

    @property
    def magnify(self) -> int:
        """Screen pixels along the side of a picture's pixel."""
        side = self.groups[0].tiles[0].picture.shape[0]
        return max(1, TILE // side)

    @property
    def scale(self) -> str:
        """The size of a tile, in words."""
        reduced = f"; shown at 1/{self.reduced} of its size" if self.reduced > 1 else ""
        return f"Each tile is a whole crop of {self.size} × {self.size} pixels{reduced}"


def composite(channels: Sequence[str], marker: str | None = None) -> tuple[int, ...]:
    """Return the numbers of the channels that one picture can show, each in its colour.

    Parameters
    ----------
    channels
        Names of all.
    marker
        The one that shows whole cells, which is shown in any case; None if there is none.
    """
    shown = list(range(min(len(channels), TOGETHER)))
    if marker in channels and channels.index(marker) not in shown:
        shown[-1] = channels.index(marker)
    return tuple(shown)


def arrange(table: pd.DataFrame, channels: Sequence[str], shown: Sequence[int]) -> Mosaic:
    """Make a mosaic of some channels.

    Parameters
    ----------
    table
        Columns of `compute.schema.MOSAIC`, at least one row.
    channels
        Names of the store's channels.
    shown
        Numbers of the channels to show: one (grey) or those of `composite`.

    Returns
    -------
    Mosaic
        With one contrast for all tiles, channel by channel.
    """
    records: list[Any] = list(table.itertuples())
    planes = [
        images.decode(*([column[c] for c in shown] for column in (r.images, r.offset, r.gain)))
        for r in records
    ]
    contrast = images.ranges(planes)
    tiles: dict[str, list[Tile]] = {}
    for record, plane in zip(records, planes, strict=True):
        dim = _is_dim(plane, contrast)
        own = images.ranges([plane]) if dim else contrast
        picture = images.colour(plane, own, range(len(shown)), shown)
        tiles.setdefault(record.group, []).append(_tile(record, picture, dim))
    first = {record.group: record for record in reversed(records)}
    names = [channels[c] for c in shown]
    tints = ["#ffffff"] if len(shown) == 1 else [ink for ink, _ in channel_inks(shown)]
    limits = "; ".join(
        f"{name} from {_number(low)} (black) to {_number(high)}"
        for name, (low, high) in zip(names, contrast, strict=True)
    )
    left = [name for name in channels if name not in names]
    without = f" Not in this picture: {', '.join(left)}." if left else ""
    own_contrast = ""
    if any(tile.brightened for found in tiles.values() for tile in found):
        own_contrast = (
            f" Tiles on which hardly anything would be seen have their own ({BRIGHTENED})."
        )
    return Mosaic(
        tuple(_group(name, first[name], found) for name, found in tiles.items()),
        tuple(zip(names, tints, strict=True)),
        int(records[0].size),
        int(records[0].reduced),
        f"{count(len(records), 'cell')} of the store with the masks that it holds: every outline "
        "should follow its cell. Contrast is the same for all tiles, from percentile "
        f"{images.LOW:g} to {images.HIGH:g} of their pixels: "
        f"{limits}.{own_contrast}{without}",
    )


def mosaic_html(mosaic: Mosaic, *, outlines: bool = True) -> str:
    """Return a mosaic as HTML: tiles that wrap, true pixels, text that can be read aloud.

    Parameters
    ----------
    mosaic
        From `arrange`.
    outlines
        Whether masks are drawn, as by default.
    """
    parts = [STYLE, f'<p class="key">{_legend(mosaic, outlines)}</p>']
    for group in mosaic.groups:
        parts.append(f"<h4>{escape(group.title)}</h4><p>{escape(group.note)}</p>")
        figures = "".join(_figure(tile, mosaic, outlines) for tile in group.tiles)
        parts.append(f'<div class="tiles">{figures}</div>')
    return f'<div class="mosaic">{"".join(parts)}</div>'


STYLE = """
<style>
.mosaic h4 { margin: 1.1rem 0 .1rem; font-size: 1.02rem; padding: 0 }
.mosaic p { margin: 0 0 .55rem; font-size: .88rem }
.mosaic .tiles { display: flex; flex-wrap: wrap; gap: .8rem .9rem; font-size: .8rem;
  line-height: 1.3 }
.mosaic .tiles figcaption { font-weight: 400; font-size: .8rem; overflow-wrap: anywhere;
  margin-top: .25rem }
.mosaic figure { margin: 0; min-width: 112px }
.mosaic .pic { position: relative; display: block; line-height: 0; background: #000 }
.mosaic .pic img { image-rendering: pixelated; display: block; max-width: none; margin: 0 }
.mosaic .pic img.line { position: absolute; left: 0; top: 0; width: 100%; height: 100%;
  image-rendering: auto }
.mosaic .key span { white-space: nowrap; margin-right: 1.1em }
.mosaic .key i { display: inline-block; width: 1.6em; margin-right: .4em; vertical-align: middle }
</style>
"""


def _figure(tile: Tile, mosaic: Mosaic, outlines: bool) -> str:
    high, wide = tile.picture.shape[:2]
    lines = ""
    if outlines:
        drawn = images.outlines_uri(
            [(tile.neighbours, NEIGHBOUR, 3 / mosaic.magnify), (tile.outline, images.OUTLINE, 0)],
            wide, high, 1.5 / mosaic.magnify,
        )  # fmt: skip
        lines = f'<img class="line" src="{drawn}" alt="">'
    wide, high = wide * mosaic.magnify, high * mosaic.magnify
    said = "<br>".join(escape(line) for line in tile.lines)
    return (
        f'<figure style="width:{wide}px"><span class="pic" style="width:{wide}px">'
        f'<img src="{images.as_uri(tile.picture)}" width="{wide}" height="{high}" '
        f'alt="{escape(tile.alternative)}">{lines}</span>'
        f"<figcaption><b>cell {tile.cell:,}</b><br>{said}</figcaption></figure>"
    )


def _legend(mosaic: Mosaic, outlines: bool) -> str:
    keys = [
        f'<span><i style="height:.8em;background:{ink};border:1px solid #888"></i>'
        f"{escape(name)}</span>"
        for name, ink in mosaic.legend
    ]
    if outlines:
        keys += [
            f'<span><i style="border-top:3px {kind} {ink}"></i>{text}</span>'
            for kind, ink, text in (
                ("solid", images.OUTLINE, OUTLINES[0]),
                ("dashed", NEIGHBOUR, OUTLINES[1]),
            )
        ]
    return "".join([*keys, f"<span>{escape(mosaic.scale)}</span>"])


OUTLINES = ("mask of the cell", "other cells")
"""What the two kinds of outlines are of."""


def _is_dim(plane: images.Plane, contrast: Sequence[images.Range]) -> bool:
    """Tell whether hardly anything of a crop, shape (C, H, W), is seen with a contrast."""
    own = images.ranges([plane])
    return all(
        high < lowest + DIM * (highest - lowest)
        for (_, high), (lowest, highest) in zip(own, contrast, strict=True)
    )


def _tile(record: Any, picture: npt.NDArray[np.uint8], dim: bool) -> Tile:
    labels = record.labels if record.labels is not None else ()
    return Tile(
        int(record.cell),
        str(record.protein),
        ", ".join(labels) if len(labels) else "no class",
        tuple(_short(flag) for flag in CELL_FLAGS if int(record.flags) & int(flag)),
        dim,
        picture,
        [list(contour) for contour in record.outline],
        [list(contour) for contour in record.neighbours],
    )


def _short(flag: CellFlag) -> str:
    return str(flag.name).lower().replace("_", " ")


def _group(name: str, first: Any, tiles: Sequence[Tile]) -> Group:
    """Return tiles with their heading; `first` is a record of the group."""
    total, looked = int(first.group_cells), int(first.looked_at)
    shown = f"{len(tiles):,} of {count(total, 'cell')}"
    if name == GOOD:
        how = (
            "all that there are" if len(tiles) == total else "drawn by lot from every class in turn"
        )
        return Group(GOOD_TITLE, f"{shown}: {how}.", tuple(tiles))
    flag = CellFlag[name]
    meaning = CELL_FLAGS[flag]
    if len(tiles) == total:
        how = "all that there are"
    else:
        among = f", looked for among {looked:,} drawn by lot" if looked < total else ""
        how = f"{WORST_FIRST[flag]}{among}"
    return Group(f"{_short(flag).capitalize()}: {meaning}", f"{shown}: {how}.", tuple(tiles))


def _number(value: float) -> str:
    """Write an intensity with about three digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
