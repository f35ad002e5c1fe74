"""Runs Python code that a card names, and makes a network of what it returns.

Layer: a folder and names in, a network out. Only for models that are trusted.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module, invalidate_caches
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from compute.errors import InputError, UsageError
from compute.models.card_files import FoundModel
from compute.models.loaders.network import OUTPUT, HookedModule, Network, ready, told
from compute.models.loaders.weights_file import checked_file
from compute.models.weights import load_weights, read_weights


class Answering:
    """A function from images to embeddings, of which nothing but the answer may be had.

    Parameters
    ----------
    function
        From N×I×h×w to a map, tokens or vectors.
    """

    def __init__(self, function: Any) -> None:
        self._function = function

    def forward_to(self, images: Tensor, layer: str, /) -> Tensor:
        """Return the function's answer.

        Raises
        ------
        UsageError
            Another layer is asked for.
        InputError
            The answer is no tensor.
        """
        if layer != OUTPUT:
            raise UsageError(
                f"Layer {layer!r} cannot be had: the model is no torch.nn.Module.",
                f'Write layer = "{OUTPUT}".',
            )
        answer = self._function(images)
        if not isinstance(answer, Tensor):
            raise InputError(
                f"It answers with {_kind(answer)}, not with a tensor.", "Return one tensor."
            )
        return answer


@contextmanager
def code_in(folder: Path) -> Iterator[None]:
    """Have Python find a folder's modules, and forget them afterwards.

    They are found before others of the same name, as beside a script. They are forgotten so that
    another model's `model.py` is never taken for this one's. No `.pyc` files are written.

    Parameters
    ----------
    folder
        The folder; one that Python searches anyhow is left as it is.
    """
    place = folder.resolve()
    if place in [Path(entry or ".").resolve() for entry in sys.path]:
        yield
        return
    loaded, writes = set(sys.modules), sys.dont_write_bytecode
    sys.path.insert(0, str(place))
    sys.dont_write_bytecode = True
    invalidate_caches()
    try:
        yield
    finally:
        sys.dont_write_bytecode = writes
        if str(place) in sys.path:
            sys.path.remove(str(place))
        own = {
            name
            for name, module in list(sys.modules.items())
            if name not in loaded and "." not in name and _home(module) == place
        }
        for name in list(sys.modules):
            if name.partition(".")[0] in own:
                del sys.modules[name]


def import_from(folder: Path, name: str) -> ModuleType:
    """Import a module, the folder's own if it has one of that name; within `code_in`.

    Raises
    ------
    UsageError
        Python has loaded another of that name.
    """
    top, place = name.partition(".")[0], folder.resolve()
    loaded = sys.modules.get(top)
    has = (place / f"{top}.py").is_file() or (place / top).is_dir()
    if loaded is not None and has and _home(loaded) != place:
        raise UsageError(
            f"{folder} has a module {top!r}, but another of that name is loaded already, from "
            f"{getattr(loaded, '__file__', None) or 'Python itself'}.",
            "Give the one in the folder another name.",
        )
    return import_module(name)


def made_by(what: str, folder: Path, module: str, function: str, seed: int) -> Any:
    """Call a function of a module without arguments, `pretrained=False` where it has that.

    Parameters
    ----------
    what
        The model, for messages.
    folder
        Whose modules are found first, during the import and the call.
    module, function
        Their names.
    seed
        Of what is drawn, so that weights are the same each time.

    Raises
    ------
    UsageError
        There is no such function.
    InputError
        The module or the function fails, or the latter returns no model.
    """
    with code_in(folder):
        with told(f"{what}: import of {module!r}", f"Is it installed, or in {folder}?"), _no_exit():
            found = import_from(folder, module)
        call = getattr(found, function, None)
        if not callable(call):
            names = [n for n, value in vars(found).items() if callable(value) and n[0] != "_"]
            raise UsageError(
                f"{what}: {module} has no function {function!r}.",
                f"It has {', '.join(names[:12]) or 'none'}.",
            )
        with (
            told(f"{what}: {module}:{function}", "It must return a model without arguments."),
            _no_exit(),
            torch.random.fork_rng(devices=[]),
        ):
            torch.manual_seed(seed)
            made = call(**({"pretrained": False} if _has_pretrained(call) else {}))
    if isinstance(made, type) or not (callable(made) or hasattr(made, "forward_to")):
        raise InputError(
            f"{what}: {module}:{function} returns {_kind(made)}, not a model.",
            "Return a torch.nn.Module, or an object that can be called with N×I×h×w tensors.",
        )
    return made


def as_network(made: Any, found: FoundModel, device: torch.device) -> Network:
    """Make a network of a model that foreign code returned, with the card's weights if it has any.

    Raises
    ------
    InputError
        The weights are missing or damaged, are not those that the card names, or do not fit.
    UsageError
        There are weights, but no module to give them to.
    """
    card = found.card
    if isinstance(made, nn.Module):
        with told(f"Model {card.name!r}: eval() and moving it to {device}", "Correct the module."):
            if card.weights:
                path = checked_file(found)
                load_weights(made, read_weights(path, foreign=True), str(path))
            return HookedModule(ready(made, device), int(getattr(made, "num_prefix_tokens", 0)))
    if card.weights:
        raise UsageError(
            f"Model {card.name!r} names weights, but its code returns no torch.nn.Module to give "
            "them to.",
            "Leave out `weights`, or return the module.",
        )
    if hasattr(made, "forward_to"):
        network: Network = made
        return network
    return Answering(made)


def _home(module: ModuleType) -> Path | None:
    """Return the folder that a module without dots in its name was found in."""
    paths = list(getattr(module, "__path__", []))
    file = paths[0] if paths else getattr(module, "__file__", None)
    return Path(file).resolve().parent if file else None


def _has_pretrained(call: Any) -> bool:
    """Tell whether a function takes `pretrained`, which would load weights that no card names."""
    from inspect import signature

    try:
        return "pretrained" in signature(call).parameters
    except (TypeError, ValueError):  # Of functions in other languages.
        return False


@contextmanager
def _no_exit() -> Iterator[None]:
    """Turn an exit, which would end everything in silence, into an error."""
    try:
        yield
    except SystemExit as error:
        raise RuntimeError(f"it calls exit({error.code})") from error


def _kind(value: Any) -> str:
    """Say what a value is."""
    if isinstance(value, type):
        return f"the class {value.__name__} itself"
    return "nothing (None)" if value is None else f"a {type(value).__name__}"
