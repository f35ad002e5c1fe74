"""What every loader returns: something that gives a layer's activation for scaled images.

Layer: tensors in, tensors out; no files.
"""

import threading
from collections.abc import Callable, Iterator
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
    """

    def __init__(
        self,
        module: nn.Module,
        prefix_tokens: int = 0,
        outputs: dict[str, Any] | None = None,
        call: Callable[[Tensor], Any] | None = None,
    ) -> None:
        self.module = module
        self.prefix_tokens = prefix_tokens
        self._call = call or module
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

    def _hook(self, layer: str) -> None:
        """Have a part of the module stop the computation once it has answered."""
        parts = dict(self.module.named_modules())
        if layer not in parts:
            raise unknown_value("layer of this network", layer, self.layers)

        def stop(_: nn.Module, __: Any, value: Any) -> None:
            if getattr(self._wanted, "layer", None) == layer:
                raise _Reached(value)

        parts[layer].register_forward_hook(stop)
        self._hooked.add(layer)


class _Reached(Exception):
    """Carries a layer's output out of a forward pass that need not go on."""

    def __init__(self, value: Any) -> None:
        super().__init__("reached")
        self.value = value


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
