"""What tells an exported crop from every other: of which store, settings, trial and reading.

Layer: texts from settings and numbers; no files. Answers of another program come back with a key of
each crop. The key follows from what decides the pixels, so an answer to another crop, of another
store or of other settings, cannot be taken for an answer to this one.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from compute import schema
from compute.errors import UsageError
from compute.models.embedder import Embedder
from compute.runs.config import RunConfig
from compute.runs.provenance import plain
from compute.storage.atomic_files import fingerprint
from compute.store.reader import CropStore

COMPOSING = ("harmonise", "donor_centre", "paste", "second_readings", "mask_shift")
"""Settings of embedding that decide which crops there are, and their pixels."""


def deciding(config: RunConfig) -> dict[str, Any]:
    """Return the settings that decide trials and pixels, as `configuration` of `run.json` has them.

    They are all of ``plan``, and `COMPOSING` of ``embed``.
    """
    embed = plain(asdict(config.embed))
    return {"plan": plain(asdict(config.plan)), "embed": {name: embed[name] for name in COMPOSING}}


def composites(store: str, config: RunConfig) -> str:
    """Return a fingerprint of all crops of a run: 16 hexadecimal digits.

    Parameters
    ----------
    store
        Fingerprint of the store.
    config
        Settings of the run.
    """
    return fingerprint(
        {"run_version": schema.RUN_VERSION, "store": store, "configuration": deciding(config)}
    )


def require_same_crops(models: Sequence[Embedder], store: CropStore, config: RunConfig) -> None:
    """Refuse answers of another program that are not to the crops of a run.

    Parameters
    ----------
    models
        The run's models; those that compute their answers are left alone.
    store, config
        What the run's crops are made from.

    Raises
    ------
    UsageError
        A table answers to other crops, or trials are to be read again.
    """
    for model in models:
        if model.answers is None:
            continue
        if config.embed.second_readings:
            raise UsageError(
                f"Model {model.name!r} is a table of answers, which cannot be asked to look at a "
                "crop again in another scale.",
                "Export and run with --no-second-readings.",
            )
        crops = composites(store.fingerprint, config)
        if model.answers.composites != crops:
            raise UsageError(
                f"Model {model.name!r} holds answers to other crops ({model.answers.composites}) "
                f"than this run's ({crops}): of another store, or of other settings.",
                "Run the store that was exported, with the options of `bystander export trials`.",
            )


def crop_keys(crops: str, trials: Iterable[int], readings: Iterable[str]) -> list[str]:
    """Return a key of each crop: 16 hexadecimal digits.

    Parameters
    ----------
    crops
        Fingerprint of all crops, from `composites`.
    trials
        Number of each crop's trial.
    readings
        `compute.schema.OWN_READING`, or the reading that the crop is for.

    Returns
    -------
    list of str
        The first digits of the SHA-256 of ``"<crops> <trial> <reading>"``.
    """
    texts = (f"{crops} {n} {reading}" for n, reading in zip(trials, readings, strict=True))
    return [hashlib.sha256(text.encode()).hexdigest()[:16] for text in texts]
