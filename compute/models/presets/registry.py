"""Every preset by name: Human Protein Atlas, Cell Painting, OpenCell, and photographs.

Layer: data only. To add a preset, write it in a file of its subject here and list that file's
`PRESETS` below; the command line, the list of models and the tests follow.
"""

from collections.abc import Mapping
from itertools import chain
from types import MappingProxyType

from compute.errors import unknown_value
from compute.models.presets import microscopy, photographs, subcell
from compute.models.presets.preset import Preset

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        preset.name: preset
        for preset in chain(subcell.PRESETS, microscopy.PRESETS, photographs.PRESETS)
    }
)
"""Every preset by the name that `bystander models new --preset` takes."""


def preset_named(name: str) -> Preset:
    """Find a preset by name.

    Raises
    ------
    UsageError
        There is none.
    """
    if name not in PRESETS:
        raise unknown_value("preset", name, PRESETS)
    return PRESETS[name]
