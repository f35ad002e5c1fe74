"""What every loader returns: something that gives a layer's activation for scaled images.

Layer: tensors in, tensors out; no files.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from compute.backgrounds.scene import Scene
from compute.errors import InputError, UsageError, unknown_value

OUTPUT = "output"
"""Layer of a foreign network that is its answer itself."""


@runtime_checkable
class Network(Protocol):
    """Anything that computes activations by name."""

    def forward_to(self, images: Tensor, layer: str, /) -> Tensor:
        """Compute one activation of N×I×h×w scaled images: N×K×h×w, N×T×K or N×K, float."""


@runtime_checkable
class SeveralAtOnce(Protocol):
    """A network that computes several activations in one pass."""

    def forward_several(
        self, images: Tensor, layers: Sequence[str], /
    ) -> Mapping[str, Tensor | None]:
        """Compute some activations of N×I×h×w scaled images, by name; see `Network`."""


def in_one_pass(network: Network, images: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Compute several activations, a head's output among them, in one pass.

    Parameters
    ----------
    network
        The network.
    images
        N×I×h×w, scaled.
    names
        Names of the activations; one that is named twice is computed once.

    Returns
    -------
    dict
        Activations by name, in the order in which the network gave them.

    Raises
    ------
    InputError
        The network computes one activation at a time, or gives none for a name.
    """
    wanted = tuple(dict.fromkeys(names))
    if len(wanted) == 1:
        return {wanted[0]: network.forward_to(images, wanted[0])}
    if not isinstance(network, SeveralAtOnce):
        raise InputError(
            f"Layers {' and '.join(map(repr, wanted))} cannot be had in one pass: the model "
            "computes one activation at a time.",
            "Give it a method forward_several(images, layers) that returns a dictionary, or write "
            'head = "none" where one of them is a head.',
        )
    given = network.forward_several(images, wanted)
    found = {name: value for name, value in given.items() if value is not None and name in wanted}
    missing = [name for name in wanted if name not in found]
    if missing:
        raise InputError(
            f"The model gives no {missing[0]!r}.", "Name another layer or head in its card."
        )
    return found


@runtime_checkable
class SceneReader(Protocol):
    """Anything that computes embeddings of raw crops, knowing what lies where in them."""

    def read(self, images: Tensor, scene: Scene, /) -> Tensor:
        """Compute N×D float32 of N×C×H×W raw intensities and their scene, on any device."""


class HookedModule:
    """A PyTorch module of which any part's output may be had, by the part's dotted name.

    Parameters
    ----------
    module
        The module in inference mode, on its device.
    prefix_tokens
        Tokens before those of patches, where it gives tokens; 0 by default.
    outputs
        Further names, and functions from images to what they name; empty by default.
    call
        Function from images to the module's answer; by default the module itself.
    together
        Function from images and some of the further names to what these name, by name, in one pass;
        by default only the answer itself can be had together with parts of the module.
    """

    def __init__(
        self,
        module: nn.Module,
        prefix_tokens: int = 0,
        outputs: dict[str, Any] | None = None,
        call: Callable[[Tensor], Any] | None = None,
        together: Callable[[Tensor, Sequence[str]], Mapping[str, Any]] | None = None,
    ) -> None:
        self.module = module
        self.prefix_tokens = prefix_tokens
        self._call = call or module
        self._together = together
        self._outputs = {OUTPUT: self._call, **(outputs or {})}
        # Threads share the module, and each looks for its own activation.
        self._wanted = threading.local()
        self._hooked: set[str] = set()
        self._turn: AbstractContextManager[Any] = nullcontext()

    def one_at_a_time(self) -> None:
        """Let threads wait for each other, for a module that keeps what it computes in itself."""
        self._turn = threading.Lock()

    @property
    def layers(self) -> list[str]:
        """Names of everything that may be had."""
        return [*self._outputs, *(name for name, _ in self.module.named_modules() if name)]

    def forward_to(self, images: Tensor, layer: str, /) -> Tensor:
        """Compute one activation, and nothing after it.

        Raises
        ------
        UsageError
            There is no such layer.
        InputError
            The layer is not reached, or does not give a tensor.
        """
        if layer in self._outputs:
            with self._turn:
                return _only_tensor(self._outputs[layer](images), layer)
        if layer not in self._hooked:
            self._hook(layer)
        self._wanted.layer = layer
        try:
            with self._turn:
                self._call(images)
        except _Reached as reached:
            return _only_tensor(reached.value, layer)
        finally:
            self._wanted.layer = None
        raise InputError(
            f"Layer {layer!r} does not run when the network answers.", "Name another layer."
        )

    def forward_several(self, images: Tensor, layers: Sequence[str], /) -> dict[str, Tensor]:
        """Compute several activations in one pass, and nothing after the last of them.

        Of a part that runs several times the first answer counts, as in `forward_to`.

        Returns
        -------
        dict
            Activations by name: parts in the order in which they answered, then further names.

        Raises
        ------
        UsageError
            There is no such layer.
        InputError
            A layer is not reached, does not give a tensor, or cannot be had in one pass with
            another.
        """
        named = [layer for layer in layers if layer in self._outputs]
        parts = [layer for layer in layers if layer not in self._outputs]
        for layer in parts:
            if layer not in self._hooked:
                self._hook(layer)
        self._wanted.kept = kept = dict[str, Any]()
        self._wanted.several, self._wanted.only_parts = parts, not named
        found = dict[str, Any]()
        try:
            with self._turn:
                if not named:
                    self._call(images)
                elif self._together is not None:
                    found = dict(self._together(images, named))
                elif len(named) == 1:
                    found = {named[0]: self._outputs[named[0]](images)}
                else:
                    raise InputError(
                        f"Layers {' and '.join(layers)} cannot be had in one pass.",
                        'Name another layer, or head = "none" in the card.',
                    )
        except _Reached:
            pass
        finally:
            self._wanted.several = ()
        found = {**kept, **found}
        for layer in layers:
            if layer not in found:
                raise InputError(
                    f"Layer {layer!r} does not run when the network answers.", "Name another layer."
                )
        order = [*kept, *named]
        return {layer: _only_tensor(found[layer], layer) for layer in order}

    def _hook(self, layer: str) -> None:
        """Have a part of the module stop the computation once it has answered, or go on."""
        parts = dict(self.module.named_modules())
        if layer not in parts:
            raise unknown_value("layer of this network", layer, self.layers)

        def stop(_: nn.Module, __: Any, value: Any) -> None:
            if getattr(self._wanted, "layer", None) == layer:
                raise _Reached(value)
            several = getattr(self._wanted, "several", ())
            if layer in several and layer not in self._wanted.kept:
                # What comes after may work in place, as a ReLU does.
                self._wanted.kept[layer] = _copied(value)
                if self._wanted.only_parts and len(self._wanted.kept) == len(several):
                    raise _Reached(value)

        parts[layer].register_forward_hook(stop)
        self._hooked.add(layer)


class _Reached(Exception):
    """Carries a layer's output out of a forward pass that need not go on."""

    def __init__(self, value: Any) -> None:
        super().__init__("reached")
        self.value = value


def _copied(value: Any) -> Any:
    """Copy a tensor, or the tensors of a tuple or list."""
    if isinstance(value, tuple | list):
        return tuple(map(_copied, value))
    return value.clone() if isinstance(value, Tensor) else value


def _only_tensor(value: Any, layer: str) -> Tensor:
    """Return a layer's output if it is one tensor; of a library's outputs, its first.

    Raises
    ------
    InputError
        It is something else.
    """
    if isinstance(value, Tensor):
        return value
    if isinstance(value, tuple | list) and len(value) == 1 and isinstance(value[0], Tensor):
        return value[0]
    raise InputError(
        f"Layer {layer!r} gives {_described(value)}, not one tensor.",
        "Name a layer inside it that gives one tensor.",
    )


def _described(value: Any) -> str:
    """Say what a value is: ``tuple of 2 (Tensor 3×4, NoneType)``."""
    if isinstance(value, tuple | list):
        return f"{type(value).__name__} of {len(value)}"
    if isinstance(value, dict):
        return f"a dictionary of {', '.join(map(str, list(value)[:8]))}"
    return f"{type(value).__name__}"


@contextmanager
def told(what: str, remedy: str) -> Iterator[None]:
    """Turn whatever foreign code raises into an error that names the model.

    Parameters
    ----------
    what
        What was being done: ``"Model 'x': package.module:make"``.
    remedy
        The way out.
    """
    try:
        yield
    except (InputError, UsageError):
        raise
    except Exception as error:
        said = str(error).strip().splitlines()
        shown = f": {said[0][:300]}" if said else ""
        raise InputError(f"{what} failed with {type(error).__name__}{shown}.", remedy) from error


def ready(module: nn.Module, device: torch.device) -> nn.Module:
    """Switch a module to inference, on a device, without gradients."""
    # One by one: where a foreign module overrides these, they may return nothing.
    module.eval()
    module.requires_grad_(False)
    module.to(device)
    return module
