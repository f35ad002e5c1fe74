"""Columns of Arrow tables from numbers of names. Pure arrays."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def take(names: Sequence[str], of: NDArray[np.integer]) -> pa.Array:
    """Return ``names[of]`` as text; null where `of` is negative."""
    places = pa.array(of.astype(np.int32), mask=of < 0)
    return pa.array(names, pa.string()).take(places)


def constant(name: str, count: int) -> pa.Array:
    """Return one text `count` times."""
    return pa.repeat(name, count)


def vectors(values: NDArray[np.float32]) -> pa.Array:
    """Return an array of shape (rows, n) as a column of fixed-size lists."""
    flat = pa.array(np.ascontiguousarray(values).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
