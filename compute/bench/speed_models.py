"""Models whose speed is measured beside the shipped ones: networks with drawn weights.

Layer: cards; no files. Speed does not depend on what weights are.
"""

from collections.abc import Sequence
from dataclasses import replace

from compute.errors import UsageError
from compute.models.baselines.names import untrained_name
from compute.models.card import make_card
from compute.models.card_files import FoundModel
from compute.models.sources import UNTRAINED, built_in

VISION_TRANSFORMER = "vit_small_patch16_224"
"""timm's name of ViT-S/16 (Touvron et al. 2021), the least of the transformers that labs bring."""


def full_width(model: FoundModel) -> FoundModel:
    """Return the same network at the published width.

    Parameters
    ----------
    model
        A model of one of the networks that come with Bystander.

    Returns
    -------
    FoundModel
        The wide model, untrained.

    Raises
    ------
    UsageError
        It is another network.
    """
    card = model.card
    if built_in(card.source) is None:
        raise UsageError(
            f"Model {card.name!r} has no width: {card.source!r} is no network of Bystander's.",
            "Leave --full-width out for it.",
        )
    wide = replace(
        card, source=f"{UNTRAINED}:{card.source}", width=1.0, weights="", sha256="",
        trained_on="nothing: random weights", simulated=True,
    )  # fmt: skip
    return FoundModel(wide, None)


def vision_transformer(channels: Sequence[str]) -> FoundModel:
    """Return ViT-S/16 for crops of some channels, enlarged to 224 pixels; needs timm.

    Parameters
    ----------
    channels
        The store's channels; as many are read as there are, three at most.

    Returns
    -------
    FoundModel
        The model, untrained.
    """
    read = list(channels[:3])
    card = make_card(
        f"{UNTRAINED}:timm:{VISION_TRANSFORMER}", name=untrained_name(VISION_TRANSFORMER, 0),
        channels=read, channel_use="together", inputs=len(read), fit="resize", input_size=224,
        scaling="min_max", mean=[0.5] * len(read), deviation=[0.5] * len(read), layer="embedding",
    )  # fmt: skip
    return FoundModel(card, None)
