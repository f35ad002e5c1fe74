"""Loads what measures crops instead of learning: hand-made features, and the crowd.

Layer: a found card in, a reader of scenes out. Numbers are computed on the CPU wherever the crops
are composed; each crop's depend on no other crop.
"""

import numpy as np
import torch
from torch import Tensor

from compute.backgrounds.scene import Scene
from compute.models.baselines.crowd import measure_crowd
from compute.models.baselines.features import measure_crops
from compute.models.card_files import FoundModel


class Features:
    """Hand-made features of whole crops, or of centre cells alone.

    Parameters
    ----------
    inside
        Whether only what lies inside the mask is measured, and the mask's shape too.
    """

    def __init__(self, inside: bool) -> None:
        self._inside = inside

    def read(self, images: Tensor, scene: Scene, /) -> Tensor:
        """Measure N×C×H×W raw crops: N×D float32, named by `features.feature_names`."""
        pixels = np.ascontiguousarray(images.cpu().numpy(), np.float32)
        mask = scene.mask.cpu().numpy() if self._inside else None
        return torch.from_numpy(measure_crops(pixels, mask))


class Crowd:
    """What neighbours there are, from masks alone."""

    def read(self, _: Tensor, scene: Scene, /) -> Tensor:
        """Measure scenes of N crops: N×D float32, named by `crowd.NAMES`."""
        mask, neighbours = (each.cpu().numpy() for each in (scene.mask, scene.neighbours))
        return torch.from_numpy(measure_crowd(mask, neighbours))


def whole(_: FoundModel, __: torch.device) -> Features:
    """Return what measures whole crops."""
    return Features(inside=False)


def centre(_: FoundModel, __: torch.device) -> Features:
    """Return what measures centre cells."""
    return Features(inside=True)


def density(_: FoundModel, __: torch.device) -> Crowd:
    """Return what measures the crowd."""
    return Crowd()
