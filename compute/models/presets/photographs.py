"""Models that were trained on photographs: DINOv2 and DINOv3.

Layer: data only. They take three inputs: each channel stands for red, green and blue in a pass of
its own, and the passes' class tokens are joined.

Source
------
github.com/facebookresearch/dinov2 (commit b8931f7), github.com/facebookresearch/dinov3 (6876159),
and the models' pages at huggingface.co/facebook.
"""

from compute.models.presets.preset import Preset
from compute.models.sources import IMAGENET

_EACH = {
    **IMAGENET, "scaling": "min_max", "channel_use": "each_joined", "fit": "resize",
    "layer": "last_hidden_state", "pooling": "class_token",
}  # fmt: skip
_CHANNELS = (
    "each channel as red, green and blue, class tokens joined",
    "DinoV2 and DINOv3 in benchmarks/models.py, CaicedoLab/CHAMMI-75",
)
_UNCONFIRMED = (
    "photographs are divided by 255; here each channel goes from its least to its greatest value",
    "no pixel size: it was trained on photographs",
)


def _steps(hub: str, folder: str) -> tuple[str, ...]:
    return (
        f"hf download {hub} config.json model.safetensors --local-dir {folder}",
        f"Give --weights {folder}/model.safetensors; the folder lies beside the card.",
    )


def _dinov2(size: str, length: int, registers: bool) -> Preset:
    """Make the preset of a DINOv2 model."""
    hub = f"facebook/dinov2-{'with-registers-' if registers else ''}{size}"
    name = f"dinov2-{size}" + ("-registers" if registers else "")
    return Preset(
        name=name,
        title=f"DINOv2 ViT-{size[0].upper()}/14" + (" with four registers" if registers else ""),
        family="dinov2",
        source=f"transformers:{name}",
        fields={**_EACH, "input_size": 224, "interpolation": "bicubic"},
        expects=(),
        embedding=f"the class token, {length} numbers for each channel",
        trained_on="142 million photographs (LVD-142M)",
        license="Apache-2.0",
        publication="Oquab et al., arXiv 2304.07193"
        + ("; Darcet et al., arXiv 2309.16588" if registers else ""),
        page=f"https://huggingface.co/{hub}",
        steps=_steps(hub, name),
        facts=(
            (
                "ViT of patches of 14 pixels, trained on 518"
                + (", four registers" if registers else ""),
                "dinov2/hub/backbones.py",
            ),
            (
                "ImageNet's mean and deviation; 224 pixels, bicubic",
                "make_classification_eval_transform in dinov2/data/transforms.py",
            ),
            _CHANNELS,
        ),
        unconfirmed=(
            "the published evaluation resizes to 256 pixels and cuts 224 from the centre; here the "
            "whole crop is resized to 224",
            *_UNCONFIRMED,
        ),
    )


_V3 = "facebook/dinov3-vits16-pretrain-lvd1689m"

PRESETS = (
    _dinov2("small", 384, registers=False),
    _dinov2("small", 384, registers=True),
    _dinov2("base", 768, registers=False),
    _dinov2("base", 768, registers=True),
    Preset(
        name="dinov3-small",
        title="DINOv3 ViT-S/16",
        family="dinov3",
        source="transformers:dinov3-small",
        fields={**_EACH, "input_size": 256},
        expects=(),
        embedding="the class token, 384 numbers for each channel",
        trained_on="1,689 million photographs (LVD-1689M)",
        license="DINOv3 License (to be agreed to on its page)",
        publication="Siméoni et al., arXiv 2508.10104",
        page=f"https://huggingface.co/{_V3}",
        steps=(
            "Agree to the licence on the page, then log in: hf auth login",
            *_steps(_V3, "dinov3-small"),
        ),
        facts=(
            (
                "ViT-S/16, rotary positions, so any multiple of 16 pixels",
                "dinov3_vits16 in dinov3/hub/backbones.py",
            ),
            (
                "256 pixels, then ImageNet's mean and deviation",
                "Image transforms in README.md, dinov3",
            ),
            _CHANNELS,
        ),
        unconfirmed=_UNCONFIRMED,
    ),
)
