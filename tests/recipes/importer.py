"""An importer: one NumPy file a protein, its crops stacked."""

from tests.recipes.toy import Edit, Toy

READER = '''"""Imports stacks of crops, one NumPy file a protein.

What is in it
    ``PROTEIN.npy``, N×2×64×64 numbers: crops of two channels, GFP and a
    marker of every cell. No masks: cells are found in the marker.
What is not there
    Localizations and images: the cells of a file count as one field.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np

from compute.errors import InputError
from compute.importers.chunks import Chunk, ImportSpec
from compute.importers.part_builder import Crop, PartBuilder
from compute.importers.run_import import ImportOptions, ImportReport, Listing, run_import
from compute.importers.tiff import CropRejected
from compute.store.part import StoreFormat


@dataclass(frozen=True)
class _Reader:
    def read(self, items: Sequence[Path], builder: PartBuilder) -> None:
        """Add the crops of each file."""
        for path in items:
            for number, image in enumerate(np.load(path, allow_pickle=False)):
                builder.part.found += 1
                try:
                    builder.add(Crop(image.astype(np.float32), path.stem, path.stem))
                except CropRejected as rejected:
                    builder.part.reject(rejected.reason, f"{path.name}, {number}")


def import_stacks(source: Path, out: Path, **options: Unpack[ImportOptions]) -> ImportReport:
    """Write a crop store from a folder of stacks.

    Parameters
    ----------
    source
        The folder.
    out
        Folder of the store to make.
    **options
        Those of every importer: `compute.importers.run_import.run_import`.

    Returns
    -------
    ImportReport
        What was stored, what was rejected and why.

    Raises
    ------
    InputError
        No stack in the folder.

    Examples
    --------
    >>> from compute import import_stacks
    >>> report = import_stacks("stacks", "store")  # doctest: +SKIP
    """
    paths = sorted(Path(source).glob("*.npy"))
    if not paths:
        raise InputError(f"{source}: no .npy file in it.", "Give a folder of stacks.")
    spec = ImportSpec("stacks", StoreFormat(("GFP", "RFP"), 64, "float32"), _Reader(), 1)
    chunks = [Chunk([path], number) for number, path in enumerate(paths, 1)]
    known = {"files": [path.name for path in paths]}
    listing = Listing(lambda: chunks, "files", len(paths), known)
    return run_import(Path(out), spec, listing, **options)
'''

VERB = '''@imports.command(name="stacks")
def import_stacks(
    source: Annotated[Path, typer.Argument(help="Folder of NumPy files, one a protein.")],
    store: NewStore,
    overwrite: Overwrite = False,
    fresh: FreshImport = False,
    jobs: ImportJobs = None,
) -> None:
    """Import stacks of crops, one NumPy file a protein.

    Example: bystander import stacks FOLDER store
    """
    from compute.importers.stacks import import_stacks as read

    import_with(read, source, store, overwrite=overwrite, fresh=fresh, jobs=jobs)


'''

TOY = Toy(
    recipe="An importer",
    edits=(
        Edit("compute/importers/stacks.py", READER),
        Edit("compute/cli/stores.py", VERB, before='@imports.command(name="chong")'),
        Edit(
            "compute/__init__.py",
            '    "import_stacks": "compute.importers.stacks",\n',
            before='    "list_models": ',
        ),
        Edit(
            "compute/__init__.py",
            "    from compute.importers.stacks import import_stacks as import_stacks\n",
            before="    from compute.models.card_files import list_models as list_models",
        ),
        Edit(
            "docs/data.md",
            "bystander import stacks crops store\n",
            before="bystander import cytoself crops store",
        ),
        Edit(
            "docs/python.md",
            "| `bystander import stacks` | `compute.import_stacks` |\n",
            before="| `bystander import chong` |",
        ),
        Edit("ARCHITECTURE.md", "`stacks`, ", before="`manifest` (`manifest_table`), `pifia`"),
    ),
    tests=(
        "tests/test_docs.py",
        "tests/test_public_names.py",
        "tests/compute/cli/test_cli.py::test_every_command_has_help_with_an_example_that_is_right",
    ),
    script="""
import tempfile
from pathlib import Path
import numpy as np
from compute import CropStore, import_stacks, simulate

folder = Path(tempfile.mkdtemp())
simulate(folder / "drawn", proteins_per_class=1, cells_per_protein=4, seed=1, workers=1)
pixels = CropStore(folder / "drawn").arrays().images
(folder / "stacks").mkdir()
np.save(folder / "stacks" / "AAC1.npy", np.asarray(pixels[:4], np.float32))
report = import_stacks(folder / "stacks", folder / "store", jobs=1)
assert report.stored == 4, report
assert set(CropStore(folder / "store").cells["protein"]) == {"AAC1"}
""",
)
