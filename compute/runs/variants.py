"""The other settings under which a run's findings are looked at again, and the runs that do it.

Layer: frozen dataclasses, checked when made, and model cards; no torch. One choice is moved at a
time. Settings of the network's own reading (layer, pooling) need no other crops, so they share a
run, as models with other cards; every other setting is a run of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from compute.backgrounds.config import HARMONISE, MOST_SHIFT, PASTE
from compute.embedding.config import EmbedConfig
from compute.errors import UsageError, unknown_value
from compute.models.card import ModelCard
from compute.models.recipe import CLASS_TOKEN, POOLINGS
from compute.models.sources import built_in
from compute.schema import Choice

BEFORE, LAST = "before", "last"
"""Words for layers: the one before the model's own, and its network's last."""

READING = "reading"
"""The run in which models are read in other ways (layers, poolings)."""


@dataclass(frozen=True)
class SensitivityConfig:
    """The settings of every choice; the run's own is always among them, given or not.

    Parameters
    ----------
    mask_shifts
        Pixels by which masks are grown, or shrunk (below 0), −8 to 8.
    layers
        ``"before"``, ``"last"``, or names of layers: of every model whose network has it, or, as
        ``MODEL:LAYER``, of one.
    poolings
        Keys of `compute.models.recipe.POOLINGS`.
    harmonise
        Of `compute.backgrounds.config.HARMONISE`.
    paste
        Of `compute.backgrounds.config.PASTE`.

    Raises
    ------
    UsageError
        A value is not allowed, or there is no other setting of any choice.

    Examples
    --------
    >>> from compute import SensitivityConfig
    >>> SensitivityConfig(mask_shifts=(-1, 1), layers=("fc_2",)).poolings
    ('max', 'mean')
    """

    mask_shifts: tuple[int, ...] = (-2, 0, 2)
    layers: tuple[str, ...] = (BEFORE, LAST)
    poolings: tuple[str, ...] = ("max", "mean")
    harmonise: tuple[str, ...] = HARMONISE
    paste: tuple[str, ...] = PASTE

    def __post_init__(self) -> None:
        """Check every value but layers, which need models."""
        for shift in self.mask_shifts:
            if not -MOST_SHIFT <= shift <= MOST_SHIFT:
                raise UsageError(
                    f"mask shift {shift} is not allowed; it must lie between {-MOST_SHIFT} and "
                    f"{MOST_SHIFT} pixels.",
                    "Give --mask-shift smaller numbers, such as -2,0,2.",
                )
        for kind, values, allowed in (
            ("pooling", self.poolings, tuple(POOLINGS)),
            ("harmonisation", self.harmonise, HARMONISE),
            ("paste", self.paste, PASTE),
        ):
            for value in values:
                if value not in allowed:
                    raise unknown_value(kind, value, allowed)


@dataclass(frozen=True)
class Setting:
    """One setting of a choice, for some models.

    Parameters
    ----------
    choice
        What is moved.
    name
        The setting as tables have it.
    run
        Name of the run that shows it; empty where it is the finished run's own.
    models
        Name of each model in that run, by its name in the finished run.
    shift
        Pixels by which masks are moved; None, the default, for other choices.
    """

    choice: Choice
    name: str
    run: str
    models: Mapping[str, str]
    shift: int | None = None

    @property
    def is_base(self) -> bool:
        """Whether it is the finished run's own setting."""
        return not self.run


def settings_of(
    config: SensitivityConfig, embed: EmbedConfig, cards: Mapping[str, ModelCard]
) -> list[Setting]:
    """List the settings of every choice, of each first the run's own.

    Parameters
    ----------
    config
        The settings that are wanted.
    embed
        How the run composed and embedded.
    cards
        Its models' cards, by name.

    Raises
    ------
    UsageError
        No model has a layer, or nothing is left to compare with the run's own settings.
    """
    same = {name: name for name in cards}
    found = []
    shifts = tuple(map(str, config.mask_shifts))
    for choice, own, wanted in (
        (Choice.MASK, str(embed.mask_shift), shifts),
        (Choice.HARMONISE, embed.harmonise, config.harmonise),
        (Choice.PASTE, embed.paste, config.paste),
    ):
        for name in dict.fromkeys((own, *wanted)):
            shift = int(name) if choice is Choice.MASK else None
            run = f"{choice}-{name}" if shift is None else f"{choice}{shift:+d}"
            run = "" if name == own else run
            found.append(Setting(choice, name, run, same, shift))
    layers = _layers(config.layers, cards)
    poolings = {name: [p for p in config.poolings if has_map(card)] for name, card in cards.items()}
    for choice, by_model in ((Choice.LAYER, layers), (Choice.POOLING, poolings)):
        for model, some in by_model.items():
            own = str(getattr(cards[model], choice))
            others = [name for name in dict.fromkeys(some) if name != own]
            if others:
                found.append(Setting(choice, own, "", {model: model}))
            found += [
                Setting(choice, name, READING, {model: f"{model}.{choice}.{name}"})
                for name in others
            ]
    moved = {each.choice for each in found if not each.is_base}
    if not moved:
        raise UsageError(
            "Every setting that was given is the run's own, so nothing can be compared.",
            "Give others, such as --mask-shift -2,0,2.",
        )
    order = list(Choice)
    kept = [each for each in found if each.choice in moved]
    return sorted(kept, key=lambda each: order.index(each.choice))


def embed_config(setting: Setting, embed: EmbedConfig) -> EmbedConfig:
    """Return how the run of a setting composes and embeds: each trial is read once."""
    once = replace(embed, second_readings=False)
    if setting.choice is Choice.MASK:
        return replace(once, mask_shift=setting.shift or 0)
    if setting.choice is Choice.HARMONISE:
        return replace(once, harmonise=setting.name)
    if setting.choice is Choice.PASTE:
        return replace(once, paste=setting.name)
    return once


def moved_card(card: ModelCard, setting: Setting, name: str) -> ModelCard:
    """Return a model's card with another layer or pooling, under another name."""
    if setting.choice is Choice.LAYER:
        return replace(card, name=name, layer=setting.name)
    return replace(card, name=name, pooling=setting.name)


def has_map(card: ModelCard) -> bool:
    """Tell whether a model's embeddings are pooled from a map."""
    spec = built_in(card.source)
    if spec is None:
        return card.pooling != CLASS_TOKEN and not card.kind.by_scene
    return spec.layers[card.layer].side > 0


def _layers_of(card: ModelCard) -> list[str]:
    """List the layers that embeddings of a model can be taken from; of a foreign one, its own."""
    spec = built_in(card.source)
    return [card.layer] if spec is None else list(spec.layers)


def _layers(wanted: Sequence[str], cards: Mapping[str, ModelCard]) -> dict[str, list[str]]:
    """Find the layers of each model that are meant.

    Raises
    ------
    UsageError
        No model is called so, or none has the layer.
    """
    found: dict[str, list[str]] = {name: [] for name in cards}
    having = {name: _layers_of(card) for name, card in cards.items()}
    told = "; ".join(f"{name}: {', '.join(layers)}" for name, layers in having.items())
    for text in wanted:
        model, colon, layer = text.rpartition(":")
        if colon and model not in cards:
            raise unknown_value("model", model, cards)
        some = {model: cards[model]} if colon else cards
        for name, card in some.items():
            layers = having[name]
            if layer == LAST:
                found[name].append(layers[-1])
            elif layer == BEFORE:
                found[name] += layers[max(layers.index(card.layer) - 1, 0) :][:1]
            elif layer in layers:
                found[name].append(layer)
        if layer not in (BEFORE, LAST) and not any(layer in having[name] for name in some):
            raise UsageError(
                f"{'Model ' + repr(model) if colon else 'No model'} has "
                f"{'no ' if colon else 'a '}layer {layer!r}.",
                f"Layers that embeddings can be taken from: {told}.",
            )
    return found
