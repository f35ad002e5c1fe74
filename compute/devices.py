"""Devices: which one to compute on, how many cores, how large a batch, how tensors get there.

Layer: knows devices, nothing of crops or models. No files.
"""

import os
from collections.abc import Callable
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compute.errors import BystanderError, UsageError

ON_CPU = 32
"""Crops per forward pass of one CPU thread, where no number is asked for.

Activations of that many stay in the processor's caches: 1.3 to 2 times as many crops a second as
in batches of 256, with the same values bit for bit (measured on the three networks, width 0.25).
"""

FIRST, MOST = 64, 4096
"""Crops per forward pass of an accelerator that are tried first, and at most."""


class Movable(Protocol):
    """A set of tensors that are moved together."""

    def moved(self, move: Callable[[Tensor], Tensor]) -> Self:
        """Return the set with a function applied to every tensor."""


Moving = TypeVar("Moving", bound=Movable)


def choose_device(name: str) -> torch.device:
    """Return the device to compute on.

    Parameters
    ----------
    name
        ``"auto"`` (CUDA, then Apple's MPS, then CPU) or a PyTorch device name.

    Raises
    ------
    UsageError
        The device is unknown, or this machine does not have it.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
        if torch.backends.mps.is_available():
            name = "mps"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"Device {name!r} cannot be used: {str(error).splitlines()[0]}.",
            "Allowed: auto, cpu, cuda, cuda:N, mps, where the machine has them.",
        ) from error
    return device


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class BatchSize:
    """How many crops a device takes at once: a number asked for, or one found by trying.

    On an accelerator the size is doubled after every batch that fits, up to `MOST`, and halved
    where memory runs out, from then on for good.

    Parameters
    ----------
    asked
        Crops per forward pass; 0 has the number found.
    device
        The device.
    of
        What is counted, for messages; ``"crop"`` by default.

    Attributes
    ----------
    now : int
        Crops to take at once.
    """

    def __init__(self, asked: int, device: torch.device, of: str = "crop") -> None:
        self._device, self._of = device, of
        self._growing = asked == 0 and device.type != "cpu"
        self.now = asked or (FIRST if self._growing else ON_CPU)

    def attempt(self, compute: Callable[[], None], start: int, stop: int) -> int:
        """Compute a batch, and choose the size of the next.

        Parameters
        ----------
        compute
            Computes the batch.
        start, stop
            Its rows.

        Returns
        -------
        int
            First row of the next batch: `stop`, or `start` if the batch did not fit.

        Raises
        ------
        BystanderError
            Not even one crop fits.
        """
        try:
            compute()
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            small = error
        else:
            if self._growing and stop - start == self.now:
                self.now = min(2 * self.now, MOST)
            return stop
        # Outside the handler: the exception would keep the failed batch in memory.
        if self.now == 1:
            raise BystanderError(
                f"Not even one {self._of} at a time fits into the memory of {self._device}: "
                f"{small}.",
                "Free it (other processes use it too), or choose --device cpu.",
            ) from small
        self.now = max(1, min(self.now, stop - start) // 2)
        self._growing = False
        _release(self._device)
        return start


class Transfer:
    """Copies tensors to a device while it computes.

    Parameters
    ----------
    device
        The device that they are copied to.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def send(self, tensors: Moving) -> tuple[Moving, "torch.cuda.Event | None"]:
        """Begin to copy tensors to the device.

        Parameters
        ----------
        tensors
            On the CPU.

        Returns
        -------
        tensors, arrived
            The tensors on the device, and the event that they have arrived, both for `wait`; None
            instead of an event where they are there already.
        """
        if self._device.type == "cpu":
            return tensors, None
        if self._stream is None:
            return tensors.moved(lambda t: t.to(self._device)), None
        with torch.cuda.stream(self._stream):
            moved = tensors.moved(lambda t: t.pin_memory().to(self._device, non_blocking=True))
            return moved, self._stream.record_event()

    def wait(self, tensors: Movable, arrived: "torch.cuda.Event | None") -> None:
        """Make what is computed from now on wait until tensors from `send` have arrived."""
        if arrived is None:
            return
        here = torch.cuda.current_stream(self._device)
        here.wait_event(arrived)

        def record_use(tensor: Tensor) -> Tensor:
            tensor.record_stream(here)
            return tensor

        tensors.moved(record_use)


def copied(array: NDArray[Any], device: torch.device) -> Tensor:
    """Copy a small array to a device, without waiting for what a GPU still computes.

    `Tensor.to` alone waits, and the GPU is idle until the next batch is ready; CUDA has read memory
    that is not pinned when the call returns. On the CPU the tensor shares the array's memory.
    """
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.to(device, non_blocking=device.type == "cuda")


def out_of_memory(error: RuntimeError) -> bool:
    """Return whether an error is a device's lack of memory (MPS and CPU have no type for it)."""
    words = ("out of memory", "can't allocate memory")
    return isinstance(error, torch.OutOfMemoryError) or any(w in str(error) for w in words)


def _release(device: torch.device) -> None:
    """Free the memory of a device that PyTorch keeps for later."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
