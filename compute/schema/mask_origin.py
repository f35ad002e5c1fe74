"""Where a store's masks come from, in words. No files."""

from collections.abc import Mapping
from typing import Any


def mask_origin(source: Mapping[str, Any] | None) -> str | None:
    """Say how many of a store's masks came with its crops, and how many were found by Bystander.

    Parameters
    ----------
    source
        `source` of `store.json`: `masks` with the numbers `given` and `segmented`, and `marker`,
        the channel in which cells are found.

    Returns
    -------
    str or None
        A sentence; None of a store that was made before these were counted, or has no masks.

    Examples
    --------
    >>> mask_origin({"masks": {"given": 0, "segmented": 300}, "marker": "RFP"})
    'All 300 masks were found by Bystander in the channel RFP; none came with the crops.'
    """
    masks = (source or {}).get("masks") or {}
    given, found = int(masks.get("given", 0)), int(masks.get("segmented", 0))
    if source is None or given + found == 0:
        return None
    where = f" in the channel {source['marker']}" if source.get("marker") else ""
    if found == 0 and source.get("simulated"):
        return f"All {given:,} masks are known: the cells are simulated."
    if found == 0:
        return f"All {given:,} masks came with the crops."
    if given == 0:
        return f"All {found:,} masks were found by Bystander{where}; none came with the crops."
    were = "was" if found == 1 else "were"
    return (
        f"Of the {given + found:,} masks {found:,} {were} found by Bystander{where}; the others "
        "came with the crops."
    )
