"""Threads that keep a shard: every shard once, help at the end, errors, leaving early."""

from functools import partial
from threading import Barrier, Event, Lock, Timer, get_ident

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compute.embedding.shard_threads import ShardThreads

PATIENCE = 60


def no_errors(pairs):
    pairs = list(pairs)
    assert all(error is None for _, error in pairs)
    return [shard for shard, _ in pairs]


@given(size=st.integers(1, 5), counts=st.lists(st.integers(0, 7), max_size=9))
def test_every_shard_and_every_batch_is_done_once(size, counts):
    done, lock = [], Lock()

    def note(shard, batch):
        with lock:
            done.append((shard, batch))

    with ShardThreads(size) as workers:

        def do(shard):
            workers.share([partial(note, shard, batch) for batch in range(counts[shard])])

        assert sorted(no_errors(workers.do_each(do, range(len(counts))))) == list(
            range(len(counts))
        )
    expected = [(shard, batch) for shard, count in enumerate(counts) for batch in range(count)]
    assert sorted(done) == expected


def test_a_thread_without_a_shard_helps():
    together, threads = Barrier(2), set()

    def batch():
        threads.add(get_ident())
        together.wait(PATIENCE)  # two at the same time, or never

    with ShardThreads(2) as workers:
        assert no_errors(workers.do_each(lambda _: workers.share([batch] * 4), ["one"])) == ["one"]
    assert len(threads) == 2


def test_shards_are_taken_as_they_are_begun():
    taken = []

    def numbers():
        for number in range(20):
            taken.append(number)
            yield number

    with ShardThreads(3) as workers:
        going = workers.do_each(lambda _: None, numbers())
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

    with ShardThreads(2) as workers:
        found = dict(workers.do_each(do, range(100)))
    assert found[0] is None
    assert isinstance(found[1], ValueError)
    assert sorted(found) == sorted(begun)
    assert len(begun) <= 3


def test_a_batch_that_fails_fails_its_shard():
    def broken():
        raise ValueError("broken")

    with ShardThreads(2) as workers:
        batches = {"good": [lambda: None] * 5, "bad": [lambda: None, broken, lambda: None]}
        found = dict(workers.do_each(lambda shard: workers.share(batches[shard]), batches))
    assert found["good"] is None
    assert str(found["bad"]) == "broken"


def test_leaving_drops_what_nobody_has_taken():
    go, started, computed = Event(), Event(), []

    def slow():
        started.set()
        go.wait(PATIENCE)
        computed.append(1)

    def do(shard):
        if shard == "long":
            workers.share([slow] * 100)

    with ShardThreads(2) as workers:
        going = workers.do_each(do, ["short", "long"])
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
        with ShardThreads(2) as workers:
            no_errors(workers.do_each(lambda _: seen.append(torch.get_num_threads()), range(4)))
        assert seen == [1] * 4
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
