"""Threads that do units whole: every unit once, help at the end, errors, leaving early."""

from functools import partial
from threading import Barrier, Event, Lock, Timer, get_ident

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compute.embedding.shard_threads import Crew

PATIENCE = 60


def no_errors(pairs):
    pairs = list(pairs)
    assert all(error is None for _, error in pairs)
    return [unit for unit, _ in pairs]


@given(size=st.integers(1, 5), counts=st.lists(st.integers(0, 7), max_size=9))
def test_every_unit_and_every_batch_is_done_once(size, counts):
    done, lock = [], Lock()

    def note(unit, batch):
        with lock:
            done.append((unit, batch))

    with Crew(size) as crew:

        def do(unit):
            crew.batches([partial(note, unit, batch) for batch in range(counts[unit])])

        assert sorted(no_errors(crew.units(do, range(len(counts))))) == list(range(len(counts)))
    expected = [(unit, batch) for unit, count in enumerate(counts) for batch in range(count)]
    assert sorted(done) == expected


def test_a_thread_without_a_unit_helps():
    together, threads = Barrier(2), set()

    def batch():
        threads.add(get_ident())
        together.wait(PATIENCE)  # two at the same time, or never

    with Crew(2) as crew:
        assert no_errors(crew.units(lambda _: crew.batches([batch] * 4), ["one"])) == ["one"]
    assert len(threads) == 2


def test_units_are_taken_as_they_are_begun():
    taken = []

    def numbers():
        for number in range(20):
            taken.append(number)
            yield number

    with Crew(3) as crew:
        going = crew.units(lambda _: None, numbers())
        assert next(going)[0] in (0, 1, 2)
        assert len(taken) <= 6
        assert len(no_errors(going)) == 19


def test_after_an_error_none_is_begun_and_those_begun_are_finished():
    failed, begun = Event(), []

    def do(number):
        begun.append(number)
        if number == 1:
            failed.set()
            raise ValueError("broken")
        if number == 0:
            failed.wait(PATIENCE)

    with Crew(2) as crew:
        found = dict(crew.units(do, range(100)))
    assert found[0] is None
    assert isinstance(found[1], ValueError)
    assert sorted(found) == sorted(begun)
    assert len(begun) <= 3


def test_a_batch_that_fails_fails_its_unit():
    def broken():
        raise ValueError("broken")

    with Crew(2) as crew:
        batches = {"good": [lambda: None] * 5, "bad": [lambda: None, broken, lambda: None]}
        found = dict(crew.units(lambda unit: crew.batches(batches[unit]), batches))
    assert found["good"] is None
    assert str(found["bad"]) == "broken"


def test_leaving_drops_what_nobody_has_taken():
    go, started, computed = Event(), Event(), []

    def slow():
        started.set()
        go.wait(PATIENCE)
        computed.append(1)

    def do(unit):
        if unit == "long":
            crew.batches([slow] * 100)

    with Crew(2) as crew:
        going = crew.units(do, ["short", "long"])
        assert next(going) == ("short", None)
        assert started.wait(PATIENCE)
        Timer(0.2, go.set).start()
    assert len(computed) <= 2


@pytest.mark.parametrize("threads", [1, 2])
def test_pytorch_has_one_thread_in_each_and_its_own_again_afterwards(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        seen = []
        with Crew(2) as crew:
            no_errors(crew.units(lambda _: seen.append(torch.get_num_threads()), range(4)))
        assert seen == [1] * 4
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
