"""Probabilities of a run that is about to be finished, kept with fewer significant bits.

Layer: reads `predictions` and `distributions` of a run, and writes them again. Every other table
was made of the exact ones.
"""

from collections.abc import Iterator
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from compute import schema
from compute.runs.config import EXACT
from compute.storage.atomic_files import write_stream
from compute.storage.run_directory import RunDirectory


def keep_bits(run: RunDirectory, bits: int) -> None:
    """Round the probabilities of `predictions` and `distributions`; what is rounded stays as it is.

    Parameters
    ----------
    run
        Has all its tables.
    bits
        Significant bits, 1 to `EXACT`. A probability moves by at most 2 to the power of −`bits` of
        itself.
    """
    if bits >= EXACT:
        return
    models = [model["name"] for model in run.meta["models"]]
    for file in chain.from_iterable(run.parts("predictions", model) for model in models):
        rounded = _rounded(pq.ParquetFile(file), "probabilities", bits)
        write_stream(file, rounded, schema.predictions_schema(len(run.localizations)))
    file = run.summary("distributions")
    if file.is_file():
        rounded = _rounded(pq.ParquetFile(file), "mean_probability", bits)
        write_stream(file, rounded, schema.DISTRIBUTIONS)


def round_bits(values: NDArray[np.floating], bits: int) -> NDArray[np.floating]:
    """Round numbers to some significant bits, halves to the even one.

    Examples
    --------
    >>> import numpy as np
    >>> round_bits(np.array([1 / 3, 0.0, 1.0]), 4).tolist()
    [0.34375, 0.0, 1.0]
    """
    fraction, exponent = np.frexp(values)
    scale = values.dtype.type(2**bits)
    return np.ldexp(np.rint(fraction * scale) / scale, exponent)


def _rounded(file: pq.ParquetFile, column: str, bits: int) -> Iterator[pa.Table]:
    """Yield a file's row groups with one column rounded."""
    for group in range(file.num_row_groups):
        table = file.read_row_group(group)
        place, values = table.schema.get_field_index(column), table[column].combine_chunks()
        vectors = pa.types.is_fixed_size_list(values.type)
        flat = values.flatten() if vectors else values
        rounded = pa.array(round_bits(flat.to_numpy(zero_copy_only=False), bits), from_pandas=True)
        if vectors:
            rounded = pa.FixedSizeListArray.from_arrays(rounded, values.type.list_size)
        field = table.schema.field(place)
        yield table.set_column(place, field, rounded.cast(field.type))
