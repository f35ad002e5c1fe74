"""Whether a foreign network answers every crop by itself and always alike, tried on two crops.

Layer: tensors in, errors out; knows no card. What is tested later is how an answer changes with the
neighbours in a crop, so nothing else may change it: not the other crops of a batch, not chance, not
what was answered before.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from compute.errors import InputError
from compute.models.loaders.network import told

AGAIN = 1e-4
"""Relative distance at most of two answers to the same batch; GPUs round in any order."""

ALONE = 1e-3
"""Relative distance at most of the answers to a crop alone and beside another."""


def trial_crops(channels: int, size: int) -> Tensor:
    """Draw two crops as unlike as can be: smooth spots, and noise with a bright edge.

    Returns
    -------
    Tensor
        2×`channels`×`size`×`size` float32, 0 to 1000, always the same.
    """
    generator = torch.Generator().manual_seed(20261129)
    spots = interpolate(
        torch.rand((1, channels, 4, 4), generator=generator), size=(size, size), mode="bilinear"
    )
    noise = torch.rand((1, channels, size, size), generator=generator) ** 4
    noise[..., : size // 4] = 1.0
    return torch.cat([spots, noise]) * 1000


def check_behaviour(
    what: str, embed: Callable[[Tensor], Tensor], crops: Tensor, module: nn.Module | None = None
) -> list[str]:
    """Refuse a network whose answers depend on more than the crop.

    Parameters
    ----------
    what
        The model, for the message: ``"Model 'x'"``.
    embed
        From N×C×H×W raw crops to N×K embeddings.
    crops
        Two crops, as `trial_crops` draws them.
    module
        The PyTorch module in it; None, the default, where there is none to look into.

    Returns
    -------
    list of str
        Attributes in which the module keeps tensors of a call, as ``self.features = x`` does. If
        any, several threads must not use it at once: one could go on with another's tensors.

    Raises
    ------
    InputError
        A part of the module stays in training mode, the module changes its own numbers, answers are
        not finite, the same for any crop, differ the second time, or depend on the other crops of a
        batch.
    """
    if module is not None:
        training = [name or "itself" for name, part in module.named_modules() if part.training]
        if training:
            raise InputError(
                f"{what}: after eval() {_first(training)} is still in training mode.",
                "Let the module's `train` pass the mode on to all its parts "
                "(super().train(mode)), or return the module without them.",
            )
    before = _sums(module)
    with told(f"{what}, given two crops and then one,", "It must answer batches of any size."):
        both = embed(crops)
        kept = _kept(module)
        again = embed(crops)
        later = _kept(module)
        alone = torch.cat([embed(crops[:1]), embed(crops[1:])])
    after = _sums(module)
    changed = [name for name in after if after[name] != before.get(name)]
    if changed:
        raise InputError(
            f"{what} changes its own {_first(changed)} when it answers.",
            "A network must stay as it is: take statistics from training, and count nothing in "
            "buffers.",
        )
    check_answers(what, both)
    distance = _distance(again, both)
    if not distance <= AGAIN:
        raise InputError(
            f"{what} answers the same crops differently the second time (relative distance "
            f"{distance:.2g}).",
            "Leave out what draws random numbers when it answers, such as dropout and masking.",
        )
    distance = _distance(alone, both)
    if not distance <= ALONE:
        raise InputError(
            f"{what} answers a crop differently when another is in the batch (relative distance "
            f"{distance:.2g}).",
            "Every crop must be answered by itself: normalise by statistics from training, not "
            "those of the batch (BatchNorm in eval mode, track_running_stats=True).",
        )
    # What is kept for good, such as a table of positions, is the same at every call.
    return [
        name
        for name, tensors in later.items()
        if [*map(id, tensors)] != [*map(id, kept.get(name, []))]
    ]


def check_answers(what: str, both: Tensor) -> None:
    """Refuse answers to two crops, as unlike as can be, that are not finite or the same.

    Parameters
    ----------
    what
        The model, for the message: ``"Model 'x'"``.
    both
        Its answers to `trial_crops`, 2×K.

    Raises
    ------
    InputError
        One is not finite, or they are equal in every number.
    """
    if not bool(both.isfinite().all()):
        raise InputError(
            f"{what} gives values that are not finite for crops of intensities 0 to 1000.",
            "Check its weights, and `scaling`, `mean` and `deviation` in its card.",
        )
    if bool((both[0] == both[1]).all()):
        raise InputError(
            f"{what} gives the same numbers for any crop, as a network does whose weights are all "
            "zero.",
            "Check its weights, and `layer`, `scaling`, `mean` and `deviation` in its card.",
        )


def _distance(found: Tensor, expected: Tensor) -> float:
    """Return the largest ‖a − b‖ / ‖b‖ of rows."""
    away = torch.linalg.vector_norm((found - expected).double(), dim=1)
    return float((away / torch.linalg.vector_norm(expected.double(), dim=1).clamp(min=1e-30)).max())


def _sums(module: nn.Module | None) -> dict[str, int]:
    """Sum the bytes of every parameter and buffer, which shows any one that is changed."""
    if module is None:
        return {}
    named = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {
        name: int(tensor.detach().contiguous().flatten().view(torch.uint8).sum(dtype=torch.int64))
        for name, tensor in named.items()
    }


def _kept(module: nn.Module | None) -> dict[str, list[Tensor]]:
    """Return the tensors that a module's parts keep beside parameters and buffers, by attribute."""
    found: dict[str, list[Tensor]] = {}
    for place, part in [] if module is None else module.named_modules():
        for name, value in vars(part).items():
            if name in ("_parameters", "_buffers"):
                continue
            values = list(value.values()) if isinstance(value, dict) else value
            tensors = [
                one
                for one in (values if isinstance(values, list | tuple) else [values])
                if isinstance(one, Tensor)
            ]
            if tensors:
                found[f"{place}.{name}".lstrip(".")] = tensors
    return found


def _first(names: list[str], shown: int = 4) -> str:
    """Name the first few."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
