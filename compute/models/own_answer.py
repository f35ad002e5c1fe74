"""The model's own answer: its head's outputs as probabilities of a store's classes.

Layer: names and numbers; functions that need torch load it themselves. A card says which part of
the model is its head, what that gives, and which of its classes stand for which of a store's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from compute.errors import InputError, unknown_value
from compute.importers.class_names import ClassNames, folded

if TYPE_CHECKING:
    from torch import Tensor

    from compute.models.sources import Source

NO_HEAD = "none"
"""In a card's `head`: its own answer is not asked."""

GIVES: Mapping[str, str] = MappingProxyType(
    {
        "logits": "numbers whose softmax is the probability of each class",
        "sigmoids": "numbers whose sigmoid is the probability that the crop has a class, whatever "
        "else it has",
        "probabilities": "probabilities, or shares of several classes",
    }
)
"""What a head gives, in words, by the name that cards use."""

BY_TABLE, BY_NAME, BY_PROTEIN = "table", "name", "protein"

WAYS: Mapping[str, str] = MappingProxyType(
    {
        BY_TABLE: "by the table in its card",
        BY_NAME: "by name",
        BY_PROTEIN: "each protein standing for its localization in this store",
    }
)
"""How a head's classes became a store's, in words."""

SHOWN = 5
"""Names that a message lists; it counts the others."""


class Headed(Protocol):
    """A card that may say of a head, such as `compute.models.card.ModelCard`."""

    @property
    def name(self) -> str:
        """The model's name."""

    @property
    def trained_on(self) -> str:
        """What it was trained on, in words."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the head's outputs, in order."""

    @property
    def head(self) -> str:
        """Layer that gives them; empty for the source's own."""

    @property
    def head_gives(self) -> str:
        """Key of `GIVES`; empty as is usual of the source."""

    @property
    def own_classes(self) -> tuple[tuple[str, str], ...]:
        """Which of `classes` stands for which class of the store."""

    @property
    def kind(self) -> "Source":
        """What is known of its source."""


@dataclass(frozen=True)
class OwnAnswer:
    """How a head's outputs become probabilities of a store's classes.

    Parameters
    ----------
    layer
        Name of the head's output.
    gives
        Key of `GIVES`.
    head
        The head's classes, in the order of its outputs.
    places
        For each of them the number of the store's class that it stands for, −1 for none.
    names
        The store's classes.
    by
        Key of `WAYS`.
    trained_here
        Whether the card says that the model was trained on this very store.
    """

    layer: str
    gives: str
    head: tuple[str, ...]
    places: tuple[int, ...]
    names: tuple[str, ...]
    by: str
    trained_here: bool = False

    @property
    def mapped(self) -> int:
        """Number of the head's classes that stand for one of the store's."""
        return sum(place >= 0 for place in self.places)

    @property
    def named(self) -> tuple[str, ...]:
        """The store's classes that it can answer with, in the store's order."""
        return tuple(name for k, name in enumerate(self.names) if k in self.places)

    @property
    def lacking(self) -> tuple[str, ...]:
        """The store's classes that it can never answer with, in the store's order."""
        return tuple(name for k, name in enumerate(self.names) if k not in self.places)

    @property
    def remarkable(self) -> bool:
        """Whether a person should know of it before a run."""
        flattered = self.trained_here or self.by == BY_PROTEIN
        return flattered or bool(self.lacking) or self.mapped < len(self.head)

    def __str__(self) -> str:
        """Say it without its name and a full stop, to follow the model's name."""
        words = (
            f"has a head of {len(self.head)} classes, of which {self.mapped} stand for "
            f"{len(self.named)} of the store's {len(self.names)} ({WAYS[self.by]})"
        )
        left = [name for name, place in zip(self.head, self.places, strict=True) if place < 0]
        if left:
            words += f"; left out: {some_of(left)}"
        if self.lacking:
            words += f"; it cannot answer {some_of(self.lacking)}"
        if self.trained_here:
            words += "; it was trained on this store, which flatters its own answer"
        elif self.by == BY_PROTEIN:
            words += "; it was trained on these proteins, which flatters its own answer"
        return words

    def of(self, outputs: "Tensor") -> "Tensor":
        """Turn the head's outputs into probabilities of the store's classes.

        Probabilities of classes that stand for one of the store's are summed, and divided by the
        sum of those that stand for any. Where that is 0, all classes that it can answer with are
        equally probable.

        Parameters
        ----------
        outputs
            N×(number of the head's classes).

        Returns
        -------
        Tensor
            N×(K + 1), float32: probabilities of the store's K classes, rows summing to 1, then the
            share of probability that was left out with classes that stand for none.

        Raises
        ------
        InputError
            There are more or fewer outputs than classes, or a probability is below 0.
        """
        import torch

        if outputs.ndim != 2 or outputs.shape[1] != len(self.head):
            raise InputError(
                f"Layer {self.layer!r} gives an array of {'×'.join(map(str, outputs.shape))} for "
                f"{len(outputs)} crops, and the card names {len(self.head)} classes.",
                "Name the head's output as `head`, and all of its classes, in order, as `classes`.",
            )
        logs = _LOGS[self.gives](outputs.double())
        places = torch.tensor(self.places, device=outputs.device)
        kept = places >= 0
        # Logarithms, as a head that is sure of a class that is left out gives the others nearly 0.
        whole, mine = (torch.logsumexp(some, 1, keepdim=True) for some in (logs, logs[:, kept]))
        found = outputs.new_zeros((len(outputs), len(self.names) + 1), dtype=torch.float64)
        shares = (logs[:, kept] - mine).exp()
        found.index_add_(1, places[kept], shares)
        found[:, -1:] = 1 - (mine - whole).exp()
        empty = torch.isinf(mine)[:, 0]
        if bool(empty.any()):
            answers = places[kept].unique()
            found[empty] = 0
            found[empty.nonzero(), answers] = 1 / len(answers)
            found[empty, -1] = 1
        found[:, -1].clamp_(0, 1)
        return found.float()


def _logits(outputs: "Tensor") -> "Tensor":
    return outputs.log_softmax(1)


def _sigmoids(outputs: "Tensor") -> "Tensor":
    from torch.nn.functional import logsigmoid

    return logsigmoid(outputs)


def _probabilities(outputs: "Tensor") -> "Tensor":
    lowest = float(outputs.min()) if len(outputs) else 0.0
    if lowest < 0:
        raise InputError(
            f"The head gave a probability of {lowest:.3g}.",
            f'Write head_gives = "logits" or "sigmoids" in the card: {GIVES["logits"]}.',
        )
    return outputs.log()


_LOGS: Mapping[str, "Callable[[Tensor], Tensor]"] = MappingProxyType(
    {"logits": _logits, "sigmoids": _sigmoids, "probabilities": _probabilities}
)
"""From a head's outputs to logarithms of probabilities, by the key of `GIVES`."""


def check_head(card: Headed) -> None:
    """Refuse what a card says of its head if that cannot be.

    Raises
    ------
    UsageError
        What the head gives is not known.
    InputError
        It names no classes but needs them, or a table of classes names some that the head lacks.
    """
    if card.head_gives and card.head_gives not in GIVES:
        raise unknown_value("kind of a head's answers", card.head_gives, GIVES)
    if (card.head or card.own_classes) and card.head != NO_HEAD and not card.classes:
        raise InputError(
            f"Model card: {'head' if card.head else 'own_classes'} is said, and no classes are.",
            "Name the head's classes, in the order of its outputs, as `classes`.",
        )
    heads = [name for name, _ in card.own_classes]
    for name in heads:
        if name not in card.classes:
            problem = unknown_value("class of the head in own_classes", name, card.classes)
            raise InputError(
                f"Model card: {problem.problem}",
                f"Its classes are {some_of(card.classes)}; correct own_classes or classes.",
            )
    twice = [name for name in dict.fromkeys(heads) if heads.count(name) > 1]
    if twice:
        raise InputError(
            f"Model card: own_classes says {twice[0]!r} twice.", "A class stands for one at most."
        )


def head_layer(card: Headed) -> str:
    """Return the name of the head's output; empty where a card has no head."""
    if card.head == NO_HEAD or not card.classes:
        return ""
    return card.head or card.kind.head


def own_answer(
    card: Headed,
    names: Sequence[str],
    localized: Callable[[], Mapping[str, str]],
    store: str = "",
) -> OwnAnswer | None:
    """Find out how a model's head answers with a store's classes.

    By the card's table where it has one. Else by name, as they are or as one of the names that
    importers know for the same place. Else, where no class of the head is one of the store's, by
    protein: a head of proteins names the localization of the protein that it names. That is known
    of proteins of this store only, so the others are left out.

    Parameters
    ----------
    card
        The model's card.
    names
        The store's classes.
    localized
        Returns the class of each of the store's proteins that has one; asked only if needed.
    store
        The store's fingerprint; empty, the default, where it is not known.

    Returns
    -------
    OwnAnswer or None
        None where the model has no head, or its classes are not two of the store's at least.

    Raises
    ------
    InputError
        The card's table names a class that the store lacks, or all stand for one class.
    """
    layer = head_layer(card)
    if not layer:
        return None
    gives = card.head_gives or card.kind.head_gives
    here = bool(store) and store in card.trained_on
    code = {name: k for k, name in enumerate(names)}
    if card.own_classes:
        table = dict(card.own_classes)
        for head, name in table.items():
            if name not in code:
                raise InputError(
                    f"Model {card.name!r}: own_classes says that {head!r} stands for {name!r}, "
                    f"which is no class of the store; it has {', '.join(names)}.",
                    "Correct own_classes in the card, or leave that class out of it.",
                )
        places = tuple(code.get(table.get(head, ""), -1) for head in card.classes)
        if len(set(places) - {-1}) < 2:
            raise InputError(
                f"Model {card.name!r}: own_classes leads to {names[max(places)]} alone.",
                "Let the head's classes stand for two of the store's at least, or write "
                f'head = "{NO_HEAD}".',
            )
        return OwnAnswer(layer, gives, card.classes, places, tuple(names), BY_TABLE, here)
    by, places = BY_NAME, tuple(_by_name(card.classes, code))
    if not set(places) - {-1}:
        by, known = BY_PROTEIN, localized()
        places = tuple(code.get(known.get(head, ""), -1) for head in card.classes)
    if len(set(places) - {-1}) < 2:
        return None
    return OwnAnswer(layer, gives, card.classes, places, tuple(names), by, here)


def head_words(card: Headed, own: OwnAnswer | None) -> str:
    """Say in a sentence what a model's head can answer with; empty where it has none.

    Parameters
    ----------
    card
        The model's card.
    own
        What `own_answer` found for a store.
    """
    if own is not None:
        return f"{card.name} {own}"
    if not card.classes:
        return ""
    if card.head == NO_HEAD:
        return f"{card.name} is not asked for its own answer, as its card says"
    if not head_layer(card):
        return (
            f"{card.name} names {len(card.classes)} classes, but not which layer gives them "
            "(`head` in its card), so its own answer is not asked"
        )
    return (
        f"{card.name} has a head of {len(card.classes)} classes, of which not two are classes or "
        "proteins of this store, so its own answer is not asked (own_classes in its card may say "
        "which stands for which)"
    )


def _by_name(heads: Sequence[str], code: Mapping[str, int]) -> list[int]:
    """Return the number of the store's class that each of the head's is by name, −1 for none."""
    known = ClassNames()
    alike: dict[str, set[int]] = {}
    for name, k in code.items():
        alike.setdefault(folded(name), set()).add(k)
        meaning = known.of(name)
        if meaning is not None and meaning.localization is not None:
            alike.setdefault(f"= {meaning.localization}", set()).add(k)
    found = []
    for head in heads:
        meaning = known.of(head)
        place = f"= {meaning.localization}" if meaning is not None else ""
        # What may be either of two of the store's classes is left out.
        choices = [{code[head]} if head in code else set(), *(alike.get(k, set()) for k in
                   (folded(head), place))]  # fmt: skip
        found.append(next((min(some) for some in choices if len(some) == 1), -1))
    return found


def some_of(names: Sequence[str]) -> str:
    """List a few names, and count the others."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
