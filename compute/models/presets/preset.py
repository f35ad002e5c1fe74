"""What a preset is: a published model's recipe as fields of a card, with where each fact stands.

Layer: frozen dataclasses; needs no torch and no files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from compute.errors import UsageError
from compute.models.sources import split_source

TESTED_ON = "its architecture, with weights made here; not run with the published weights"
"""How far every preset is tested."""


@dataclass(frozen=True)
class Preset:
    """A published model: how it is made a card, what it expects, and how to get its weights.

    Parameters
    ----------
    name
        What `bystander models new --preset` takes.
    title
        What it is, in words.
    family
        Name of its entry in `compute.models.published.catalogue`.
    source
        As `ModelCard.source`; what stands behind the colon is by default.
    fields
        Further fields of `ModelCard`.
    expects
        What each channel shows, in words, in the network's order; empty for any channels.
    embedding
        What serves as embedding, and how long it is, in words.
    trained_on
        As `ModelCard.trained_on`.
    license, publication, page
        As its publishers state them; the page's address.
    steps
        How to get its weights beside the card, one step each.
    facts
        What is known, and the file or paper where it stands.
    unconfirmed
        What could not be confirmed, or is done otherwise here.
    helper
        Name and text of a Python file beside the card that builds it; two empty texts, the
        default, where none is needed.
    most_channels
        How many channels it takes at most; 0, the default, for any number.
    """

    name: str
    title: str
    family: str
    source: str
    fields: Mapping[str, Any]
    expects: tuple[str, ...]
    embedding: str
    trained_on: str
    license: str
    publication: str
    page: str
    steps: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    unconfirmed: tuple[str, ...] = ()
    helper: tuple[str, str] = field(default=("", ""), repr=False)
    most_channels: int = 0

    @property
    def reads(self) -> str:
        """What it expects of the channels, in words."""
        if self.expects:
            return ", ".join(self.expects)
        return f"any, up to {self.most_channels}" if self.most_channels else "any"

    @property
    def pixel_size(self) -> float:
        """Micrometres a pixel that it expects; 0 where that is not known."""
        return float(self.fields.get("pixel_size", 0.0))

    @property
    def values(self) -> dict[str, Any]:
        """Every field of a card that it decides but the source, the channels and the weights."""
        return {
            "trained_on": self.trained_on, "simulated": False, "publication": self.publication,
            "license": self.license, "notes": f"preset {self.name}, tested on {TESTED_ON}",
            **self.fields,
        }  # fmt: skip

    def check_channels(self, channels: Sequence[str]) -> None:
        """Refuse another number of channels than it expects.

        Raises
        ------
        UsageError
            There are too few or too many; says what each is to show.
        """
        wanted = len(self.expects)
        if (wanted and len(channels) != wanted) or 0 < self.most_channels < len(channels):
            raise UsageError(
                f"Preset {self.name!r} expects {wanted or f'at most {self.most_channels}'} "
                f"channels, not {len(channels)} ({', '.join(channels)}).",
                f"Give {self.reads}{', in this order' if wanted else ''}. A channel that the store "
                'lacks is "none".',
            )

    def check_source(self, source: str) -> None:
        """Refuse a source of another kind than its own.

        Raises
        ------
        UsageError
            The source is of another kind.
        """
        if split_source(source)[0] != split_source(self.source)[0]:
            raise UsageError(
                f"Preset {self.name!r} is of source {self.source!r}, not {source!r}.",
                "Leave the source out, or the preset.",
            )

    def comments(self) -> list[str]:
        """Say in lines what a reader of its card should know."""
        lines = [f"Preset {self.name}: {self.title}.", f"Tested on {TESTED_ON}.", self.page]
        order = ", in this order" if self.expects else ""
        lines += [f"Channels{order}: {self.reads}.", f"Embedding: {self.embedding}."]
        if self.helper[0]:
            lines.append(f"{self.helper[0]} is beside this card: our lines around their code.")
        for heading, entries in (
            ("How to get the weights:", self.steps),
            ("Where its facts stand:", tuple(f"{what} ({where})" for what, where in self.facts)),
            ("Not confirmed, or otherwise here:", self.unconfirmed),
        ):
            if entries:
                lines += [heading, *(f"- {entry}" for entry in entries)]
        return lines
