"""Several readers at once on the local address."""

import pytest

from compute.errors import BystanderError, UsageError
from dashboard.bench import load
from dashboard.bench.load import Load, Loaded
from dashboard.bench.measure import served
from dashboard.bench.reader import Reader
from tests.dashboard.opening import DEMO


def test_what_a_load_is_judged_by():
    found = Loaded(Load(), [0.1] * 100, [], [100.0] * 20 + [105.0] * 20, alone=0.08)
    assert [row.met for row in load.rows(found)] == [True, True, True]
    found.waits = [0.1] * 90 + [0.2] * 10
    found.memory = [100.0] * 20 + [120.0] * 20
    found.problems = ["a page failed"]
    assert [row.met for row in load.rows(found)] == [False, False, False]
    assert not next(iter(load.rows(Loaded(Load())))).met


def test_impossible_loads_are_refused():
    for wrong in ({"sessions": 0}, {"seconds": 0}, {"pause": -1}):
        with pytest.raises(UsageError):
            Load(**wrong)


def test_no_dashboard_there():
    with pytest.raises(BystanderError, match="No dashboard"):
        Reader("http://127.0.0.1:9")


@pytest.mark.long
def test_a_reader_follows_addresses_and_notices_problems():
    with served(DEMO) as (address, _), Reader(address) as reader:
        first = reader.visit("proteins", {})
        assert not first.problems
        with Reader(address) as typing:  # an address written by hand begins a session
            chosen = typing.visit("proteins", {"protein": "no such gene"})
        assert "which this run does not have" in chosen.problems[0]
        assert reader.visit("no-such-page", {}).problems
        again = reader.visit("accuracy", {"condition": "Masked"})
        assert not again.problems
        assert again.charts > first.charts


@pytest.mark.long
def test_eight_readers_at_once():
    found = load.together(DEMO, Load(8, 20.0, pause=1.0), warm=2)
    assert found.problems == []
    assert len(found.waits) > 8
    assert found.memory
    early = found.memory[len(found.memory) // 5]
    assert found.memory[-1] < 1.3 * early
