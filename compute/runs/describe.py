"""What stores, runs and models are: checked, with values for scripts and sentences for people."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from compute import schema
from compute.errors import InputError
from compute.runs.summary import Fact, summarise_store
from compute.runs.verify import check_run
from compute.storage.atomic_files import Progress, silent
from compute.storage.paths import RunPaths
from compute.storage.run_directory import RunDirectory
from compute.store.reader import CropStore

SEAMS_TO_MENTION = 0.1
"""Share of swapped crops with a seam flag above which another harmonisation is suggested."""


def store_lines(path: Path, facts: Sequence[Fact]) -> Iterator[str]:
    """Say what a crop store holds, a line per fact, and how to look at it.

    Parameters
    ----------
    path
        The store's folder.
    facts
        From `compute.runs.summary.summarise_store`.
    """
    yield f"{path}: channels {', '.join(CropStore(path).channels)}"
    yield from (fact.line() for fact in facts)
    command = f"bystander check {shlex.quote(str(path))} --pictures FOLDER"
    yield f"To see its cells with their masks: {command}"


def describe_run(run: RunDirectory) -> Iterator[str]:
    """Say what a run left out, and whether its backgrounds would fit better otherwise."""
    if run.meta["rejections"]:
        yield "Left out (see Methods in the dashboard):"
        for item in run.meta["rejections"]:
            yield f"  {item['count']} × {item['reason']}"
    if origin := schema.mask_origin(run.meta.get("store", {}).get("source")):
        yield origin
    counts = run.meta["counts"]
    shift = run.meta["configuration"]["embed"].get("mask_shift", 0)
    if shift:
        yield (
            f"Masks were moved by {shift:+d} pixels: {counts['cells_with_empty_mask']} of "
            f"{counts['cells_in_trials']} cells have none left, {counts['cells_at_the_border']} "
            "reach the border of their crop. They stay in the trials, with a flag."
        )
    swapped = sum(counts.get(f"trials_{name}", 0) for name in ("same", "different", "cell_free"))
    by_protein = run.meta["configuration"]["embed"]["harmonise"] == "protein"
    if by_protein and counts["trials_with_seam"] > SEAMS_TO_MENTION * swapped:
        yield (
            f"{counts['trials_with_seam']} of {swapped} swapped crops have a bright or dark seam: "
            "images of one protein differ in brightness. --harmonise field may fit better."
        )


@dataclass(frozen=True)
class ModelRow:
    """A line of the list of models.

    Parameters
    ----------
    group
        ``"shipped"``, ``"baseline"``, ``"source"`` (what a card of one's own may name) or
        ``"preset"`` (a ready recipe for one).
    name
        What is given to `--models`, written as `source`, or given to `models new --preset`.
    reads
        The channels that it reads; empty where that depends on the card or store.
    embedding
        Length and layer of its embedding; empty where that depends.
    about
        What it is, in words.
    """

    group: str
    name: str
    reads: str
    embedding: str
    about: str


def describe_models() -> Iterator[ModelRow]:
    """List the shipped models, the baselines, the sources that a card may name, and presets."""
    from compute.models.baselines.names import MEASURED, UNTRAINED_WORDS
    from compute.models.card_files import list_models
    from compute.models.networks import network_spec
    from compute.models.presets.registry import PRESETS
    from compute.models.sources import SOURCES, UNTRAINED, others, spelled, split_source

    for name, card in list_models().items():
        dimension = network_spec(card.source).layers[card.layer].dimension(card.width)
        yield ModelRow(
            "shipped", name, ", ".join(card.channels), f"{dimension} of {card.layer}",
            f"{card.source} at width {card.width:g}, trained on {card.trained_on}",
        )  # fmt: skip
    for name, words in {f"{UNTRAINED}:NAME": UNTRAINED_WORDS, **MEASURED}.items():
        yield ModelRow("baseline", name, "", "", words)
    for kind in others():
        if kind not in (UNTRAINED, *MEASURED):
            trust = "; needs --trust" if SOURCES[kind].runs else ""
            yield ModelRow("source", spelled(kind), "", "", SOURCES[kind].title + trust)
    for preset in PRESETS.values():
        trust = "; needs --trust" if SOURCES[split_source(preset.source)[0]].runs else ""
        yield ModelRow(
            "preset", preset.name, preset.reads, preset.embedding,
            f"{preset.title}; {preset.license}{trust}",
        )  # fmt: skip


@dataclass(frozen=True)
class Checked:
    """A crop store or a run of which every file is as it was written.

    Parameters
    ----------
    path
        The folder.
    kind
        ``"store"`` or ``"run"``.
    complete
        Whether it is finished; a store always is, and nothing is verified of an unfinished run.
    lines
        What was found, in sentences.
    facts
        What a store holds, topic by topic; each is one of the lines, too.
    """

    path: Path
    kind: str
    complete: bool
    lines: tuple[str, ...]
    facts: tuple[Fact, ...] = ()

    @property
    def verdict(self) -> str:
        """What it comes to, in a sentence."""
        if self.complete:
            return f"{self.path} is whole."
        return f"{self.path} is not finished, so its files were not verified."


def check(path: Path | str, *, progress: Progress = silent) -> Checked:
    """Verify a crop store or a run: files, hashes, schemas, counts, references.

    Parameters
    ----------
    path
        The folder.
    progress
        Called with the stage's name, files hashed and files in all; silent by default.

    Returns
    -------
    Checked
        What was found.

    Raises
    ------
    InputError
        Something is missing, altered, or points to what is not there; names it.

    Examples
    --------
    >>> from compute import check
    >>> check("my-run").complete
    True
    """
    path = Path(path)
    kind = "run" if RunPaths(path).header.is_file() else "store"
    if kind == "run":
        lines = tuple(check_path(path, progress))
        return Checked(path, kind, RunDirectory(path).complete, lines)
    _check_store(path, progress)
    facts = tuple(summarise_store(path))
    return Checked(path, kind, True, (*store_lines(path, facts), UNALTERED), facts)


def check_path(path: Path, progress: Progress = silent) -> Iterator[str]:
    """Verify a crop store or a run, and say what was found.

    Parameters
    ----------
    path
        Folder of the store or the run.
    progress
        Called with files hashed; silent by default.

    Raises
    ------
    InputError
        Something is missing or altered, or refers to something that is not there.
    """
    if RunPaths(path).header.is_file():
        yield from check_run(RunDirectory(path), progress)
        return
    yield from check(path, progress=progress).lines


UNALTERED = "Every file is as it was written."


def _check_store(path: Path, progress: Progress) -> None:
    """Compare a store's files with their hashes, and its tables with its counts."""
    store = CropStore(path)
    store.check(progress)
    for name, count in (("cells", len(store.cells)), ("windows", len(store.windows))):
        if count != store.meta["counts"][name]:
            raise InputError(
                f"{path}: {count} {name}, store.json says {store.meta['counts'][name]}.",
                "Make the store anew.",
            )
