"""Differences between the models of a synthetic run. Pure arrays, no result.

They follow from the shares of right answers that the other tables rest on.
"""

from collections.abc import Iterator
from itertools import combinations, product
from typing import Any

import numpy as np
import pyarrow as pa

from compute.schema import CONDITIONS, SUMMARY_TABLES, Condition, Probe
from compute.statistics.model_differences import quantities
from dashboard.bench.synthetic_cells import Drawn
from dashboard.bench.synthetic_config import PROTOCOLS
from dashboard.bench.synthetic_tables import estimate, right_shares, scopes


def differences(drawn: Drawn) -> dict[str, Iterator[pa.Table]]:
    """Return `model_differences`; without labels it has no rows."""
    rows: list[dict[str, Any]] = []
    models = drawn.config.models if drawn.config.labels else ()
    for protocol, probe in product(PROTOCOLS, Probe):
        shares = {name: right_shares(drawn, name, protocol, str(probe)) for name in models}
        for model, other in combinations(models, 2):
            key = {"model": model, "other": other, "protocol": protocol, "probe": str(probe)}
            for quantity, condition, weights in quantities(list(shares[model])):
                off = np.zeros(len(drawn.config.localizations))
                for name, weight in weights.items():
                    off += weight * (shares[model][name] - shares[other][name])
                (value, of), *_ = scopes(drawn, off)
                p = 0.0005 if abs(value) > 0.02 else 0.4
                spec = CONDITIONS[Condition(condition)]
                adjusted = 2 * p if spec.claimed or condition == Condition.UNALTERED else None
                tests = {"p_value": p, "p_holm": adjusted}
                named = {"quantity": str(quantity), "condition": condition}
                rows.append({**key, **named, **estimate(value), **tests, **of})
    table = pa.Table.from_pylist(rows, SUMMARY_TABLES["model_differences"])
    return {"model_differences": iter([table])}
