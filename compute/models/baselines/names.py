"""Names of baselines, wherever a model's name is taken: ``handcrafted``, ``untrained:deeploc#3``.

Layer: texts; needs no torch. `compute.models.card_files.find_model` makes their cards.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

from compute.errors import UsageError
from compute.models.sources import SOURCES, UNTRAINED

MEASURED: Mapping[str, str] = MappingProxyType(
    {name: source.title for name, source in SOURCES.items() if source.by_scene}
)
"""Baselines without a network, in words, by name."""

UNTRAINED_WORDS = (
    "a network with random weights: NAME is pifia, paired_cell, deeploc, timm:ARCHITECTURE or the "
    "path of a card; #3 behind it draws other weights than #0, the default"
)


def is_baseline(text: str) -> bool:
    """Tell whether a model's name is that of a baseline."""
    return text in MEASURED or text.startswith(f"{UNTRAINED}:")


def split_untrained(text: str) -> tuple[str, int]:
    """Part ``untrained:NAME#SEED`` into its name and its seed, 0 where none is said.

    Raises
    ------
    UsageError
        The name is missing, or the seed is no whole number from 0.
    """
    name = text.removeprefix(f"{UNTRAINED}:")
    before, mark, seed = name.rpartition("#")
    if not mark or seed.endswith(".toml"):
        before, seed = name, "0"
    if not before or not re.fullmatch(r"[0-9]{1,9}", seed):
        raise UsageError(
            f"{text!r} is not the name of an untrained network.",
            f"Write {UNTRAINED}:NAME or {UNTRAINED}:NAME#SEED, such as {UNTRAINED}:deeploc#3.",
        )
    return before, int(seed)


def untrained_name(of: str, seed: int) -> str:
    """Return the name that an untrained network has in runs: ``untrained-deeploc-3``."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", of)
    return f"{UNTRAINED}-{plain}" + (f"-{seed}" if seed else "")
