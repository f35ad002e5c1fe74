"""Checkpoints: what an interrupted training goes on from.

Layer: one safetensors file, which holds tensors and JSON.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from compute.errors import ChangedError, InputError
from compute.models.networks.blocks import LayeredNetwork
from compute.models.weights import load_weights, save_tensors, weights_of


@dataclass
class TrainingState:
    """Where a training stands.

    Parameters
    ----------
    network, optimiser
        The network and Adam after the last finished epoch.
    best
        Weights by key of the epoch with the lowest validation loss; empty before the first.
    history
        One row for each finished epoch, with at least `validation_loss`.
    """

    network: LayeredNetwork
    optimiser: torch.optim.Adam
    best: dict[str, Tensor]
    history: list[dict[str, Any]]

    @property
    def best_loss(self) -> float:
        """Lowest validation loss so far; infinite before the first epoch."""
        return min((row["validation_loss"] for row in self.history), default=float("inf"))

    @property
    def epochs_since_best(self) -> int:
        """Number of epochs since the validation loss was lowest."""
        losses = [row["validation_loss"] for row in self.history]
        return len(losses) - 1 - losses.index(min(losses)) if losses else 0


def save_state(path: Path, state: TrainingState, configuration: Mapping[str, Any]) -> None:
    """Write everything that a resumed training needs.

    Parameters
    ----------
    path
        The file; it appears whole or not at all.
    state
        Where the training stands.
    configuration
        What a resumed training must have in common with this one; JSON.
    """
    tensors = {f"network/{k}": t for k, t in weights_of(state.network).items()}
    tensors |= {f"best/{k}": t for k, t in state.best.items()}
    for number, values in state.optimiser.state_dict()["state"].items():
        tensors |= {f"adam/{number}/{k}": t for k, t in values.items()}
    plain = {k: t.detach().cpu().contiguous() for k, t in tensors.items()}
    about = {"configuration": configuration, "history": state.history}
    save_tensors(path, plain, {"training": json.dumps(about)})


def restore_state(path: Path, state: TrainingState, configuration: Mapping[str, Any]) -> None:
    """Put a training back to where a checkpoint left it.

    Parameters
    ----------
    path
        The checkpoint.
    state
        A fresh training; changed in place.
    configuration
        Must equal the one of the checkpoint.

    Raises
    ------
    InputError
        The file is damaged, or its weights belong to another network.
    ChangedError
        The checkpoint was begun with another configuration; names what differs.
    """
    groups: dict[str, dict[str, Tensor]] = {"network": {}, "best": {}, "adam": {}}
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()["training"])
            if about["configuration"] == configuration:
                for key in file.keys():  # noqa: SIM118 - the file is no mapping
                    group, _, rest = key.partition("/")
                    groups[group][rest] = file.get_tensor(key)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as a training checkpoint: {error}.",
            "Start afresh with --no-resume.",
        ) from error
    changed = [k for k, v in configuration.items() if about["configuration"].get(k) != v]
    if changed:
        raise ChangedError(
            f"{path} was begun with another {', '.join(changed)}.",
            "Give the same options, another --out, or start afresh with --no-resume.",
        )
    load_weights(state.network, groups["network"], str(path))
    state.best = groups["best"]
    moments: dict[int, dict[str, Tensor]] = {}
    for key, tensor in groups["adam"].items():
        number, _, rest = key.partition("/")
        moments.setdefault(int(number), {})[rest] = tensor
    state.optimiser.load_state_dict({**state.optimiser.state_dict(), "state": moments})
    state.history = about["history"]
