"""What a person can say of a source of fields, whatever its layout. No files."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PresetOptions:
    """Options of all layouts; those that do not concern one are left out there.

    Parameters
    ----------
    images
        Folder of the images that a table names; None, the default, is the source's own.
    labels
        Folder of the label images; None, the default, is where the layout has them.
    objects
        Which objects of a table are cells; None, the default, leaves it to the layout.
    channels
        Names of channels that are asked for; None, the default, for all.
    cells
        Table of cells; None by default.
    protein_column, class_column
        Columns that name the protein and the class; None, the default, knows them by name.
    """

    images: Path | None = None
    labels: Path | None = None
    objects: str | None = None
    channels: tuple[str, ...] | None = None
    cells: Path | None = None
    protein_column: str | None = None
    class_column: str | None = None
