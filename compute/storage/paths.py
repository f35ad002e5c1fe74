"""Where every file of a crop store, a run and an export lies. Pure paths: nothing is touched.

No other file of the two packages spells such a path (a test sees to that).
"""

from pathlib import Path

from compute.schema import ADDED_TABLES, SUMMARY_TABLES, Reading

STORE_FILE = "store.json"
"""What makes a folder a crop store."""

RUN_FILE = "run.json"
"""What makes a folder a run directory."""

EXPORT_FILE = "export.json"
"""What makes a folder an export of crops."""

MANIFEST = "checksums.sha256"
"""Checksums of a finished run's tables, in the format of `sha256sum`."""

PER_MODEL = ("predictions", "embeddings")
"""Tables with a folder per model, whose name holds the column `model`."""

PARTS = ("trials", "embeddings", "predictions")
"""Tables of many files."""

WORK = "work"
"""Folder of what only an unfinished run needs."""

SECOND: dict[Reading, str] = {reading: f"{WORK}/{reading}" for reading in Reading}
"""Tables of the embeddings of trials that are read again, by how."""

SECOND_PREDICTIONS: dict[Reading, str] = {r: f"{WORK}/{r}_predictions" for r in Reading}
"""Tables of what probes answer to them."""

DEEPEST = 4
"""Folders between a run's deepest table and what holds the run: `work/scaled/model=M` and it."""

_SHARDS = "part-*.parquet"

RUN_TABLES: dict[str, str] = {
    "cells": "cells.parquet",
    "trials": f"trials/{_SHARDS}",
    "embeddings": f"embeddings/model=*/{_SHARDS}",
    "predictions": f"predictions/model=*/{_SHARDS}",
    **{name: f"{name}.parquet" for name in (*SUMMARY_TABLES, *ADDED_TABLES)},
}
"""Tables of a run directory, each with where it lies, as a glob below the directory."""


def checksum_file(path: Path) -> Path:
    """Return where the checksum of a table of an unfinished run lies: hidden, beside it."""
    return path.with_name(f".{path.name}.sha256")


def stays_here(name: str) -> bool:
    """Tell whether a file of a run is of use on one machine only, such as uncompressed pixels.

    Parameters
    ----------
    name
        The file's path below the run directory, with forward slashes.
    """
    return name.startswith(f"{WORK}/") and not name.endswith((".parquet", ".parquet.sha256"))


class StorePaths:
    """The files of a crop store, there or not.

    Parameters
    ----------
    path
        The store's folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def header(self) -> Path:
        """What the store is: channels, size, counts, its files with their checksums."""
        return self.path / STORE_FILE

    @property
    def cells(self) -> Path:
        """The table `cells`."""
        return self.path / "cells.parquet"

    @property
    def truth(self) -> Path:
        """The table `truth`, which simulated stores have."""
        return self.path / "truth.parquet"

    def shard(self, kind: str, number: int) -> Path:
        """Return the path of one file of ``"crops"`` or ``"windows"``, counted from 0."""
        return self.path / f"{kind}-{number:05d}.parquet"


class ExportPaths:
    """The files of exported crops, there or not.

    Parameters
    ----------
    path
        The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def header(self) -> Path:
        """`export.json`: what was exported, of which store and with which settings."""
        return self.path / EXPORT_FILE

    @property
    def trials(self) -> Path:
        """The table that says which crop is which trial."""
        return self.path / "trials.parquet"

    @property
    def zarr(self) -> Path:
        """The folder of an OME-Zarr image of all crops."""
        return self.path / "crops.ome.zarr"

    @property
    def h5sc(self) -> Path:
        """A file of single cells as scPortrait has it."""
        return self.path / "single_cells.h5sc"

    def tiff(self, number: int) -> Path:
        """Return the path of an OME-TIFF of one shard's crops, counted from 0."""
        return self.path / f"crops-{number:05d}.ome.tif"


class RunPaths:
    """The files of a run directory, there or not.

    Parameters
    ----------
    path
        The folder.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    @property
    def header(self) -> Path:
        """`run.json`: what the run is and how far it has come."""
        return self.path / RUN_FILE

    @property
    def manifest(self) -> Path:
        """The checksums of a finished run's tables."""
        return self.path / MANIFEST

    @property
    def pixels(self) -> Path:
        """Folder for a store's uncompressed pixels while the run is made."""
        return self.path / WORK / "pixels"

    def folder(self, table: str, model: str | None = None) -> Path:
        """Return the folder of a table of many files, or of one model's files of it."""
        return self.path / table if model is None else self.path / table / f"model={model}"

    def part(self, table: str, number: int, model: str | None = None) -> Path:
        """Return the path of one shard of a table."""
        return self.folder(table, model) / f"part-{number:05d}.parquet"

    def parts(self, table: str, model: str | None = None) -> list[Path]:
        """Return the shards of a table that are there, in order."""
        return sorted(self.folder(table, model).glob(_SHARDS))

    def below(self, folder: str) -> list[Path]:
        """Return the tables that are there below one of `PARTS` or `WORK`, in order."""
        found = sorted((self.path / folder).rglob("*.parquet"))
        return [file for file in found if not file.name.startswith(".")]

    def summary(self, table: str) -> Path:
        """Return the path of a table that is one file."""
        return self.path / f"{table}.parquet"

    def files(self, table: str) -> list[Path]:
        """Return the files that one of `RUN_TABLES` has now, of all models, in order."""
        return sorted(self.path.glob(RUN_TABLES[table]))

    def has(self, table: str) -> bool:
        """Whether one of `RUN_TABLES` has any file."""
        return next(self.path.glob(RUN_TABLES[table]), None) is not None

    def folders(self, table: str) -> list[Path]:
        """Return the folders of one of `PARTS` that are there, of all models, in order."""
        return sorted(self.path.glob(str(Path(RUN_TABLES[table]).parent)))

    def pairs(self, kind: str, model: str, condition: str) -> Path:
        """Return where one model's and condition's rows of a probe lie.

        Parameters
        ----------
        kind
            ``"pairwise"``, ``"tallies"`` or ``"donors"``; of other probes ``"knn_scores"``,
            ``"knn_donors"`` and so on.
        model, condition
            Their names.
        """
        return self.path / WORK / kind / f"{model}-{condition}.parquet"

    def fits(self, model: str, condition: str) -> Path:
        """Return where it says how one model's and condition's pair tests were fitted."""
        return self._fits / f"{model}-{condition}.json"

    def all_fits(self) -> list[Path]:
        """Return those files of `fits` that are there, in order."""
        return sorted(self._fits.glob("[!.]*.json"))

    @property
    def _fits(self) -> Path:
        return self.path / WORK / "fits"

    def probed(self, model: str) -> Path:
        """Return the mark that a model's probes are done: it is of one session alone."""
        return self.path / WORK / "probed" / model

    def made_after(self, file: Path) -> int:
        """Order a table's file among those it is made of: 0, 1 or 2; later ones need earlier."""
        first, *rest = file.relative_to(self.path).parts
        if first in ("trials", "embeddings") or "/".join((first, *rest[:1])) in SECOND.values():
            return 0
        return 1 if first in ("predictions", WORK) else 2

    def moved(self, table: str, model: str) -> Path:
        """Return where one model's rows of `shifts`, `truth` or `distributions` lie."""
        return self.path / WORK / "proteins" / f"{table}-{model}.parquet"
