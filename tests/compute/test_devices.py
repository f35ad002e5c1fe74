"""Batch sizes: grown while they fit, halved where memory runs out, refused at one crop."""

from dataclasses import dataclass

import pytest
import torch

from compute.devices import FIRST, MOST, ON_CPU, BatchSize, Transfer, out_of_memory
from compute.errors import BystanderError

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def go_through(size, total, fits):
    """Take rows in batches on a device that holds `fits` of them; return the batches done."""
    done, start = [], 0

    def compute(rows):
        if rows > fits:
            raise torch.OutOfMemoryError(f"tried to allocate {rows} rows")

    while start < total:
        stop = min(start + size.now, total)
        after = size.attempt(lambda: compute(stop - start), start, stop)  # noqa: B023
        assert after in (start, stop)
        if after == stop:
            done.append((start, stop))
        start = after
    return done


@pytest.mark.parametrize("fits", [1, 3, 64, 100, 1000, 10**6])
def test_every_row_is_done_once_and_the_largest_power_of_two_is_found(fits):
    size = BatchSize(0, GPU)
    done = go_through(size, 20_000, fits)
    assert [start for start, _ in done] == [0, *(stop for _, stop in done[:-1])]
    assert done[-1][1] == 20_000
    assert size.now == min(MOST, 2 ** (fits.bit_length() - 1))


def test_a_size_that_was_asked_for_is_only_ever_halved():
    size = BatchSize(600, GPU)
    assert go_through(size, 1200, 10**6) == [(0, 600), (600, 1200)]
    go_through(size, 1200, 200)
    assert size.now == 150


def test_a_last_smaller_batch_does_not_grow_the_size():
    size = BatchSize(0, GPU)
    go_through(size, FIRST - 1, 10**6)
    assert size.now == FIRST


def test_a_cpu_takes_a_fixed_size():
    size = BatchSize(0, CPU)
    assert go_through(size, 3 * ON_CPU, 10**6)[-1] == (2 * ON_CPU, 3 * ON_CPU)
    assert size.now == ON_CPU


def test_one_crop_that_does_not_fit_names_the_device():
    with pytest.raises(BystanderError, match=r"one crop.*cuda.*tried to allocate 1 rows.*--device"):
        go_through(BatchSize(8, GPU), 8, 0)


def test_other_errors_are_not_taken_for_lack_of_memory():
    def mismatch():
        raise RuntimeError("size mismatch")

    with pytest.raises(RuntimeError, match="size mismatch"):
        BatchSize(0, GPU).attempt(mismatch, 0, 1)


@pytest.mark.parametrize(
    ("text", "lacking"),
    [
        ("MPS backend out of memory (MPS allocated: 9 GB)", True),
        ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes", True),
        ("mat1 and mat2 shapes cannot be multiplied", False),
    ],
)
def test_lack_of_memory_is_told_by_its_words(text, lacking):
    assert out_of_memory(RuntimeError(text)) == lacking


@dataclass
class Two:
    a: torch.Tensor
    b: torch.Tensor

    def moved(self, move):
        return Two(move(self.a), move(self.b))


def test_on_a_cpu_nothing_is_copied():
    tensors = Two(torch.zeros(3), torch.ones(2))
    transfer = Transfer(CPU)
    sent, arrived = transfer.send(tensors)
    transfer.wait(sent, arrived)
    assert sent is tensors


def test_other_devices_get_every_tensor():
    # `meta` stands for any device without streams, such as MPS.
    sent, arrived = Transfer(torch.device("meta")).send(Two(torch.zeros(3), torch.ones(2)))
    assert (sent.a.device.type, sent.b.device.type, arrived) == ("meta", "meta", None)
