"""Seeded ways in which sources go wrong, each of which an importer could notice.

What nobody could notice is left out: another class written in a table, channels exchanged, a pixel
of raw data changed (there crops may differ in a tenth of their pixels).
"""

import json
from pathlib import Path

import imagecodecs
import numpy as np
import pandas as pd
import tifffile

IMAGES = (".tif", ".tiff", ".png")


def _read(path):
    if path.suffix == ".png":
        return imagecodecs.png_decode(path.read_bytes())
    return tifffile.imread(path)


def _write(path, image):
    image = np.ascontiguousarray(image)
    if path.suffix == ".png" and image.dtype in (np.uint8, np.uint16):
        path.write_bytes(imagecodecs.png_encode(image))
    else:
        tifffile.imwrite(path, image, photometric="minisblack")


# Any file.


def delete(path, rng):
    path.unlink()


def empty(path, rng):
    path.write_bytes(b"")


def cut(path, rng):
    """Cut a file off; a table within a line, before its last value."""
    whole = path.read_bytes()
    part = whole[: int(rng.integers(1, max(2, len(whole) - 1)))]
    if path.suffix == ".csv":
        part = part[: max(part.rfind(b","), 1)]
    path.write_bytes(part)


def become_folder(path, rng):
    path.unlink()
    path.mkdir()


def garbage(path, rng):
    path.write_bytes(rng.bytes(int(rng.integers(10, 3000))))


def other_case(path, rng):
    path.rename(path.with_name(path.name.swapcase()))


def other_name(path, rng):
    path.rename(path.with_name(f"x {path.name}"))


def flip(path, rng):
    """Change some bytes; of HDF5 and arrays those at the beginning."""
    whole = bytearray(path.read_bytes())
    most = len(whole) if path.suffix in (*IMAGES, "") else min(len(whole), 4000)
    for at in rng.integers(0, max(most, 1), int(rng.integers(1, 6))):
        whole[at] ^= int(rng.integers(1, 256))
    path.write_bytes(bytes(whole))


# Tables.


def _table(change):
    def mutate(path, rng):
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        change(frame, rng).to_csv(path, index=False)

    mutate.__name__ = change.__name__
    return mutate


def _column(frame, rng, *only):
    names = [name for name in frame if not only or name in only]
    return names[int(rng.integers(len(names)))] if names else frame.columns[0]


PLACES = (
    "x", "y", "label", "Location_Center_X", "Location_Center_Y", "Nuclei_Location_Center_X",
    "Nuclei_Location_Center_Y",
)  # fmt: skip


@_table
def without_a_column(frame, rng):
    return frame.drop(columns=_column(frame, rng))


@_table
def renamed_column(frame, rng):
    name = _column(frame, rng)
    return frame.rename(
        columns={name: [name.upper(), f" {name}", f"{name}_2", ""][rng.integers(4)]}
    )


@_table
def column_twice(frame, rng):
    name = _column(frame, rng)
    return pd.concat([frame, frame[[name]]], axis=1)


@_table
def shuffled_rows(frame, rng):
    return frame.iloc[rng.permutation(len(frame))]


@_table
def shuffled_columns(frame, rng):
    return frame[list(rng.permutation(frame.columns))]


@_table
def rows_twice(frame, rng):
    return pd.concat([frame, frame.iloc[rng.integers(0, len(frame), 3)]])


@_table
def fewer_rows(frame, rng):
    return frame.iloc[: int(rng.integers(0, len(frame)))]


@_table
def places_exchanged(frame, rng):
    there = [name for name in frame if name in PLACES]
    if len(there) < 2:
        return frame
    one, two = rng.choice(there, 2, replace=False)
    return frame.rename(columns={one: two, two: one})


@_table
def places_scaled(frame, rng):
    factor = (0.5, 2.0, 0.2, 1e6, -1.0)[rng.integers(5)]
    for name in frame.columns.intersection(PLACES):
        if name != "label":
            frame[name] = (frame[name].astype(float) * factor).astype(str)
    return frame


@_table
def odd_values(frame, rng):
    """Some values of a column become ones that are none."""
    name = _column(frame, rng, *PLACES)
    value = ("", "NaN", "inf", "-5", "1e300", "1e-300", "x", "1,5", "0x10", "None")[
        rng.integers(10)
    ]
    if name not in PLACES and value != "":
        return frame
    rows = rng.integers(0, len(frame), int(rng.integers(1, 4)))
    frame.iloc[rows, frame.columns.get_loc(name)] = value
    return frame


@_table
def a_whole_odd_column(frame, rng):
    name = _column(frame, rng, *PLACES)
    if name in PLACES:
        frame[name] = ("", "NaN", "inf", "7", "-1", "1e300", "x")[rng.integers(7)]
    return frame


def encoded(path, rng):
    """Other encodings, separators and ends of lines."""
    text = path.read_text()
    form = int(rng.integers(9))
    if form == 0:
        path.write_bytes(text.encode("utf-16"))
    elif form == 1:
        path.write_bytes(text.encode("utf-8-sig"))
    elif form == 2:
        path.write_bytes(text.replace("\n", "\r\n").encode())
    elif form == 3:
        path.write_text(text.replace(",", ";"))
    elif form == 4:
        path.write_text(text.replace(",", "\t"))
    elif form == 5:
        path.write_text("\n".join(f"{line}," for line in text.splitlines()) + "\n")
    elif form == 6:
        path.write_text(text + "\n\n,,\n")
    elif form == 7:
        path.write_bytes(text.replace("\n", "\n\xe9", 1).encode("latin-1"))
    else:
        path.write_text(text.replace("\n", '\n"', 1))


def header_one_short(path, rng):
    """As R writes a table with names of rows: the header has a name less."""
    lines = path.read_text().splitlines()
    rows = [f"{n},{line}" for n, line in enumerate(lines[1:], 1)]
    path.write_text("\n".join([lines[0], *rows]) + "\n")


# Images.


def _image(change):
    def mutate(path, rng):
        _write(path, change(_read(path), rng))

    mutate.__name__ = change.__name__
    return mutate


@_image
def other_type(image, rng):
    kind = ("float32", "float64", "int32", "bool", "complex64")[rng.integers(5)]
    return image.astype(kind)


@_image
def transposed(image, rng):
    return image.swapaxes(-1, -2)


@_image
def upside_down(image, rng):
    return image[..., ::-1, :]


@_image
def rolled(image, rng):
    return np.roll(image, (14, 13), (-2, -1))


@_image
def smaller(image, rng):
    return image[..., : -int(rng.integers(1, 30)), :]


@_image
def larger(image, rng):
    return np.pad(image, [(0, 0)] * (image.ndim - 2) + [(0, 9), (0, 9)])


@_image
def all_the_same(image, rng):
    return np.full_like(image, (0, 1, 700)[rng.integers(3)])


@_image
def not_finite(image, rng):
    image = image.astype(np.float32)
    image[..., 40:44, 50:60] = (np.nan, np.inf, -np.inf)[rng.integers(3)]
    return image


@_image
def one_more_axis(image, rng):
    return np.stack([image] * int(rng.integers(2, 5)))


@_image
def in_colour(image, rng):
    return image if image.ndim > 2 else np.stack([image, image // 2, image * 0], -1)


@_image
def negative(image, rng):
    return -image.astype(np.int32)


# Metadata.


def json_value(path, rng):
    """Remove a value of metadata, or make it another one."""
    whole = json.loads(path.read_text())
    places = []

    def walk(node):
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in items:
            places.append((node, key))
            if isinstance(value, dict | list):
                walk(value)

    walk(whole)
    node, key = places[int(rng.integers(len(places)))]
    if rng.random() < 0.4:
        del node[key]
    else:
        node[key] = (None, "x", [], {}, -1, [None])[rng.integers(6)]
    path.write_text(json.dumps(whole))


ANY = (delete, empty, cut, become_folder, garbage, other_case, other_name)
TABLES = (
    without_a_column, renamed_column, column_twice, shuffled_rows, shuffled_columns, rows_twice,
    fewer_rows, places_exchanged, places_scaled, odd_values, a_whole_odd_column, encoded,
    header_one_short,
)  # fmt: skip
PIXELS = (
    other_type, smaller, larger, all_the_same, not_finite, one_more_axis, in_colour, flip,
)  # fmt: skip
LABELS_ONLY = (transposed, upside_down, rolled, negative)


def mutate(root: Path, rng):
    """Do one or two things to the files of a source; return what was done, in words."""
    done, names = [], set()
    for _ in range(1 + int(rng.random() < 0.25)):
        paths = sorted(path for path in root.rglob("*") if path.is_file())
        kinds = sorted({_kind(path) for path in paths})
        kind = kinds[int(rng.integers(len(kinds)))]
        some = [path for path in paths if _kind(path) == kind]
        path = some[int(rng.integers(len(some)))]
        ways = _ways(path, kind)
        way = ways[int(rng.integers(len(ways)))]
        try:
            way(path, rng)
        except (OSError, ValueError, TypeError, KeyError, IndexError, pd.errors.ParserError):
            # What an earlier change has left is not to be changed so.
            continue
        done.append(f"{way.__name__} {path.relative_to(root)}")
        names.add(way.__name__)
    return "; ".join(done), names


def _kind(path):
    if path.suffix in IMAGES:
        return "labels" if any(w in path.name for w in ("label", "mask", "Cells")) else "image"
    return {".csv": "table", ".json": "json"}.get(path.suffix, "other")


def _ways(path, kind):
    if kind == "table":
        return (*TABLES, *TABLES, *ANY)
    if kind == "image":
        return (*PIXELS, *ANY)
    if kind == "labels":
        return (*PIXELS, *LABELS_ONLY, *ANY)
    if kind == "json":
        return (json_value, json_value, json_value, *ANY)
    if path.suffix == "" and "c" in path.parts:
        # A chunk of Zarr that is not there is empty; one of a table's has no sum to check.
        return (empty, cut, garbage) if "tables" in path.parts else (cut, garbage, flip, empty)
    return (flip, flip, *ANY)
