"""Answers of another program as a model of a run: what `bystander import answers` does.

Layer: reads a table and an export's, writes an Arrow file and a card. Every answer is matched with
its crop by the crop's key, whatever the order.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from compute import schema
from compute.errors import InputError, UsageError, unknown_value
from compute.models.card import make_card
from compute.models.card_files import save_card
from compute.models.loaders.answers import FACTS
from compute.models.loaders.extras import import_extra
from compute.schema import OWN_READING
from compute.storage.atomic_files import sha256, writing
from compute.storage.paths import ExportPaths
from compute.storage.sealed_json import read_sealed

KEY = "key"
ANSWER = "answer"
ENDINGS = (".parquet", ".h5ad", ".npy")
SHOWN = 3
LARGEST = 2**34
"""Bytes of answers that are held in memory at most: 16 GiB."""


def import_answers(
    table: Path | str,
    export: Path | str,
    out: Path | str,
    *,
    name: str,
    trained_on: str,
    simulated: bool = False,
    ids: Path | str | None = None,
    columns: Sequence[str] | None = None,
    classes: bool = False,
    license: str = "",
    overwrite: bool = False,
) -> Path:
    """Turn another program's answers to exported crops into a model of a run.

    Parameters
    ----------
    table
        The answers. Parquet: a column ``key`` and either one column of lists or a numeric column
        for each number. ``.h5ad``: one observation for each crop, its key in ``obs["key"]`` or its
        name, answers in X. ``.npy``: an array of crops × numbers, with `ids`.
    export
        Folder of the export that the program answered to.
    out
        Folder for the card and the answers.
    name
        Of the model.
    trained_on
        What it was trained on, in words.
    simulated
        Whether that data was simulated; False by default.
    ids
        Parquet or CSV file with a column ``key``, in the order of an array; None by default.
    columns
        Numeric columns of a Parquet table that are the answer, in order; all by default.
    classes
        Whether the numbers are probabilities of classes, named as the columns; False by default.
    license
        Of the model, for the card; empty by default.
    overwrite
        Whether to replace a card of that name; False by default.

    Returns
    -------
    Path
        The card, for `--models`.

    Raises
    ------
    InputError
        A crop has no answer or several, an answer is of no crop of the export, or is not finite;
        or a file is not what it should be.
    UsageError
        The table's format is not known, or a card is there.

    Examples
    --------
    >>> from compute import import_answers
    >>> card = import_answers("answers.parquet", "crops", "models", name="theirs",
    ...     trained_on="a screen of our own")  # doctest: +SKIP
    """
    table, paths, out = Path(table), ExportPaths(Path(export)), Path(out)
    card_path, data_path = out / f"{name}.toml", out / f"{name}.arrow"
    if card_path.exists() and not overwrite:
        raise UsageError(f"{card_path} is there already.", "Give --overwrite, or another --name.")
    header, wanted = _export(paths)
    if not (wanted["reading"] == OWN_READING).all():
        raise UsageError(
            f"{paths.path} has crops that are read again in another way, and a table has no answer "
            "for another scale.",
            "Export with --no-second-readings, and run with it.",
        )
    keys, answers, names = _read(table, None if ids is None else Path(ids), columns)
    order = _matched(table, keys, wanted[KEY].to_numpy(dtype=object))
    answers = answers[order]
    _require_finite(table, answers, wanted[KEY], names)
    if classes:
        _require_probabilities(table, answers, names)
    rows = np.argsort(wanted["trial"].to_numpy(), kind="stable")
    facts = {
        "composites": header["composites"],
        "store": header["store"],
        "configuration": header["configuration"],
        "table": table.name,
    }
    content = pa.table(
        {
            "trial": pa.array(wanted["trial"].to_numpy()[rows], pa.int64()),
            ANSWER: pa.FixedSizeListArray.from_arrays(
                pa.array(answers[rows].ravel(), pa.float32()), answers.shape[1]
            ),
        }
    ).replace_schema_metadata({FACTS: json.dumps(facts, sort_keys=True)})
    card = make_card(
        "answers", name=name, weights=data_path.name, sha256="0" * 64, trained_on=trained_on,
        simulated=simulated, channels=header["channels"], size=header["size"],
        classes=names if classes else [], license=license,
        notes=f"{len(answers)} answers of {table.name} to crops of store "
        f"{header['store']['fingerprint']}.",
    )  # fmt: skip
    with writing(data_path) as temporary:  # noqa: SIM117 - the file is closed before it is moved
        with pa.ipc.new_file(str(temporary), content.schema) as writer:
            writer.write_table(content)
    save_card(replace(card, sha256=sha256(data_path)), card_path)
    return card_path


def _export(paths: ExportPaths) -> tuple[dict[str, Any], pd.DataFrame]:
    """Read an export's header and table.

    Raises
    ------
    InputError
        They are missing, or are not as they were written.
    """
    header = read_sealed(paths.header, "export", schema.EXPORT_VERSION)
    if not paths.trials.is_file() or sha256(paths.trials) != header.get("trials_sha256"):
        raise InputError(f"{paths.trials} is not as it was written.", "Export the crops again.")
    wanted = pq.read_table(paths.trials, columns=[KEY, "reading", "trial"])
    return header, wanted.to_pandas()


def _read(
    path: Path, ids: Path | None, columns: Sequence[str] | None
) -> tuple[NDArray[np.object_], NDArray[np.float32], list[str]]:
    """Read keys, shape (n,), answers, shape (n, D), and names of the numbers (or none).

    Raises
    ------
    InputError
        The file cannot be read, or does not hold keys and numbers.
    UsageError
        Its format is not known, or ids are missing or left over.
    """
    ending = path.suffix.lower()
    if not path.is_file():
        raise InputError(f"There is no file {path}.", "Give the table of answers.")
    if ending not in ENDINGS:
        raise unknown_value("format of answers", ending or path.name, ENDINGS)
    if (ids is not None) != (ending == ".npy"):
        raise UsageError(
            f"{path}: an array of .npy needs --ids, other tables have their own keys.",
            f"Give --ids a Parquet or CSV file with a column {KEY!r}."
            if ids is None
            else "Leave out --ids.",
        )
    if columns is not None and ending != ".parquet":
        raise UsageError("--columns are those of a Parquet table.", "Leave them out.")
    if ending == ".npy" and ids is not None:
        return _read_array(path, ids)
    return _read_parquet(path, columns) if ending == ".parquet" else _read_anndata(path)


def _read_parquet(
    path: Path, columns: Sequence[str] | None
) -> tuple[NDArray[np.object_], NDArray[np.float32], list[str]]:
    """Read keys and answers of a Parquet table: a column of lists, or numeric columns."""
    try:
        file = pq.ParquetFile(path)
        fields = {field.name: field.type for field in file.schema_arrow}
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            f"{path} cannot be read as Parquet: {error}.", "Write it again."
        ) from error
    if KEY not in fields:
        raise InputError(
            f"{path} has no column {KEY!r}; it has {', '.join(fields)}.",
            "Keep the key of every crop beside its answer.",
        )
    for name in columns or ():
        if name not in fields:
            raise unknown_value("column", name, [n for n in fields if n != KEY])
    lists = [n for n, kind in fields.items() if _is_list(kind)]
    numbers = [n for n, k in fields.items() if pa.types.is_floating(k) or pa.types.is_integer(k)]
    chosen = list(columns) if columns else lists[:1] or [n for n in numbers if n not in _THEIRS]
    if not chosen or (columns is None and len(lists) > 1):
        raise InputError(
            f"{path}: which columns are the answer? Lists: {', '.join(lists) or 'none'}; numbers: "
            f"{', '.join(numbers[:20]) or 'none'}.",
            "Name it with --columns.",
        )
    _require_size(path, _count_values(file.metadata, chosen))
    content = file.read([KEY, *chosen])
    keys = _keys(path, content.column(KEY).to_pandas())
    if len(chosen) == 1 and _is_list(fields[chosen[0]]):
        return keys, _lists(path, content.column(chosen[0])), []
    for name in chosen:
        if name not in numbers:
            raise InputError(f"{path}: column {name!r} is {fields[name]}.", "Give numbers.")
        if content.column(name).null_count:
            raise InputError(f"{path}: column {name!r} has empty places.", "Answer every crop.")
    parts = [content.column(name).to_numpy().astype(np.float32) for name in chosen]
    return keys, np.stack(parts, axis=1), chosen


def _count_values(metadata: pq.FileMetaData, columns: Sequence[str]) -> int:
    """Count the numbers in some columns, those in lists each, without reading them."""
    return sum(
        part.column(k).num_values
        for part in map(metadata.row_group, range(metadata.num_row_groups))
        for k in range(part.num_columns)
        if part.column(k).path_in_schema.split(".")[0] in columns
    )


_THEIRS = tuple(field.name for field in schema.exported_schema())
"""Columns of an export's own table, which may have been joined to the answers."""


def _is_list(kind: pa.DataType) -> bool:
    """Tell whether a column holds lists."""
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _lists(path: Path, column: pa.ChunkedArray) -> NDArray[np.float32]:
    """Turn a column of equally long lists of numbers into an array."""
    lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    if len(lengths) == 0 or column.null_count or len(set(lengths.tolist())) != 1 or not lengths[0]:
        raise InputError(
            f"{path}: answers are lists of {_some(sorted(set(lengths.tolist())))} numbers.",
            "Give every crop a list of as many.",
        )
    flat = pc.list_flatten(column)
    if not (pa.types.is_floating(flat.type) or pa.types.is_integer(flat.type)):
        raise InputError(f"{path}: answers are lists of {flat.type}.", "Give numbers.")
    values = flat.combine_chunks().to_numpy(zero_copy_only=False).astype(np.float32)
    return values.reshape(len(column), int(lengths[0]))


def _read_anndata(path: Path) -> tuple[NDArray[np.object_], NDArray[np.float32], list[str]]:
    """Read keys and answers of an AnnData file."""
    anndata = import_extra("anndata", "anndata", f"{path}")
    try:
        content = anndata.read_h5ad(path)
        _require_size(path, int(np.prod(content.X.shape)))
        dense = content.X.toarray() if hasattr(content.X, "toarray") else np.asarray(content.X)
        keys = content.obs[KEY] if KEY in content.obs else pd.Series(content.obs_names)
        names = list(map(str, content.var_names))
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} cannot be read as AnnData: {error}.", "Write it again."
        ) from error
    if dense.ndim != 2 or dense.dtype.kind not in "fiu" or not dense.shape[1]:
        raise InputError(f"{path}: X is {dense.dtype} {dense.shape}.", "Give crops × numbers in X.")
    return _keys(path, keys), dense.astype(np.float32), names


def _read_array(
    path: Path, ids: Path
) -> tuple[NDArray[np.object_], NDArray[np.float32], list[str]]:
    """Read answers of an array, and their keys beside it."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as an array of numbers: {error}.", "Save it with numpy.save."
        ) from error
    if array.ndim != 2 or array.dtype.kind not in "fiu" or not array.shape[1]:
        raise InputError(
            f"{path} is an array of {array.dtype}, {'×'.join(map(str, array.shape))}.",
            "Give crops × numbers.",
        )
    try:
        table = pd.read_parquet(ids) if ids.suffix == ".parquet" else pd.read_csv(ids, dtype=str)
    except (OSError, ValueError) as error:
        raise InputError(f"{ids} cannot be read: {error}.", "Give Parquet or CSV.") from error
    if KEY not in table:
        raise InputError(
            f"{ids} has no column {KEY!r}; it has {', '.join(map(str, table))}.",
            "The export's own trials.parquet will do, if the order is its own.",
        )
    if len(table) != len(array):
        raise InputError(
            f"{ids} has {len(table)} keys, {path} {len(array)} rows.", "Give one for each."
        )
    _require_size(path, array.size)
    return _keys(ids, table[KEY]), array.astype(np.float32), []


def _require_size(path: Path, numbers: int) -> None:
    """Refuse more answers than are held in memory."""
    if numbers * 4 > LARGEST:
        raise InputError(
            f"{path} has {numbers:,} numbers, more than {LARGEST:,} bytes as float32.",
            "Reduce them first, as by a principal component analysis.",
        )


def _keys(path: Path, keys: "pd.Series[Any]") -> NDArray[np.object_]:
    """Return keys as texts.

    Raises
    ------
    InputError
        One is empty.
    """
    if keys.isna().any():
        raise InputError(f"{path}: {int(keys.isna().sum())} keys are empty.", "Name every crop.")
    return keys.astype(str).to_numpy(dtype=object)


def _matched(
    path: Path, keys: NDArray[np.object_], wanted: NDArray[np.object_]
) -> NDArray[np.int64]:
    """Return the row of the answer to every crop.

    Raises
    ------
    InputError
        Crops without an answer, answers to no crop, or several to one; names some.
    """
    index = pd.Index(keys)
    twice = index[index.duplicated()].unique().tolist()
    foreign = index.difference(pd.Index(wanted), sort=False).tolist()
    rows = pd.Index(keys[~index.duplicated()]).get_indexer(pd.Index(wanted))
    missing = wanted[rows < 0].tolist()
    problems = [
        f"{len(some)} {words} ({_some(some)})"
        for some, words in (
            (missing, "crops of the export have no answer"),
            (foreign, "answers are of no crop of this export"),
            (twice, "crops have several answers"),
        )
        if some
    ]
    if problems:
        raise InputError(
            f"{path}: {'; '.join(problems)}.",
            "Answer every crop of this very export once; other settings or another store have "
            "other keys.",
        )
    return np.flatnonzero(~index.duplicated())[rows]


def _require_finite(
    path: Path, answers: NDArray[np.float32], keys: "pd.Series[Any]", names: Sequence[str]
) -> None:
    """Refuse answers that are not finite, or the same for every crop."""
    bad = np.argwhere(~np.isfinite(answers))
    if len(bad):
        row, column = bad[0]
        raise InputError(
            f"{path}: {len(bad)} numbers are not finite, the first of crop {keys.iloc[row]}, "
            f"{names[column] if names else f'number {column}'}.",
            "Answer every crop with finite numbers.",
        )
    if len(answers) > 1 and (answers == answers[0]).all():
        raise InputError(f"{path}: every crop has the same answer.", "Check the program.")


def _require_probabilities(path: Path, answers: NDArray[np.float32], names: Sequence[str]) -> None:
    """Refuse numbers that are no probabilities of named classes."""
    if not names:
        raise InputError(
            f"{path}: probabilities need the names of their classes.",
            "Give a column for each class, named after it.",
        )
    off = np.flatnonzero((answers < -1e-4).any(1) | (np.abs(answers.sum(1) - 1) > 1e-2))
    if len(off):
        raise InputError(
            f"{path}: {len(off)} rows are no probabilities; in one they add up to "
            f"{answers[off[0]].sum():.3g}.",
            "Give probabilities that add up to 1, or leave out --classes.",
        )


def _some(values: Sequence[Any]) -> str:
    """Name the first few of some values."""
    more = f" and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
    return ", ".join(map(str, values[:SHOWN])) + more
