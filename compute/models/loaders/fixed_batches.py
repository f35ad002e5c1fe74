"""Networks that take a fixed number of images at once, or images of a fixed shape.

Layer: tensors in, tensors out; no files.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from compute.errors import InputError
from compute.models.card import ModelCard
from compute.models.weights import times

LARGEST_BATCH = 4096
"""Images at once that a network may insist on."""


def check_shape(card: ModelCard, what: str, shape: Sequence[int | None]) -> int:
    """Compare the shape that a network's input has with what the card's recipe gives it.

    Parameters
    ----------
    card
        The card, for crops of a known side.
    what
        What has that input, for the message: ``"Model 'x': model.onnx"``.
    shape
        Length of each axis; None where any will do.

    Returns
    -------
    int
        Images that the network takes at once; 0 for any number.

    Raises
    ------
    InputError
        It is no input for N×C×H×W images, or one for others than those of the card.
    """
    given = (None, card.network_inputs, card.window, card.window)
    if len(shape) != len(given):
        raise InputError(
            f"{what} has an input of {len(shape)} axes, not 4.",
            "It must take images as N × channels × height × width.",
        )
    if any(own not in (None, mine) for own, mine in zip(shape[1:], given[1:], strict=True)):
        raise InputError(
            f"{what} takes images of {_spelled(shape)} (N × channels × height × width), and its "
            f"card gives {_spelled(given)}.",
            "Correct `channels`, `inputs`, `channel_use` or `input_size` in the card, or export "
            "the network again for this shape.",
        )
    batch = shape[0] or 0
    if not 0 <= batch <= LARGEST_BATCH:
        raise InputError(
            f"{what} takes {batch} images at once, more than {LARGEST_BATCH}.",
            "Export it with a batch axis of any length.",
        )
    return batch


def by_batches(
    compute: Callable[[Tensor], Sequence[Tensor]], images: Tensor, batch: int
) -> list[Tensor]:
    """Compute with batches of exactly `batch` images, the last one filled up with zeros.

    Parameters
    ----------
    compute
        From images to what some layers give, a row for each.
    images
        N×C×H×W.
    batch
        Images at once; 0 for all of them.

    Raises
    ------
    InputError
        An answer has not a row for each image.
    """
    answers = list[list[Tensor]]()
    for part in images.split(batch or max(1, len(images))):
        rows = len(part)
        if batch > rows:
            part = torch.cat([part, part.new_zeros((batch - rows, *part.shape[1:]))])
        answers.append([])
        for found in compute(part):
            if not found.ndim or len(found) != len(part):
                raise InputError(
                    f"The layer gives an array of {times(found.shape)} for {len(part)} images.",
                    "Name one that gives a row for each image.",
                )
            answers[-1].append(found[:rows])
    if len(answers) == 1:
        return answers[0]
    return [torch.cat(each) for each in zip(*answers, strict=True)]


def _spelled(shape: Sequence[int | None]) -> str:
    """Spell out a shape, with letters for lengths that are not fixed: ``N×3×H×W``."""
    letters = ("N", "C", "H", "W")
    return "×".join(
        letter if length is None else str(length)
        for letter, length in zip(letters, shape, strict=True)
    )
