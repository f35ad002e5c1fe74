"""Model cards as files, and where models are found: shipped ones, cards by path, baselines by name.

Layer: TOML files; needs no torch. A card lies beside its weights.
"""

import json
import tomllib
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path

from compute.errors import BystanderError, InputError, UsageError, together, unknown_value
from compute.models.baselines.names import MEASURED, is_baseline, split_untrained, untrained_name
from compute.models.card import ModelCard, make_card, source_defaults
from compute.models.networks import NETWORKS
from compute.models.own_answer import OwnAnswer
from compute.models.source_code import code_hash
from compute.models.sources import (
    BUILT_IN,
    SOURCES,
    UNTRAINED,
    architecture,
    spelled,
    split_source,
)
from compute.shipped import WEIGHTS
from compute.storage.atomic_files import writing
from compute.storage.regular_files import refuse_special


@dataclass(frozen=True)
class FoundModel:
    """A card, and what is needed to load its model.

    Parameters
    ----------
    card
        The card.
    folder
        Folder of its weights; None where it has no file.
    trusted
        Whether foreign code that it brings may run; False by default.
    own
        How its head answers with the classes of the store that it is bound to; None, the default,
        where it has none, or is bound to no store.
    """

    card: ModelCard
    folder: Path | None = None
    trusted: bool = False
    own: OwnAnswer | None = None

    @property
    def name(self) -> str:
        """The model's name."""
        return self.card.name

    @property
    def weights(self) -> Path:
        """Path of its weights file.

        Raises
        ------
        UsageError
            Its folder is not known.
        """
        return self.place / self.card.weights

    @property
    def place(self) -> Path:
        """Folder of the card's file, which what the card names lies in.

        Raises
        ------
        UsageError
            It is not known.
        """
        if self.folder is None:
            raise UsageError(
                f"Where the weights of model {self.card.name!r} lie is not known.",
                "Give their folder, or the path of the card instead of the card.",
            )
        return self.folder

    def require_trust(self, runs: str) -> None:
        """Refuse to go on unless foreign code may run.

        Parameters
        ----------
        runs
            What would run, in words.

        Raises
        ------
        UsageError
            The model is not trusted.
        """
        if not self.trusted:
            raise UsageError(
                f"Model {self.name!r} runs foreign code: {runs}.",
                "If you trust it, give --trust (in Python: trusted=True).",
            )

    def bound(
        self, size: int, pixel_size: float = 0.0, channels: Sequence[str] = ()
    ) -> "FoundModel":
        """Return it with its card for a store's crops; see `ModelCard.bound`.

        Of a Python function the card gets the hash of its file too, unless it has one, so that
        a run which was begun with other code is not gone on with.
        """
        card = self.card.bound(size, pixel_size, channels)
        if card.kind.hashes_module and not card.code and self.folder is not None:
            card = replace(card, code=code_hash(split_source(card.source)[1], self.folder))
        return replace(self, card=card)


Model = FoundModel | Path | str
"""What may be given for a model: a found one, a card's path, or the name of one that is shipped or
of a baseline."""


def load_card(path: Path | str) -> ModelCard:
    """Read a card, filling in what it leaves out as `make_card` does.

    `network` is an older name of `source`.

    Raises
    ------
    InputError
        The file is missing, is not TOML, or an entry is unknown, missing or wrong.
    """
    path = Path(path)
    refuse_special(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"Model card {path} cannot be read: {error.strerror}.",
            "Give the path of a .toml card; its weights lie beside it.",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(
            f"Model card {path} is not TOML: {error}.", "Correct it at that place."
        ) from error
    if "network" in values and "source" in values:
        raise InputError(f"{path} says both source and network.", "Leave out network.")
    source = values.pop("source", values.pop("network", None))
    if not isinstance(source, str):
        raise InputError(f"{path}: source = {source!r} is not a name.", 'Write source = "…".')
    try:
        return make_card(source, **values)
    except BystanderError as error:
        raise InputError(f"{path}: {error.problem}", error.remedy) from error


def card_text(card: ModelCard) -> str:
    """Return a card as TOML, a line for every field that must be said or is not as by default."""
    return "".join(f"{name} = {toml(getattr(card, name))}\n" for name in written_fields(card))


def written_fields(card: ModelCard) -> list[str]:
    """Return the names of a card's fields that must be said or are not as by default, in order."""
    by_source = source_defaults(card.source)
    return [
        f.name
        for f in fields(card)
        if f.default is MISSING or f.name in by_source or getattr(card, f.name) != f.default
    ]


def save_card(card: ModelCard, path: Path | str) -> None:
    """Write a card to a file, which appears whole or not at all."""
    with writing(Path(path)) as temporary:
        temporary.write_text(card_text(card), encoding="utf-8")


def builtin_cards() -> dict[str, Path]:
    """Return the paths of the cards that come with Bystander, by file name without its ending."""
    return {path.stem: path for path in sorted(WEIGHTS.glob("*.toml"))}


def list_models() -> dict[str, ModelCard]:
    """Read the cards of the models that come with Bystander.

    Returns
    -------
    dict
        Cards by the name that `run` and `estimate` know the model by.

    Examples
    --------
    >>> from compute import list_models
    >>> sorted(list_models())
    ['deeploc', 'paired_cell', 'pifia']
    """
    return {name: load_card(path) for name, path in builtin_cards().items()}


def find_model(name: Model, *, trusted: bool = False) -> FoundModel:
    """Find a model by the name of a shipped card or a baseline, or by the path of another card.

    Parameters
    ----------
    name
        Name of a shipped card or of a baseline (`compute.models.baselines.names`), or a path that
        ends in `.toml`; one that is found already is returned as it is.
    trusted
        Whether foreign code that it brings may run; False by default.

    Raises
    ------
    UsageError
        There is no such model.
    InputError
        The card cannot be read.
    """
    if isinstance(name, FoundModel):
        return name
    shipped, text = builtin_cards(), str(name)
    if is_baseline(text):
        card = make_card(text, name=text) if text in MEASURED else _untrained(text)
        return FoundModel(card, None, trusted)
    if text not in shipped and not text.endswith(".toml"):
        if text in NETWORKS:
            raise UsageError(
                f"{text!r} is a network without shipped weights.",
                f"Train it (bystander train {text} STORE --out weights), then give its card.",
            )
        known = [*shipped, *MEASURED, f"{UNTRAINED}:NAME", "or the path of a .toml card"]
        raise unknown_value("model", text, known)
    path = shipped.get(text) or Path(name)
    return FoundModel(load_card(path), path.parent, trusted)


def _untrained(text: str) -> ModelCard:
    """Make the card of an untrained network: of a trained one's card, or as by default.

    Raises
    ------
    UsageError
        There is no such network, or its weights cannot be drawn.
    """
    of, seed = split_untrained(text)
    path = builtin_cards().get(of) or (Path(of) if of.endswith(".toml") else None)
    if path is not None:
        card = load_card(path)
        source = f"{UNTRAINED}:{card.source}"
        architecture(source)
        return replace(
            card, name=untrained_name(card.name, seed), source=source, seed=seed,
            weights="", sha256="", created_by="", notes="", license="", head="", head_gives="",
            own_classes=(),
            **{key: SOURCES[UNTRAINED].defaults[key] for key in ("trained_on", "simulated")},
        )  # fmt: skip
    kind, colon, name = of.partition(":")
    known = of in NETWORKS or (colon and kind in SOURCES and kind != BUILT_IN)
    if not known:
        can = [*NETWORKS, *(spelled(k) for k, s in SOURCES.items() if s.draw and k != BUILT_IN)]
        raise unknown_value("network", of, [*can, "or the path of a .toml card"])
    return make_card(f"{UNTRAINED}:{of}", name=untrained_name(name or of, seed), seed=seed)


def resolve_models(names: Sequence[Model], *, trusted: bool = False) -> list[FoundModel]:
    """Find models by their names or paths; a card with several layers is a model for each.

    Parameters
    ----------
    names
        As `find_model` takes them.
    trusted
        Whether foreign code that they bring may run; False by default.

    Returns
    -------
    list of FoundModel
        In order.

    Raises
    ------
    UsageError
        A name is not known, or two cards share a name (their results would share a folder).
    InputError
        A card cannot be read.
    """
    found: list[FoundModel] = []
    seen: dict[str, str] = {}
    wrong: list[BystanderError] = []
    for name in names:
        try:
            model = find_model(name, trusted=trusted)
        except BystanderError as error:
            wrong.append(error)
            continue
        said = f"one of {model.folder}" if isinstance(name, FoundModel) else str(name)
        for card in model.card.each_layer():
            if card.name in seen:
                raise UsageError(
                    f"Two models are named {card.name!r}: {seen[card.name]} and {said}.",
                    "Give one of the cards another name.",
                )
            seen[card.name] = said
            found.append(replace(model, card=card))
    if wrong:
        raise together("Models", wrong)
    return found


def source_words(card: ModelCard) -> str:
    """Say where a model comes from: ``vit_small_patch16_224, an architecture of …``."""
    kind, argument = split_source(card.source)
    return f"{argument or spelled(kind)}, {SOURCES[kind].title}"


def toml(value: object) -> str:
    """Return one value as TOML; JSON's texts are TOML's, but for the delete character.

    Pairs are a table.
    """
    if isinstance(value, tuple) and value and all(isinstance(item, tuple) for item in value):
        return "{ " + ", ".join(f"{toml(name)} = {toml(item)}" for name, item in value) + " }"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
