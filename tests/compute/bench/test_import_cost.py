"""What an import costs: the sources are sound and the figures are measured."""

import pytest

from compute.bench.import_cost import WRITERS, measure_import
from compute.errors import UsageError
from compute.store.reader import CropStore


@pytest.mark.parametrize("kind", WRITERS)
def test_a_source_depends_on_its_seed_alone(kind, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        WRITERS[kind](tmp_path / name, 6, seed)
    found = {
        name: [p.read_bytes() for p in sorted((tmp_path / name).rglob("*")) if p.is_file()]
        for name in "abc"
    }
    assert found["a"] == found["b"]
    assert len(found["a"]) == len(found["c"])
    assert found["a"] != found["c"]


@pytest.mark.long
@pytest.mark.parametrize("kind", WRITERS)
def test_an_import_is_measured(kind, tmp_path):
    cost = measure_import(kind, 30, tmp_path, jobs=1)
    store = CropStore(tmp_path / f"{kind}-30-0-store")
    assert store.meta["counts"]["cells"] == cost.crops == 30
    assert store.usable.mean() > 0.8
    assert 0.1 < cost.cpu_seconds < 60
    assert cost.seconds_per_million == pytest.approx(cost.seconds / 30e-6)
    # No Python with Arrow and scikit-image in it is smaller, and no 30 crops need more.
    assert 50e6 < cost.peak < 2e9


def test_unknown_kinds_are_named(tmp_path):
    with pytest.raises(UsageError, match=r"kind of source 'pifa'.*pifia, chong"):
        measure_import("pifa", 3, tmp_path, jobs=1)
