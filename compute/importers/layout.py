"""What is known of a layout of files before it is used, and what a person says of a source.

A module is loaded if used.

The registries are `compute.importers.presets.registry` and `compute.importers.layouts.registry`.
"""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

from compute.errors import UsageError

COLUMNS = ("protein_column", "class_column")


@dataclass(frozen=True)
class LayoutOptions:
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


@dataclass(frozen=True)
class Layout:
    """A layout of files, as a microscope or program writes them.

    Parameters
    ----------
    name
        As on the command line.
    source
        What a reader gives, in words, for help.
    about
        What it reads, in a sentence.
    example
        Options of an example after ``bystander import NAME``.
    uses
        Fields of `LayoutOptions` that it reads, beside `channels` and `cells`.
    """

    name: str
    source: str
    about: str
    example: str
    uses: tuple[str, ...]

    def load(self, package: str, options: LayoutOptions) -> ModuleType:
        """Return the module that lists sources of this layout.

        Parameters
        ----------
        package
            The package that it lies in.
        options
            What a person says of the source.

        Raises
        ------
        UsageError
            An option is given that this layout has no use for.
        """
        for name in ("images", "labels", "objects", *COLUMNS):
            # A table of cells has columns of its own.
            elsewhere = name in COLUMNS and options.cells is not None
            if getattr(options, name) is not None and name not in self.uses and not elsewhere:
                raise UsageError(
                    f"--{name.replace('_', '-')} does not concern {self.name}.",
                    f"See `bystander import {self.name} --help`.",
                )
        return import_module(f"{package}.{self.name.replace('-', '_')}")
