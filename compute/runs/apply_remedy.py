"""A remedy in use: cured embeddings and answers of a run's cells, in a file for other programs.

Layer: has crops embedded (`remedy_crops`), the remedy fitted (`compute.remedies`), and writes one
file. Each cell is answered by the fold that holds its protein out.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from compute import schema
from compute.errors import InputError, UsageError, unknown_value
from compute.models.card_files import Model
from compute.models.loaders.extras import import_extra
from compute.probes.gather import shards
from compute.probes.multiclass import Multiclass
from compute.remedies.config import RemedyConfig
from compute.remedies.of_model import NO_MAP, fit_remedies, without_map
from compute.runs.engines import EngineConfig
from compute.runs.remedy_crops import RemedyCrops, remedy_crops
from compute.schema import Remedy
from compute.storage.atomic_files import Progress, silent, write_stream, writing
from compute.storage.run_directory import Notice, unheard

ENDINGS = (".parquet", ".h5ad")
"""What the file may be called, by which its format is chosen."""

OF_CELLS = ("protein", "orf", "localization", "field", "fold")
"""What the file says of a cell beside what was computed."""


def apply_remedy(
    store: Path | str,
    run: Path | str,
    out: Path | str,
    model: Model,
    remedy: str,
    config: RemedyConfig | None = None,
    *,
    work: Path | str | None = None,
    keep: bool = False,
    engine: EngineConfig | None = None,
    device: str = "auto",
    trusted: bool = False,
    progress: Progress = silent,
    notice: Notice = unheard,
) -> int:
    """Write what a remedy makes of every cell that a finished run has trials of.

    Parameters
    ----------
    store
        The crop store that the run was made from.
    run
        The finished run; its folds say which probe answers a cell.
    out
        The file: ``.parquet`` (columns of `compute.schema.cured_schema`), or ``.h5ad`` with the
        embeddings as X, the rest as obs and probabilities as obsm (extra ``anndata``).
    model
        One of the run's models: the name of a shipped one, or the path of its card.
    remedy
        One of `compute.schema.Remedy`; ``"none"`` for the model as it is. Embeddings are those
        that the remedy's probe gets: as they are for ``"balanced"`` and ``"projected"``, whose
        probes differ.
    config, work, keep, engine, device, trusted, progress, notice
        As for `compute.runs.remedies.try_remedies`.

    Returns
    -------
    int
        How many cells the file has.

    Raises
    ------
    UsageError
        There is no such remedy, the file is called otherwise, or the remedy does not apply to the
        model.
    BystanderError
        As for `try_remedies`.

    Examples
    --------
    >>> from compute import apply_remedy
    >>> apply_remedy("store", "my-run", "cured.parquet", "deeploc.toml", "centred") > 0
    True
    """
    path = Path(out)
    if path.suffix not in ENDINGS:
        raise UsageError(f"{path} ends in neither {' nor '.join(ENDINGS)}.", "Call it so.")
    if remedy not in set(Remedy):
        raise unknown_value("remedy", remedy, tuple(map(str, Remedy)))
    wanted = Remedy(remedy)
    if path.suffix == ".h5ad":
        import_extra("anndata", "anndata", str(path))
    with remedy_crops(
        store, run, [model], RemedyConfig() if config is None else config, work=work, keep=keep,
        engine=engine or EngineConfig(), device=device, trusted=trusted, progress=progress,
        notice=notice, every_cell=True,
    ) as crops:  # fmt: skip
        [tried] = crops.tried
        name = tried.model.name
        others = {r: other.name for r, other in tried.others.items() if r is wanted}
        vectors = without_map(crops.judge.run, name, others)
        if reason := tried.reasons.get(wanted) or (NO_MAP if vectors else ""):
            raise UsageError(
                f"{wanted} does not apply to {name!r}. {reason}",
                "Choose another remedy, or a card of another layer.",
            )
        probes, _ = fit_remedies(crops.judge, name, others, [wanted])
        if wanted not in probes:
            raise InputError(
                f"Model {name!r}: no probe can be fitted, for fewer than two classes can be tested "
                "or there are fewer than two folds.",
                "Give a run with more labelled proteins.",
            )
        tables = _tables(crops, wanted, others.get(wanted, name), probes[wanted])
        first = next(tables)
        layout = schema.cured_schema(_width(first), len(crops.judge.cells.names))
        count = 0

        def counted() -> Iterator[pa.Table]:
            nonlocal count
            for table in (first, *tables):
                count += len(table)
                yield table

        if path.suffix == ".parquet":
            write_stream(path, counted(), layout)
        else:
            _write_anndata(path, pa.concat_tables(counted()), crops, wanted, name)
    return count


def _width(table: pa.Table) -> int:
    """Return the length of a table's embeddings."""
    return int(table.schema.field("embedding").type.list_size)


def _tables(
    crops: RemedyCrops, remedy: Remedy, model: str, probe: Multiclass
) -> Iterator[pa.Table]:
    """Cure the cells of one shard after the other."""
    cells = crops.base.read("cells").to_pandas().set_index("cell")
    names = np.asarray(crops.judge.cells.names, object)
    for trials, vectors in shards(crops.judge.run, "embeddings", model):
        cell, features = crops.judge.cured(remedy, trials, vectors)
        answered = crops.judge.cells.folds.fold[cell] >= 0
        probabilities = np.full((len(cell), len(names)), np.nan, np.float32)
        probabilities[answered] = probe(features[answered], cell[answered])
        predicted = names[np.nan_to_num(probabilities).argmax(1)]
        columns = {"cell": pa.array(cell)}
        columns |= {key: pa.array(cells.loc[cell, key], from_pandas=True) for key in OF_CELLS}
        columns["predicted"] = pa.array(predicted, mask=~answered)
        for key, values in (("probabilities", probabilities), ("embedding", features)):
            flat = pa.array(np.ascontiguousarray(values, np.float32).ravel())
            columns[key] = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
        layout = schema.cured_schema(features.shape[1], len(names))
        yield pa.table({field.name: columns[field.name] for field in layout}).cast(layout)


def _write_anndata(
    path: Path, table: pa.Table, crops: RemedyCrops, remedy: Remedy, model: str
) -> None:
    """Write the cells as an AnnData file."""
    import anndata

    vectors = {
        name: np.stack(table[name].to_numpy(zero_copy_only=False))
        for name in ("embedding", "probabilities")
    }
    texts = [field.name for field in table.schema if field.type == pa.string()]
    obs = table.drop_columns([*vectors, *texts]).to_pandas()
    # AnnData writes no Arrow strings, which pandas makes of texts.
    for name in texts:
        values = table[name].to_pylist()
        known = pd.Index(sorted(set(values) - {None}), dtype=object)
        obs[name] = pd.Categorical(values, known)
    obs.index = pd.Index([str(cell) for cell in obs.pop("cell")], dtype=object, name="cell")
    units = [f"{model}_{k}" for k in range(vectors["embedding"].shape[1])]
    made = anndata.AnnData(
        X=vectors["embedding"],
        obs=obs,
        var=pd.DataFrame(index=pd.Index(units, dtype=object)),
        obsm={"probabilities": vectors["probabilities"]},
        uns={
            "classes": list(crops.judge.cells.names),
            "model": model,
            "remedy": str(remedy),
            "run": crops.base.meta["fingerprint"],
            "store": crops.store.fingerprint,
            "bystander_version": crops.base.meta["bystander_version"],
        },
    )
    with writing(path) as temporary:
        made.write_h5ad(temporary)
