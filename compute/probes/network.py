"""The network probe: one hidden layer on standardised embeddings. Arrays to arrays, no files.

It finds in embeddings what no linear probe can. Its weights are drawn from a seed and fitted in one
thread, so on a CPU the same embeddings give the same answers.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

HIDDEN = 128
"""Width of the hidden layer."""

STEPS = 600
"""Steps of the fit, whatever the number of crops."""

BATCH = 256
"""Crops of a step, drawn with replacement."""

RATE, DECAY = 3e-3, 1e-2
"""Rate of the steps and decay of the weights (AdamW: Loshchilov and Hutter 2019)."""


class Network(nn.Module):
    """A network with one hidden layer.

    Parameters
    ----------
    mean, scale
        What embeddings are standardised with, shape (D,).
    known
        The classes that it knows, ascending, shape (classes,).
    """

    def __init__(self, mean: Tensor, scale: Tensor, known: NDArray[np.int64]) -> None:
        super().__init__()
        self.mean, self.scale, self.known = mean, scale, known
        self.hidden = nn.Linear(len(mean), HIDDEN)
        self.output = nn.Linear(HIDDEN, len(known))

    def forward(self, features: Tensor) -> Tensor:
        """Return scores of the known classes, shape (n, classes), of embeddings, shape (n, D)."""
        inside = torch.relu(self.hidden((features - self.mean) / self.scale))
        scores: Tensor = self.output(inside)
        return scores

    def answer(self, features: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the most probable class of each embedding, shape (n,), of shape (n, D)."""
        with torch.no_grad():
            return np.asarray(self.known[self(torch.from_numpy(features)).argmax(1).numpy()])


def fit_network(
    features: NDArray[np.float32], classes: NDArray[np.int64], seed: int = 0
) -> Network:
    """Fit a network.

    Parameters
    ----------
    features
        Embeddings to learn from, shape (n, D).
    classes
        Class of each, shape (n,).
    seed
        Decides the first weights and the crops of every step; any integer ≥ 0, by default 0.
    """
    known, place = np.unique(classes, return_inverse=True)
    x, y = torch.from_numpy(features), torch.from_numpy(place)
    scale = x.std(0, correction=0)
    network = Network(x.mean(0), torch.where(scale > 0, scale, 1.0), known)
    # A generator of its own, as folds are fitted in several threads.
    chance = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in (network.hidden, network.output):
            reach = layer.in_features**-0.5
            for values in (layer.weight, layer.bias):
                values.uniform_(-reach, reach, generator=chance)
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
    for step in torch.randint(len(x), (STEPS, min(BATCH, len(x))), generator=chance):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(x[step]), y[step]).backward()
        optimiser.step()
    return network


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch compute in one thread, in which sums have one order; so `fit_network` wants."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
