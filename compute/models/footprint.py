"""What a card's network takes of memory, estimated before it is built and before its first batch.

Layer: cards and modules in, bytes out; no files. Bystander's own networks are laid out without
memory (PyTorch's device ``meta``), so that their layers need not be described a second time. Of
other networks what they are given can be counted, and, once they have answered two dark crops,
what a whole batch takes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from compute import amounts
from compute.devices import ON_CPU
from compute.errors import InputError
from compute.memory import free_bytes
from compute.models.card import ModelCard
from compute.models.recipe import CHANNEL_USES
from compute.models.sources import built_in

NUMBER = 4
"""Bytes of a float32."""

HELD = 2048
"""Crops whose embeddings are held at once: about those of a shard (`SHARD_CELLS` of
`compute.embedding.worker`)."""


@dataclass(frozen=True)
class LayerBytes:
    """What one layer reads and writes in a forward pass, bytes.

    Parameters
    ----------
    weights
        Its parameters.
    given, result
        Its inputs, and its output.
    """

    weights: int
    given: int
    result: int


@contextmanager
def counted(module: nn.Module | None) -> Iterator[list[LayerBytes]]:
    """Count what the innermost layers of a module read and write while they answer.

    Parameters
    ----------
    module
        The module; None where there is none to look into.

    Yields
    ------
    list of LayerBytes
        Filled layer by layer.
    """
    found: list[LayerBytes] = []

    def count(layer: nn.Module, given: tuple[object, ...], result: object) -> None:
        found.append(
            LayerBytes(
                sum(map(_bytes, layer.parameters())), sum(map(_bytes, given)), _bytes(result)
            )
        )

    leaves = [m for m in module.modules() if not list(m.children())] if module else []
    hooks = [leaf.register_forward_hook(count) for leaf in leaves]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def largest_step(layers: list[LayerBytes]) -> int:
    """Return the most that any layer's input and output take together, bytes."""
    return max((layer.given + layer.result for layer in layers), default=0)


def crop_bytes(card: ModelCard) -> int:
    """Return the bytes of one crop as it is, scaled, resampled, and as the network gets it."""
    channels = len(card.channels)
    passes = channels // (CHANNEL_USES[card.channel_use].at_a_time or channels or 1)
    pixels = 2 * channels * card.size**2 + channels * card.resampled_size**2
    return NUMBER * (pixels + passes * card.network_inputs * card.window**2)


def own_network(card: ModelCard, batch: int) -> tuple[int, int]:
    """Return the bytes of one of Bystander's networks: its weights, and a batch's largest step.

    Parameters
    ----------
    card
        Of one of them, drawn or trained.
    batch
        Crops in a forward pass.
    """
    spec = built_in(card.source)
    assert spec is not None
    with torch.device("meta"), torch.inference_mode():
        network = spec.build(card.width, len(card.classes) or int(spec.classes)).eval()
        images = torch.empty(batch, card.network_inputs, card.window, card.window)
        with counted(network) as layers:
            network.forward_to(images, card.layer)
    weights = sum(map(_bytes, network.state_dict().values()))
    return weights, largest_step(layers)


def refuse_before(card: ModelCard, device: torch.device) -> None:
    """Refuse a card whose network cannot be built, or given a batch, in the memory that is free.

    Parameters
    ----------
    card
        For crops of a known side.
    device
        Where it is to compute.

    Raises
    ------
    InputError
        It takes more; the message says which field of the card decides that.
    """
    free, batch = free_memory(device), at_least(device)
    if free is None:
        return
    images = batch * crop_bytes(card)
    field = "input_size" if card.input_size > card.size else "size"
    if images > free:
        raise _too_much(
            card, f"{field} = {getattr(card, field)}", f"{batch} crops as the network gets them",
            images, free, f"Write a smaller `{field}` or fewer `channels`",
        )  # fmt: skip
    if built_in(card.source) is None:
        return
    weights, step = own_network(card, batch)
    # A file's weights are read beside those that the network was built with.
    weights *= 2 if card.weights else 1
    if weights + step + images > free:
        raise _too_much(
            card,
            f"width = {card.width:g}",
            f"{amounts.size(weights)} of weights and {amounts.size(step)} for the largest layer of "
            f"{batch} crops",
            weights + step + images, free, "Write a smaller `width`, as its weights have it",
        )  # fmt: skip


def refuse_after(
    card: ModelCard, device: torch.device, layers: list[LayerBytes], crops: int, dimension: int
) -> None:
    """Refuse a network whose batch, or embeddings, would not fit, once it has answered a few crops.

    Parameters
    ----------
    card, device
        As in `refuse_before`.
    layers
        What its layers read and wrote for these crops; empty where it is no PyTorch module.
    crops
        How many they were.
    dimension
        Length of an embedding.

    Raises
    ------
    InputError
        It would take more than is free.
    """
    free, batch = free_memory(device), at_least(device)
    if free is not None and (step := largest_step(layers) * batch // crops) > free:
        field = "input_size" if card.input_size else "size"
        raise _too_much(
            card, f"{field} = {getattr(card, field)}", f"the largest layer of {batch} crops",
            step, free, f"Write a smaller `{field}`, or an earlier `layer`",
        )  # fmt: skip
    free = free_memory(torch.device("cpu"))
    if free is not None and (held := HELD * dimension * NUMBER) > free:
        raise _too_much(
            card, f"layer = {card.layer!r}, pooling = {card.pooling!r}",
            f"the embeddings of {HELD:,} crops, {dimension:,} numbers each", held, free,
            "Name a `layer` that gives a map or tokens, which `pooling` makes short, or a shorter "
            "vector",
        )  # fmt: skip


def free_memory(device: torch.device) -> int | None:
    """Return the bytes that are free on a device; None where that is not known."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return free_bytes()


def at_least(device: torch.device) -> int:
    """Return the crops of the smallest batch that a device is given.

    Accelerators say when memory runs out, and then get fewer (`compute.devices.BatchSize`); where
    a CPU's runs out the system ends the process.
    """
    return ON_CPU if device.type == "cpu" else 1


def _too_much(
    card: ModelCard, said: str, what: str, taken: int, free: int, remedy: str
) -> InputError:
    return InputError(
        f"Model {card.name!r}: {said} in its card asks for {amounts.size(taken)} of memory "
        f"({what}), but {amounts.size(free)} are free.",
        f"{remedy}, or take a machine with more memory.",
    )


def _bytes(value: object) -> int:
    """Return the bytes of a tensor, or of the tensors in a tuple or list."""
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    return sum(map(_bytes, value)) if isinstance(value, tuple | list) else 0
