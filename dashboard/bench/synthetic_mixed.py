"""Proteins with mixed localization of a synthetic run. Tables, no files."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from compute.schema import MIXED_SHIFTS, VARIATION
from compute.statistics.config import ALPHA
from compute.statistics.variation import mixed_rows
from dashboard.bench.columns import take
from dashboard.bench.synthetic_cells import Drawn
from dashboard.bench.synthetic_tables import shift_tables


def mixed_tables(drawn: Drawn) -> dict[str, Iterator[pa.Table]]:
    """Return `variation`, in which one protein in ten varies, and `mixed_shifts`."""
    rng = np.random.default_rng((drawn.config.seed, 9))
    count = drawn.config.all_proteins
    log_e = np.where(rng.random(count) < 0.1, rng.uniform(5, 20, count), rng.uniform(-3, 1, count))
    p = np.exp(-np.maximum(log_e, 0))
    columns = {
        "protein": take(drawn.names, np.arange(count)),
        "orf": take(drawn.orfs, np.arange(count)),
        "labels": drawn.labels,
        "best": take(drawn.config.localizations, drawn.classes[:, 0]),
        "log_e": pa.array(log_e),
        "p_value": pa.array(p),
        "q_value": pa.array(np.minimum(1, 2 * p)),
        "n_cells": pa.array(np.full(count, drawn.config.cells)),
    }
    variation = (
        pa.table(
            {"model": pa.repeat(model, count), **columns},
        ).select(VARIATION.names).cast(VARIATION)
        for model in drawn.config.models
    )  # fmt: skip
    varying = {
        name for name, q in zip(columns["protein"].to_pylist(), 2 * p, strict=True) if q <= ALPHA
    }
    return {"variation": variation, "mixed_shifts": _mixed(drawn, varying)}


def _mixed(drawn: Drawn, varying: set[str]) -> Iterator[pa.Table]:
    """Count the shifts of each model, condition and protocol."""
    for table in shift_tables(drawn):
        frame = table.to_pandas()
        key = {name: frame[name].iloc[0] for name in ("model", "condition", "protocol")}
        rows = [{**key, **row} for row in mixed_rows(frame, varying)]
        yield pa.Table.from_pylist(rows, MIXED_SHIFTS)
