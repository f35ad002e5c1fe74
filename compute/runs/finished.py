"""A finished run that is looked at again: the run, its store, and its models, as they were.

Layer: reads headers and cards; embeds nothing.
"""

from collections.abc import Sequence
from pathlib import Path

from compute.errors import UsageError
from compute.models.card_files import FoundModel, Model, builtin_cards
from compute.models.readable import bind
from compute.storage.remote import is_url
from compute.storage.run_directory import RunDirectory
from compute.store.reader import CropStore


def refuse_urls(store: Path | str, run: Path | str) -> None:
    """Refuse a store or a run behind a URL.

    Raises
    ------
    UsageError
        One is a URL.
    """
    for place in (store, run):
        if is_url(str(place)):
            raise UsageError(f"{place} is a URL.", "Copy the run and its store to this machine.")


def open_finished(store: Path | str, run: Path | str) -> tuple[RunDirectory, CropStore]:
    """Open a finished run and its store, and check that they belong together.

    Raises
    ------
    UsageError
        One is a URL, the run is not finished or has no trials, or is of another store.
    InputError
        A file of the run is not as it was written.
    """
    refuse_urls(store, run)
    base, opened = RunDirectory(run), CropStore(store)
    if not base.complete:
        raise UsageError(f"{run} is not finished.", "Finish it with the command that began it.")
    if not base.parts("trials") or "embed" not in base.meta.get("configuration", {}):
        raise UsageError(f"{run} has no trials of its own.", "Give a run of `bystander run`.")
    made_of = base.meta["store"]["fingerprint"]
    if made_of != opened.fingerprint:
        raise UsageError(
            f"{run} was made from another store ({made_of}) than {store} ({opened.fingerprint}).",
            f"Give the store that it was made from; it was called {base.meta['store']['path']!r}.",
        )
    base.verify()
    return base, opened


def models_of(
    base: RunDirectory, store: CropStore, models: Sequence[Model] | None, trusted: bool
) -> dict[str, FoundModel]:
    """Find a run's models, by name, and check that they are the same models.

    Parameters
    ----------
    base, store
        The finished run, and its store.
    models
        As they were given to the run, all or some; None for all, which must be shipped ones.
    trusted
        Whether foreign code that models bring may run.

    Raises
    ------
    UsageError
        A model is not the run's, or is not shipped and not given.
    """
    made = {model["name"]: model["hash"] for model in base.meta["models"]}
    shipped = builtin_cards()
    if models is None:
        other = [name for name in made if name not in shipped]
        if other:
            raise UsageError(
                f"{base.path}: models {', '.join(other)} are not shipped.",
                "Give --models, with the paths of their cards.",
            )
        models = list(made)
    found = {}
    for model in bind(models, store, trusted=trusted)[0]:
        if made.get(model.name) != model.card.hash:
            known = "other weights or settings" if model.name in made else "no such model"
            raise UsageError(
                f"Model {model.name!r}: {base.path} has {known}.",
                f"Give the cards that the run was made with; its models: {', '.join(made)}.",
            )
        found[model.name] = model
    return found
