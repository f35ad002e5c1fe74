"""A plate drawn by a seed: two wells, two sites each, cells of known number, class and protein.

`tests.compute.importers.drawn_layouts` writes it as other programs do; `audit` says what is wrong
with a store that was made of it.
"""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
import pandas as pd
from scipy import ndimage

from compute.store.reader import CropStore

HEIGHT, WIDTH, SIZE = 152, 184, 32

CHANNELS = ("DNA", "GFP", "RFP")

PLATE = "P7"

WELLS = {"B02": "AAC1", "C03": "NOP1"}
"""Well → the protein of its strain."""

CLASSES = ("nucleus", "cytoplasm", "mitochondrion")

NAMES = [(well, site) for well in WELLS for site in (1, 2)]


@dataclass(frozen=True)
class Drawn:
    """One field: image (C, H, W), labels and nuclei (H, W); nuclei have their cells' numbers."""

    well: str
    site: int
    image: np.ndarray
    labels: np.ndarray
    nuclei: np.ndarray

    @property
    def protein(self):
        return WELLS[self.well]

    @property
    def harmony(self):
        """Its name as Harmony has it, such as r02c03f01p01."""
        row, column = ord(self.well[0]) - 64, int(self.well[1:])
        return f"r{row:02}c{column:02}f{self.site:02}p01"

    @cached_property
    def numbers(self):
        return [int(n) for n in np.unique(self.labels) if n]

    @cached_property
    def centres(self):
        """x and y of the nuclei, in the order of the numbers."""
        places = ndimage.center_of_mass(self.nuclei > 0, self.nuclei, self.numbers)
        return np.array(places)[:, ::-1]

    def class_of(self, number):
        return CLASSES[number % 3]

    def corner(self, number):
        """First row and column of the crop around a cell's centroid; None where none fits."""
        y, x = ndimage.center_of_mass(self.labels == number)
        top, left = (round(at - (SIZE - 1) / 2) for at in (y, x))
        fits = 0 <= top <= HEIGHT - SIZE and 0 <= left <= WIDTH - SIZE
        return (top, left) if fits else None

    @cached_property
    def whole(self):
        """Numbers of the cells around which a crop fits."""
        return [n for n in self.numbers if self.corner(n) is not None]

    def crop(self, number):
        """Return a cell's crop, its mask and the labels around it."""
        top, left = self.corner(number)
        box = slice(top, top + SIZE), slice(left, left + SIZE)
        return self.image[:, *box], self.labels[box] == number, self.labels[box]


@lru_cache(maxsize=4)
def draw(seed=0, dtype="uint16"):
    """Return the plate's fields."""
    rng = np.random.default_rng(seed)
    fields = []
    for well, site in NAMES:
        labels = np.zeros((HEIGHT, WIDTH), np.uint16)
        nuclei = np.zeros_like(labels)
        rows, columns = np.ogrid[:HEIGHT, :WIDTH]
        # One at the edge, for which there is no crop; no two touch.
        places = [np.array([6.0, 6.0])]
        while len(places) < 18:
            place = rng.uniform(19, (HEIGHT - 19, WIDTH - 19))
            if min(np.hypot(*(place - other)) for other in places) > 21.5:
                places.append(place)
        numbers = rng.permutation(np.arange(2, 60))[: len(places)]
        for number, (y, x) in zip(numbers, places, strict=True):
            tall, wide = rng.uniform(7, 10, 2)
            cell = ((rows - y) / tall) ** 2 + ((columns - x) / wide) ** 2 <= 1
            labels[cell & (labels == 0)] = number
            dy, dx = rng.uniform(-1, 1, 2)
            nuclei[(rows - y - dy) ** 2 + (columns - x - dx) ** 2 <= 9] = number
        light = np.stack(
            [
                ndimage.gaussian_filter(1.0 * (shown > 0), 0.8)
                for shown in (nuclei, np.where(labels % 3 == 0, nuclei, labels), labels)
            ]
        )
        image = 300 + 6000 * light + rng.normal(0, 40, light.shape)
        image = np.clip(image, 1, 65534)
        if dtype == "uint8":
            image = np.clip(image / 30, 1, 254)
        fields.append(Drawn(well, site, image.astype(dtype), labels, nuclei))
    return fields


def field_table(fields=None):
    """A row per well: what its strain is."""
    return pd.DataFrame({"field": list(WELLS), "protein": list(WELLS.values())})


def cell_table(fields, name, *columns):
    """A row per cell: `field` as called by `name`, and columns of x, y, label, localization."""
    rows = [
        {
            "field": name(one),
            "x": float(x),
            "y": float(y),
            "label": number,
            "localization": one.class_of(number),
            "protein": one.protein,
        }
        for one in fields
        for number, (x, y) in zip(one.numbers, one.centres, strict=True)
    ]
    return pd.DataFrame(rows)[["field", *columns]]


@dataclass
class Found:
    """What a store holds of the plate: (well, site, number) of its cells, and what is wrong."""

    cells: list = field(default_factory=list)
    wrong: list = field(default_factory=list)
    classes: dict = field(default_factory=dict)
    windows: int = 0


def audit(
    path,
    fields,
    *,
    planes=(0, 1, 2),
    masks="equal",
    damaged=False,
    proteins=True,
    seen=None,
    class_of=Drawn.class_of,
):
    """Compare a store with the plate.

    Parameters
    ----------
    path
        The store.
    fields
        From `draw`.
    planes
        Which of the plate's channels the store's are.
    masks
        ``"equal"`` to the drawn ones, ``"like"`` them (segmented; 60% in common), or
        ``"inside"`` of them, or None.
    damaged
        Whether a tenth of a crop's pixels may be others than drawn.
    proteins
        Whether the store has the plate's proteins; ``"or none"`` where they may be unnamed.
    seen
        Turns a drawn crop into what the source has of it; None where it is the same, and crops
        are looked for in whole fields.
    class_of
        Returns the class of a field's cell by its number.
    """
    store = CropStore(path)
    store.check()
    arrays, found = store.arrays(), Found()
    drawn = {}
    for one in fields if seen is not None else ():
        for n in one.whole:
            crop = np.ascontiguousarray(seen(one.crop(n)[0])[list(planes)])
            drawn[crop.tobytes()] = (one, *one.corner(n))
    stored_masks = arrays.unpack(arrays.masks)
    usable = store.usable
    for row, image in enumerate(arrays.images):
        cell = store.cells.iloc[row]
        if seen is None:
            place = _place(image, fields, planes, damaged)
        else:
            place = drawn.get(np.ascontiguousarray(image).tobytes())
        if place is None and seen is not None and damaged:
            continue
        if place is None:
            found.wrong.append(f"row {row}: pixels that are nowhere on the plate")
            continue
        one, top, left = place
        box = slice(top, top + SIZE), slice(left, left + SIZE)
        middle = np.array([left + (SIZE - 1) / 2, top + (SIZE - 1) / 2])
        nearest = int(np.hypot(*(one.centres - middle).T).argmin())
        number = one.numbers[nearest]
        where = f"row {row}, {one.well} s{one.site}, cell {number}"
        key = (one.well, one.site, number)
        if key in found.cells:
            found.wrong.append(f"{where}: twice")
        if np.hypot(*(one.centres[nearest] - middle)) > 3.5:
            found.wrong.append(f"{where}: the cell is not in the middle")
        found.cells.append(key)
        truth = one.labels[box] == number
        mask = stored_masks[row]
        # Flagged crops are in no trial.
        if masks == "equal" and usable[row] and not np.array_equal(mask, truth):
            found.wrong.append(f"{where}: another mask ({mask.sum()} of {truth.sum()} pixels)")
        # Where only nuclei are bright, no more than a part of the cell can be found.
        if masks == "inside" and usable[row] and (mask & truth).sum() < 0.7 * mask.sum():
            found.wrong.append(f"{where}: a mask that is not in the cell")
        if masks == "like" and usable[row] and (mask & truth).sum() < 0.6 * (mask | truth).sum():
            found.wrong.append(f"{where}: a mask elsewhere")
        # Where nothing names a protein, it is called by the well, the field or the file.
        unnamed = cell["protein"] in (one.well, cell["field"], one.harmony[:6], "single_cells")
        if proteins and cell["protein"] != one.protein and not (unnamed and proteins == "or none"):
            found.wrong.append(f"{where}: protein {cell['protein']}, not {one.protein}")
        said = cell["localization"]
        if said is not None and said == said:
            found.classes[key] = said
            if said != class_of(one, number):
                found.wrong.append(f"{where}: {said}, not {class_of(one, number)}")
    found.windows = len(arrays.windows)
    return found


def _place(image, fields, planes, damaged):
    """Return the field and corner that a crop was cut from."""
    for one in fields:
        views = one.image[planes[0]]
        corners = np.argwhere(views[: HEIGHT - SIZE + 1, : WIDTH - SIZE + 1] == image[0, 0, 0])
        for top, left in corners:
            there = one.image[list(planes), top : top + SIZE, left : left + SIZE]
            if (there == image).mean() >= (0.9 if damaged else 1):
                return one, int(top), int(left)
    if damaged:
        for one in fields:
            for number in one.whole:
                top, left = one.corner(number)
                for dy, dx in np.ndindex(5, 5):
                    y, x = top + dy - 2, left + dx - 2
                    there = one.image[list(planes), max(y, 0) : y + SIZE, max(x, 0) : x + SIZE]
                    if there.shape == image.shape and (there == image).mean() >= 0.9:
                        return one, y, x
    return None


def whole_cells(fields):
    """(well, site, number) of every cell around which a crop fits."""
    return {(one.well, one.site, number) for one in fields for number in one.whole}
