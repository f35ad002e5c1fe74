"""Headers and tables that are other than they were, and sealed again: only the content is off."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compute.storage.atomic_files import sha256
from compute.storage.checksums import gather
from compute.storage.paths import RUN_FILE
from compute.storage.run_directory import RunDirectory
from compute.storage.sealed_json import SEAL, write_sealed


def header(folder: Path, name: str = RUN_FILE) -> dict[str, Any]:
    """Read a header, whatever its seal says."""
    meta = json.loads((folder / name).read_text("utf-8"))
    meta.pop(SEAL, None)
    return meta


def change_header(folder: Path, changes: Mapping[str, Any], name: str = RUN_FILE) -> None:
    """Write a header again with other entries, as if these had always been there."""
    write_sealed(folder / name, {**header(folder, name), **changes})


def reseal(folder: Path) -> None:
    """Record the checksums of a run's tables as they are now."""
    run = RunDirectory(folder)
    added = {name: sha256(run.summary(name)) for name in run.meta.get("added", {})}
    own = [path for path in run.tables() if path.stem not in added]
    run.record(checksums=gather(folder, own), added=added)
