"""Models ready to embed crops: a card, its weights, one call from raw images to vectors.

Layer: reads a card and a weights file; from then on tensors in, tensors out. Cards themselves are
in `compute.models.card`, which needs no torch.
"""

import copy
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from compute.errors import InputError, UsageError, unknown_value
from compute.models import scaling_compiled
from compute.models.card import POOLINGS, ModelCard, load_card
from compute.models.networks import network_spec
from compute.models.networks.blocks import LayeredNetwork, channels_last, fold
from compute.models.precision import PRECISIONS
from compute.models.readable import corners
from compute.models.scaling import scaling_named
from compute.models.weights import load_weights, read_weights
from compute.storage.atomic_files import sha256


class Embedder:
    """A model that turns raw crops into embeddings.

    Parameters
    ----------
    card
        The model's card.
    network
        The network with its weights in place. The caller must not use it again: it is moved to
        the device and switched to inference.
    device
        Where it computes; the CPU by default.
    """

    def __init__(
        self, card: ModelCard, network: LayeredNetwork, device: torch.device | str = "cpu"
    ) -> None:
        self.card = card
        self.device = torch.device(device)
        if self.device.type == "cuda":
            # TF32 would round float32 to 10 bits; bfloat16 can be asked for instead.
            torch.backends.cudnn.allow_tf32 = False
            torch.backends.cuda.matmul.allow_tf32 = False
        self._network = channels_last(network.eval().to(self.device))
        self._layer: Callable[[Tensor, str], Tensor] = self._network.forward_to
        self._scale = scaling_named(card.scaling)
        self._pool = POOLINGS[card.pooling]
        spec = network_spec(card.network)
        side = spec.input_size
        self._windows = [
            (slice(top, top + side), slice(left, left + side)) for top, left in corners(card)
        ]

    @property
    def network(self) -> LayeredNetwork:
        """The network itself, in inference mode."""
        return self._network

    @property
    def name(self) -> str:
        """The card's name."""
        return self.card.name

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        return self.card.dimension

    @property
    def hash(self) -> str:
        """SHA-256 of all that decides the embeddings; see `ModelCard.hash`."""
        return self.card.hash

    def compile(self) -> None:
        """Have PyTorch compile the network at its first use, which pays on GPUs."""
        self._layer = torch.compile(self._network.forward_to)

    @torch.inference_mode()
    def __call__(
        self, images: Tensor, reference: Tensor | None = None, precision: str = "float32"
    ) -> Tensor:
        """Embed crops.

        Parameters
        ----------
        images
            N×C×H×W float32, raw intensities, the card's channels in its order, H = W = its size.
        reference
            Crops of the same shape whose scale is used (locked normalisation); by default each
            crop's own.
        precision
            Key of `PRECISIONS`; ``"float32"`` by default.

        Returns
        -------
        Tensor
            N×`dimension` float32, on the model's device.

        Raises
        ------
        UsageError
            The images are not of the card's channels and size, or the reference is of another
            shape; or there is no such precision.
        """
        return self.forward(self.scale(images, reference), precision)

    @torch.inference_mode()
    def scale(self, images: Tensor, reference: Tensor | None = None) -> Tensor:
        """Scale raw crops as the card says, on the model's device; arguments as in `__call__`.

        Returns
        -------
        Tensor
            N×C×H×W float32.

        Raises
        ------
        UsageError
            The images are not of the card's channels and size, or the reference is of another
            shape.
        """
        expected = (len(self.card.channels), self.card.size, self.card.size)
        if images.ndim != 4 or tuple(images.shape[1:]) != expected:
            raise UsageError(
                f"Model {self.name!r} reads crops of {'×'.join(map(str, expected))} (channels × "
                f"height × width), not {'×'.join(map(str, images.shape[1:]))}.",
                "Select its channels, and use crops of its size.",
            )
        images = images.to(self.device)
        if reference is not None:
            reference = reference.to(self.device)
        if self.device.type == "cpu" and self.card.scaling in scaling_compiled.SCALERS:
            return scaling_compiled.scale(self.card.scaling, images, reference)
        return self._scale(images, reference)

    @torch.inference_mode()
    def forward(self, scaled: Tensor, precision: str = "float32") -> Tensor:
        """Embed crops that are scaled already: the network, pooling, mean over windows.

        Parameters
        ----------
        scaled
            N×C×H×W, as `scale` gives them, on the model's device.
        precision
            Key of `PRECISIONS`; ``"float32"`` by default.

        Returns
        -------
        Tensor
            N×`dimension`.

        Raises
        ------
        UsageError
            The precision does not exist, or the card has no windows.
        """
        if precision not in PRECISIONS:
            raise unknown_value("precision", precision, PRECISIONS)
        total: Tensor | None = None
        for rows, columns in self._windows:
            window = scaled[:, :, rows, columns].contiguous(memory_format=torch.channels_last)
            with torch.autocast(
                self.device.type, getattr(torch, precision), enabled=precision != "float32"
            ):
                embedding = self._layer(window, self.card.layer)
            if precision != "float32":
                embedding = embedding.float()
            if embedding.ndim == 4:
                embedding = self._pool(embedding)
            total = embedding if total is None else total + embedding
        if total is None:
            raise UsageError(f"Model {self.name!r} has no windows.", "Correct its card.")
        return total / len(self._windows) if len(self._windows) > 1 else total

    @torch.inference_mode()
    def rounding(self, images: Tensor, precision: str) -> float:
        """Measure the rounding error of a precision: the largest relative distance from float64.

        Parameters
        ----------
        images
            A few crops, N×C×H×W float32, raw intensities.
        precision
            Key of `PRECISIONS`.

        Returns
        -------
        float
            Largest of the N values ‖a − b‖ / ‖b‖, where a is the embedding and b the one computed
            as float64 on the CPU.
        """
        exact = Embedder(self.card, copy.deepcopy(self._network).cpu().double())
        scaled = self.scale(images)
        best = exact.forward(scaled.cpu().double())
        found = self.forward(scaled, precision).cpu().double()
        away = torch.linalg.vector_norm(found - best, dim=1)
        return float((away / torch.linalg.vector_norm(best, dim=1).clamp(min=1e-30)).max())


def load_model(
    card: ModelCard | Path | str,
    device: torch.device | str = "cpu",
    folder: Path | str | None = None,
) -> Embedder:
    """Load a model, running no code from its files.

    Parameters
    ----------
    card
        Path of a card, or a card whose weights lie in `folder`.
    device
        Where it is to compute; the CPU by default.
    folder
        Folder of the weights; by default the one of the card's file.

    Returns
    -------
    Embedder
        The model in inference mode, its weights as float32.

    Raises
    ------
    InputError
        The card or the weights are missing or damaged, the weights are not those the card names,
        or do not fit the network.
    UsageError
        A card is given without the folder of its weights.

    Examples
    --------
    >>> import torch
    >>> from compute import load_model
    >>> model = load_model("deeploc.toml")
    >>> model(torch.rand(5, 2, 64, 64)).shape[0]
    5
    """
    if not isinstance(card, ModelCard):
        folder = Path(card).parent if folder is None else folder
        card = load_card(card)
    if folder is None:
        raise UsageError(
            f"Where the weights of model {card.name!r} lie is not known.",
            "Give their folder, or the path of the card instead of the card.",
        )
    path = Path(folder) / card.weights
    tensors = read_weights(path)
    found = sha256(path)
    if found != card.sha256:
        raise InputError(
            f"{path} is not the file that the card of {card.name!r} describes: its sha256 is "
            f"{found}, the card says {card.sha256}.",
            "Fetch or convert the weights again, or correct the card if it should be this file.",
        )
    spec = network_spec(card.network)
    network = spec.build(card.width, len(card.classes))
    load_weights(network, tensors, str(path))
    if not spec.layers[card.layer].linear:
        fold(network)
    return Embedder(card, network, device)
