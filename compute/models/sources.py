"""Where models come from, as data: what a card's `source` may say, and what each needs.

Layer: frozen dataclasses; importing this loads no torch. To add a source, write a loader in
`compute/models/loaders/` and enter it here; cards, `bystander models` and the tests follow.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from compute.errors import UsageError, unknown_value
from compute.models.networks import NETWORKS, NetworkSpec, network_spec

IMAGENET = {"mean": (0.485, 0.456, 0.406), "deviation": (0.229, 0.224, 0.225)}
"""Of ImageNet's red, green and blue, by 0–1: `IMAGENET_DEFAULT_MEAN` and `_STD` in
`timm/data/constants.py`."""

BUILT_IN, UNTRAINED = "built-in", "untrained"


@dataclass(frozen=True)
class Source:
    """A kind of place that models come from.

    Parameters
    ----------
    title
        What it is, for people.
    loader
        ``"module:function"`` that gets the found card and the device, and returns a
        `compute.models.loaders.network.Network`; as text, so that a card needs no torch.
    argument
        What stands behind the colon of `source`, in words; empty, the default, where nothing does.
    files
        Endings of the file that `weights` names; empty, the default, where there is none.
    needs_weights
        Whether a card must name that file; False by default.
    runs
        What runs when it is loaded, in words: foreign code needs to be trusted. Empty, the default,
        where none runs.
    extra
        Which of Bystander's extras it needs; empty, the default, for none.
    defaults
        Fields of a card that are so unless it says otherwise.
    needs_command
        Whether a card must say a `command`; False by default, and then none may.
    by_scene
        Whether it looks at raw crops with their masks instead of scaled channels alone; False by
        default.
    blind
        Whether it never looks at intensities, so that it reads no channel; False by default.
    seen
        What it looks at of a crop, in words; empty, the default, for its pixels.
    any_channels
        Whether a card may leave `channels` empty, for all that a store has; False by default.
    head
        Layer that gives the outputs that a card's `classes` name; empty, the default, where each
        card must say it.
    head_gives
        Key of `compute.models.own_answer.GIVES`; ``"logits"`` by default.
    draw
        ``"module:function"`` that builds the architecture of a card with drawn weights, for
        `untrained`: it gets the found card, what stands behind its source's colon and the device.
        Empty, the default, where weights cannot be drawn.
    hashes_module
        Whether the card records the hash of the Python file that stands behind the colon as
        ``module:function``; False by default.
    baseline
        What other models are compared with where it is one, in words; empty by default.
    """

    title: str
    loader: str
    argument: str = ""
    files: tuple[str, ...] = ()
    needs_weights: bool = False
    runs: str = ""
    extra: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    needs_command: bool = False
    by_scene: bool = False
    blind: bool = False
    seen: str = ""
    any_channels: bool = False
    head: str = ""
    head_gives: str = "logits"
    draw: str = ""
    hashes_module: bool = False
    baseline: str = ""


_LOADERS = "compute.models.loaders."
_BACKBONE = MappingProxyType(
    {
        "input_size": 224, "fit": "resize", "channel_use": "each_averaged", "scaling": "min_max",
        **IMAGENET,
    }
)  # fmt: skip
_ANSWER = MappingProxyType({"layer": "output", "pooling": "mean"})

_MEASURED = MappingProxyType(
    {
        "channels": (), "scaling": "none", "layer": "output", "pooling": "mean",
        "trained_on": "nothing: it is measured", "simulated": False,
    }
)  # fmt: skip

SOURCES: Mapping[str, Source] = MappingProxyType(
    {
        BUILT_IN: Source(
            "a network that comes with Bystander",
            _LOADERS + "built_in:load",
            files=(".safetensors",),
            needs_weights=True,
            head="logits",
            draw=_LOADERS + "built_in:draw",
        ),
        "timm": Source(
            "an architecture of the timm library, with weights in a safetensors file",
            _LOADERS + "timm_models:load",
            "name",
            (".safetensors",),
            needs_weights=True,
            extra="timm",
            defaults=MappingProxyType({**_BACKBONE, "layer": "features", "pooling": "mean"}),
            head="output",
            draw=_LOADERS + "timm_models:draw",
        ),
        UNTRAINED: Source(
            "an architecture of another source with drawn weights",
            _LOADERS + "untrained:load",
            "name",
            defaults=MappingProxyType(
                {"channels": (), "trained_on": "nothing: its weights are drawn", "simulated": False}
            ),
            any_channels=True,
            baseline="a network with random weights",
        ),
        "handcrafted": Source(
            "intensity, texture and layout of the whole crop, measured",
            _LOADERS + "measured:whole",
            defaults=_MEASURED,
            by_scene=True,
            any_channels=True,
            baseline="hand-made features of the whole crop",
        ),
        "handcrafted-centre": Source(
            "intensity, texture, layout and shape of the centre cell alone, measured inside its "
            "mask",
            _LOADERS + "measured:centre",
            defaults=_MEASURED,
            by_scene=True,
            seen="only what lies inside the centre cell's mask",
            any_channels=True,
            baseline="hand-made features of the centre cell alone",
        ),
        "density": Source(
            "how many neighbours there are and how near, from masks alone",
            _LOADERS + "measured:density",
            defaults=_MEASURED,
            by_scene=True,
            blind=True,
            seen="only where cells are",
            any_channels=True,
            baseline="the number and nearness of neighbours",
        ),
        "answers": Source(
            "answers that another program gave",
            _LOADERS + "answers:load",
            files=(".arrow",),
            needs_weights=True,
            defaults=MappingProxyType({"scaling": "none", "layer": "answer", "pooling": "mean"}),
            head="answer",
            head_gives="probabilities",
        ),
        # It runs foreign code only where the folder brings some, so its loader asks.
        "transformers": Source(
            "a model of Hugging Face's transformers library",
            _LOADERS + "transformers_models:load",
            "folder",
            (".safetensors", ".json"),
            needs_weights=True,
            extra="transformers",
            defaults=MappingProxyType(
                {
                    **_BACKBONE,
                    "weights": "model.safetensors",
                    "layer": "last_hidden_state",
                    "pooling": "mean",
                }
            ),
        ),
        "subcell": Source(
            "SubCell of the Human Protein Atlas, with weights in a safetensors file",
            _LOADERS + "subcell:load",
            files=(".safetensors",),
            needs_weights=True,
            defaults=MappingProxyType(
                {"scaling": "min_max_all", "layer": "embedding", "pooling": "mean"}
            ),
            head="probabilities",
            head_gives="probabilities",
        ),
        "torchhub": Source(
            "a model of a folder made for torch.hub",
            _LOADERS + "torch_hub:load",
            "folder#entry",
            (".safetensors",),
            runs="hubconf.py of the folder that {card.source} names",
            defaults=_ANSWER,
        ),
        "factory": Source(
            "what a Python function returns",
            _LOADERS + "factory:load",
            "module:function",
            (".safetensors",),
            runs="the Python function that {card.source} names",
            defaults=_ANSWER,
            hashes_module=True,
        ),
        "onnx": Source(
            "a network in an ONNX file",
            _LOADERS + "onnx_models:load",
            files=(".onnx",),
            needs_weights=True,
            extra="onnx",
            defaults=_ANSWER,
        ),
        "exported": Source(
            "a program that torch.export saved",
            _LOADERS + "exported:load",
            files=(".pt2",),
            needs_weights=True,
            runs="PyTorch makes Python code of the program in {card.weights}",
            defaults=_ANSWER,
        ),
        "command": Source(
            "a program of its own, over a pipe",
            _LOADERS + "command:load",
            files=(".py", ".R", ".jl", ".m", ".sh"),
            runs="the program {card.command_line}",
            defaults=MappingProxyType({**_ANSWER, "scaling": "none"}),
            needs_command=True,
        ),
    }
)
"""Every source by the name that stands before the colon; a network of ours stands by its own."""


def split_source(source: str) -> tuple[str, str]:
    """Part a card's `source` into the key of `SOURCES` and what stands behind the colon.

    Raises
    ------
    UsageError
        There is no such source, or something is missing or left over behind its name.
    """
    kind, colon, argument = source.partition(":")
    if not colon and kind in NETWORKS:
        return BUILT_IN, kind
    if kind not in SOURCES or kind == BUILT_IN:
        raise unknown_value("source of a model", source, [*NETWORKS, *map(spelled, others())])
    known = SOURCES[kind]
    if bool(argument) != bool(known.argument):
        raise UsageError(
            f"source = {source!r} says "
            + (f"nothing of its {known.argument}." if known.argument else f"more than {kind!r}."),
            f"Write source = {spelled(kind)!r}.",
        )
    return kind, argument


def spelled(kind: str) -> str:
    """Return how a card names a source: ``timm:NAME``."""
    words = SOURCES[kind].argument
    return f"{kind}:{words.upper().replace(' ', '-')}" if words else kind


def others() -> list[str]:
    """Return the names of all sources but the networks that come with Bystander."""
    return [kind for kind in SOURCES if kind != BUILT_IN]


def architecture(source: str) -> str:
    """Return the source of which `untrained` takes the architecture; of others, itself.

    Raises
    ------
    UsageError
        There is no such source, or its weights cannot be drawn.
    """
    kind, argument = split_source(source)
    if kind != UNTRAINED:
        return source
    of, _ = split_source(argument)
    if not SOURCES[of].draw:
        can = [*NETWORKS, *(spelled(name) for name in others() if SOURCES[name].draw)]
        raise UsageError(
            f"source = {source!r}: {SOURCES[of].title} cannot be built without its weights.",
            f"Untrained networks can be had of {', '.join(can)}.",
        )
    return argument


def built_in(source: str) -> NetworkSpec | None:
    """Return what is known of a network that comes with Bystander; None for other sources.

    Of one of them with drawn weights the same as of the network itself.
    """
    kind, name = split_source(architecture(source))
    return network_spec(name) if kind == BUILT_IN else None
