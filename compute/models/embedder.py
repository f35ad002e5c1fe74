"""Models ready to embed crops: a card, a network, one call from raw images to vectors.

Layer: loads a found model; from then on tensors in, tensors out. Cards themselves are in
`compute.models.card`, which needs no torch.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compute.backgrounds.scene import Scene
from compute.errors import InputError, UsageError, unknown_value
from compute.models import scaling_compiled
from compute.models.card import ModelCard
from compute.models.card_files import FoundModel, find_model, source_words
from compute.models.footprint import counted, refuse_after, refuse_before
from compute.models.loaders.answers import Answers
from compute.models.loaders.behaviour import check_answers, check_behaviour, trial_crops
from compute.models.loaders.network import (
    HookedModule,
    Network,
    SceneReader,
    in_one_pass,
    told,
)
from compute.models.networks.blocks import LayeredNetwork
from compute.models.own_answer import OwnAnswer
from compute.models.precision import PRECISIONS
from compute.models.readable import corners
from compute.models.recipe import (
    CHANNEL_USES,
    NO_CHANNEL,
    POOLINGS,
    pad_or_cut,
    passes,
    pool,
    resize,
)
from compute.models.scaling import PARAMETERS, scaling_named
from compute.models.sources import built_in


class Embedder:
    """A model that turns raw crops into embeddings.

    Parameters
    ----------
    card
        The model's card, for crops of a known side.
    network
        The network with its weights in place, in inference mode and on the device; or what reads
        raw crops with their scene. The caller must not use it again.
    device
        Where it computes; the CPU by default.
    own
        How its head answers with a store's classes; None, the default, where it is not asked.

    Raises
    ------
    InputError
        The network does not take what the card's recipe gives it, or gives what cannot be an
        embedding.
    """

    def __init__(
        self,
        card: ModelCard,
        network: Network | SceneReader,
        device: torch.device | str = "cpu",
        own: OwnAnswer | None = None,
    ) -> None:
        self.card, self.own = card, own
        self.device = torch.device(device)
        if self.device.type == "cuda":
            # TF32 would round float32 to 10 bits; bfloat16 can be asked for instead.
            torch.backends.cudnn.allow_tf32 = False
            torch.backends.cuda.matmul.allow_tf32 = False
        self._network = network
        self._activations: Callable[[Tensor, Sequence[str]], Mapping[str, Tensor]]
        if not isinstance(network, SceneReader):
            self._activations = partial(in_one_pass, network)
        numbers = {name: getattr(card, name) for name in PARAMETERS.get(card.scaling, ())}
        self._scale = scaling_named(card.scaling, **numbers)
        self._compiled = self.device.type == "cpu" and card.scaling in scaling_compiled.SCALERS
        self._real = [k for k, name in enumerate(card.channels) if name != NO_CHANNEL]
        self._prefix = card.prefix_tokens
        if self._prefix < 0:
            self._prefix = int(getattr(network, "prefix_tokens", 0))
        self._averaged = CHANNEL_USES[card.channel_use].averaged
        self._moved = [
            torch.tensor(values, device=self.device).view(1, -1, 1, 1) if values else None
            for values in (card.mean, card.deviation)
        ]
        side = card.window
        self._windows = [
            (slice(top, top + side), slice(left, left + side)) for top, left in corners(card)
        ]

    @property
    def network(self) -> Network | SceneReader:
        """The network itself, in inference mode."""
        return self._network

    @property
    def module(self) -> nn.Module | None:
        """The PyTorch module in it; None where there is none that can be looked into."""
        found = getattr(self._network, "module", self._network)
        return found if isinstance(found, nn.Module) else None

    @property
    def name(self) -> str:
        """The card's name."""
        return self.card.name

    @cached_property
    def dimension(self) -> int:
        """Length of an embedding, found from two dark crops.

        Raises
        ------
        InputError
            The network does not take crops as the card gives them, or what it gives is no embedding
            for each; or a batch, or the embeddings, would take more memory than there is.
        """
        if self.answers is not None:
            return self.answers.dimension
        card = self.card
        what = f"Model {card.name!r}: {source_words(card)}, given {self._given()},"
        with told(what, "Check `channels`, `inputs`, `input_size` and `layer` in its card."):
            blank = torch.zeros(2, len(card.channels), card.size, card.size, device=self.device)
            with counted(self.module) as layers:
                found = self.forward(blank, scene=self.whole(blank) if self.needs_scene else None)
        if found.ndim != 2 or len(found) != 2 or not found.shape[1]:
            raise InputError(
                f"{what} gives an array of {'×'.join(map(str, found.shape))} for 2 crops.",
                "Name a layer that gives a map, tokens or vectors for each crop.",
            )
        refuse_after(card, self.device, layers, len(blank), found.shape[1])
        return found.shape[1]

    @property
    def width(self) -> int:
        """Numbers that `with_own` gives of a crop: `dimension`, and those of its own answer."""
        return self.dimension + (len(self.own.names) + 1 if self.own else 0)

    @property
    def answers(self) -> Answers | None:
        """The table that it looks its answers up in; None where it computes them."""
        return self._network if isinstance(self._network, Answers) else None

    @property
    def needs_scene(self) -> bool:
        """Whether it must be told where the centre cells and their neighbours are."""
        return self.card.kind.by_scene or POOLINGS[self.card.pooling].by_mask

    @property
    def hash(self) -> str:
        """SHA-256 of all that decides the embeddings; see `ModelCard.hash`."""
        return self.card.hash

    @staticmethod
    def whole(crops: Tensor) -> Scene:
        """Return a scene in which the cell fills every one of N×C×H×W crops."""
        shape = (len(crops), *crops.shape[2:])
        everywhere = torch.ones(shape, dtype=torch.bool, device=crops.device)
        return Scene(everywhere, ~everywhere)

    def check_precision(self, precision: str) -> None:
        """Refuse a precision that the network cannot compute with.

        Parameters
        ----------
        precision
            Key of `PRECISIONS`.

        Raises
        ------
        UsageError
            There is no such precision, or the network is no PyTorch module and computes as it does.
        """
        if precision not in PRECISIONS:
            raise unknown_value("precision", precision, PRECISIONS)
        computed = self.answers is None and not self.card.kind.by_scene
        if precision != "float32" and self.module is None and computed:
            raise UsageError(
                f"Model {self.name!r} cannot compute with {precision}: it is "
                f"{source_words(self.card)}, not a module of PyTorch.",
                "Give --precision float32, or run it apart from the others.",
            )

    def check_head(self) -> None:
        """Refuse a head that does not give a number for each of the card's classes.

        Raises
        ------
        UsageError
            There is no such part.
        InputError
            It gives something else, or cannot be had in one pass with the embedding.
        """
        if self.own is None:
            return
        if self.answers is not None:
            if self.answers.dimension != len(self.own.head):
                raise InputError(
                    f"Model {self.name!r} answers {self.answers.dimension} numbers, and its card "
                    f"names {len(self.own.head)} classes.",
                    'Correct `classes` in its card, or write head = "none".',
                )
            return
        card = self.card
        what = f"Model {card.name!r}: its head {self.own.layer!r}, given {self._given()},"
        with told(what, "Check `head` and `classes` in its card."):
            blank = torch.zeros(2, len(card.channels), card.size, card.size, device=self.device)
            self.with_own(blank, scene=self.whole(blank) if self.needs_scene else None)

    def compile(self) -> None:
        """Have PyTorch compile the network at its first use, which pays on GPUs."""
        # Of other networks a layer may end the computation by force, which cannot be compiled.
        if isinstance(self._network, LayeredNetwork):
            layer = torch.compile(self._network.forward_to)
            several = torch.compile(self._network.forward_several)

            def activations(images: Tensor, names: Sequence[str]) -> Mapping[str, Tensor]:
                wanted = tuple(dict.fromkeys(names))
                if len(wanted) == 1:
                    return {wanted[0]: layer(images, wanted[0])}
                return several(images, wanted)

            self._activations = activations

    @torch.inference_mode()
    def __call__(
        self,
        images: Tensor,
        reference: Tensor | None = None,
        precision: str = "float32",
        scene: Scene | None = None,
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
        scene
            What lies where in the crops, on the model's device, where it `needs_scene`; None by
            default.

        Returns
        -------
        Tensor
            N×`dimension` float32, on the model's device.

        Raises
        ------
        UsageError
            The images are not of the card's channels and size, or the reference is of another
            shape; or there is no such precision, or not for this network.
        InputError
            It needs a scene, which was not given.
        """
        return self.forward(self.scale(images, reference), precision, scene)

    @torch.inference_mode()
    def with_own(
        self,
        images: Tensor,
        reference: Tensor | None = None,
        precision: str = "float32",
        scene: Scene | None = None,
    ) -> Tensor:
        """Embed crops and ask the model's own answer, in one pass; arguments as in `__call__`.

        Of several windows or passes the probabilities are averaged.

        Returns
        -------
        Tensor
            N×`width` float32, on the model's device: the embedding, then what `OwnAnswer.of` gives.
        """
        if self.own is None:
            return self(images, reference, precision, scene)
        scaled = self.scale(images, reference)
        [found] = self._forward([(self, self.own)], scaled, precision, scene)
        return torch.cat(found, dim=1)

    def look_up(self, trials: NDArray[np.int64]) -> Tensor:
        """Return what `with_own` would give of trials whose answers were given elsewhere.

        Raises
        ------
        UsageError
            It computes its answers.
        InputError
            There is none to one of the trials.
        """
        if self.answers is None:
            raise UsageError(f"Model {self.name!r} is no table.", "Give it crops.")
        found = torch.from_numpy(self.answers.of(trials))
        return found if self.own is None else torch.cat([found, self.own.of(found)], dim=1)

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
        if len(self._real) == len(self.card.channels):
            return self._scaled(images, reference)
        # A channel that is not there has no part in the scale of the others.
        scaled = torch.zeros_like(images)
        other = None if reference is None else reference[:, self._real]
        scaled[:, self._real] = self._scaled(images[:, self._real], other)
        return scaled

    def _scaled(self, images: Tensor, reference: Tensor | None) -> Tensor:
        """Scale channels that are there."""
        if self._compiled:
            return scaling_compiled.scale(self.card.scaling, images, reference)
        return self._scale(images, reference)

    @torch.inference_mode()
    def forward(
        self, scaled: Tensor, precision: str = "float32", scene: Scene | None = None
    ) -> Tensor:
        """Embed crops that are scaled already: the network, pooling, mean over windows.

        Parameters
        ----------
        scaled
            N×C×H×W, as `scale` gives them, on the model's device.
        precision
            Key of `PRECISIONS`; ``"float32"`` by default.
        scene
            As in `__call__`.

        Returns
        -------
        Tensor
            N×`dimension`.

        Raises
        ------
        UsageError
            The precision does not exist or is none for this network, or the card has no windows.
        InputError
            It needs a scene, which was not given.
        """
        [[embedding]] = self._forward([(self, None)], scaled, precision, scene)
        return embedding

    def _forward(
        self,
        readers: "Sequence[tuple[Embedder, OwnAnswer | None]]",
        scaled: Tensor,
        precision: str,
        scene: Scene | None,
    ) -> list[list[Tensor]]:
        """Run the network once for some models of it, and ask the own answers that are given.

        Returns
        -------
        list of list of Tensor
            For each model its embeddings, then its own answers if these were asked.
        """
        self.check_precision(precision)
        by_scene = [model for model, _ in readers if model.needs_scene]
        if scene is None and by_scene:
            raise InputError(
                f"Model {by_scene[0].name!r} must be told where centre cells and neighbours are.",
                "Give the crops' scene (`compose(…, with_scene=True)`).",
            )
        if isinstance(self._network, SceneReader) and scene is not None:
            return [[self._network.read(scaled, scene).to(self.device)]]
        mask = scene.mask if scene is not None and by_scene else None
        totals: list[list[Tensor]] = [[] for _ in readers]
        for window, seen in self.inputs(scaled, mask):
            parts = [self._one(part, seen, precision, readers) for part in window]
            for total, several in zip(totals, zip(*parts, strict=True), strict=True):
                joined, *said = map(list, zip(*several, strict=True))
                found = [joined[0] if len(joined) == 1 else self._joined(joined)]
                found += [torch.stack(answers).mean(0) for answers in said]
                total[:] = [a + b for a, b in zip(total, found, strict=True)] if total else found
        if not all(totals):
            raise UsageError(f"Model {self.name!r} has no windows.", "Correct its card.")
        many = len(self._windows)
        return [[each / many for each in total] for total in totals] if many > 1 else totals

    def inputs(
        self, scaled: Tensor, mask: Tensor | None = None
    ) -> Iterator[tuple[list[Tensor], Tensor | None]]:
        """Yield what the network gets of each window that is cut from crops.

        Parameters
        ----------
        scaled, mask
            As in `forward`.

        Yields
        ------
        passes : list of Tensor
            N×I×h×w each, one for each pass of the network.
        mask : Tensor or None
            The masks in the window, N×h×w.
        """
        card = self.card
        whole = [scaled] if mask is None else [scaled, mask[:, None].to(scaled.dtype)]
        if card.resampled_size != card.size:
            whole = [resize(each, card.resampled_size, card.interpolation) for each in whole]
        if card.fit == "resize":
            whole = [resize(each, card.window, card.interpolation) for each in whole]
        elif card.fit == "pad":
            images, *masks = whole
            # Around the crop is nothing of the cell.
            whole = [pad_or_cut(images, card.window)]
            whole += [pad_or_cut(each, card.window, 0.0) for each in masks]
        for rows, columns in self._windows:
            cut, *seen = [each[:, :, rows, columns] for each in whole]
            cut = cut.contiguous(memory_format=torch.channels_last)
            given = passes(cut, card.channel_use, card.network_inputs)
            mean, deviation = self._moved
            if mean is not None:
                given = [each - mean.to(each.dtype) for each in given]
            if deviation is not None:
                given = [each / deviation.to(each.dtype) for each in given]
            yield given, seen[0][:, 0] if seen else None

    def _one(
        self,
        images: Tensor,
        mask: Tensor | None,
        precision: str,
        readers: "Sequence[tuple[Embedder, OwnAnswer | None]]",
    ) -> list[tuple[Tensor, ...]]:
        """Run the network once on what it gets; as `_forward` for one window and one pass."""
        names = [name for model, own in readers for name in model.asked(own)]
        with torch.autocast(
            self.device.type, getattr(torch, precision), enabled=precision != "float32"
        ):
            values = self._activations(images, names)
        answers = list[tuple[Tensor, ...]]()
        for model, own in readers:
            card = model.card
            found = values[card.layer]
            if precision != "float32":
                found = found.float()
            shown = mask if model.needs_scene else None
            embedding = pool(found, card.pooling, model._prefix, shown)
            answers.append((embedding,) if own is None else (embedding, own.of(values[own.layer])))
        return answers

    def asked(self, own: OwnAnswer | None) -> tuple[str, ...]:
        """Name the activations that it is made of, its head's with them if that is given."""
        return (self.card.layer,) if own is None else (self.card.layer, own.layer)

    def _joined(self, embeddings: list[Tensor]) -> Tensor:
        """Average the embeddings of several passes, or join them."""
        if self._averaged:
            return torch.stack(embeddings).mean(0)
        return torch.cat(embeddings, dim=1)

    def _given(self) -> str:
        """Say what the network gets: ``3×224×224``."""
        side = self.card.window
        return f"{self.card.network_inputs}×{side}×{side}"

    @torch.inference_mode()
    def rounding(self, images: Tensor, precision: str, scene: Scene | None = None) -> float | None:
        """Measure the rounding error of a precision: the largest relative distance from float64.

        Parameters
        ----------
        images
            A few crops, N×C×H×W float32, raw intensities.
        precision
            Key of `PRECISIONS`.
        scene
            As in `__call__`; None by default.

        Returns
        -------
        float or None
            Largest of the N values ‖a − b‖ / ‖b‖, where a is the embedding and b the one computed
            as float64 on the CPU; None for networks that are no PyTorch modules of ours.
        """
        if not isinstance(self._network, LayeredNetwork):
            return None
        exact = Embedder(self.card, copy.deepcopy(self._network).cpu().double())
        scaled = self.scale(images)
        there = None if scene is None else scene.moved(lambda t: t.cpu())
        best = exact.forward(scaled.cpu().double(), scene=there)
        found = self.forward(scaled, precision, scene).cpu().double()
        away = torch.linalg.vector_norm(found - best, dim=1)
        return float((away / torch.linalg.vector_norm(best, dim=1).clamp(min=1e-30)).max())


@torch.inference_mode()
def with_own_together(
    models: Sequence[Embedder],
    images: Tensor,
    reference: Tensor | None = None,
    precision: str = "float32",
    scene: Scene | None = None,
    ask: bool = True,
) -> list[Tensor]:
    """Scale crops once and run the network once for some models that differ in layer and pooling.

    Parameters
    ----------
    models
        At least one; all of one network (`compute.models.one_network.passes`).
    images, reference, precision, scene
        As in `Embedder.__call__`.
    ask
        Whether own answers are asked too; True by default.

    Returns
    -------
    list of Tensor
        What `Embedder.with_own` gives of each, or its embeddings alone.
    """
    first = models[0]
    if len(models) == 1:
        return [(first.with_own if ask else first)(images, reference, precision, scene)]
    scaled = first.scale(images, reference)
    found = first._forward(
        [(model, model.own if ask else None) for model in models], scaled, precision, scene
    )
    return [each[0] if len(each) == 1 else torch.cat(each, dim=1) for each in found]


def load_model(
    model: FoundModel | ModelCard | Path | str,
    device: torch.device | str = "cpu",
    folder: Path | str | None = None,
    *,
    trusted: bool = False,
    network: Network | None = None,
) -> Embedder:
    """Load a model. Foreign code that it brings runs only if it is trusted.

    Parameters
    ----------
    model
        A model that was found, name of a shipped one, path of a card, or a card whose weights lie
        in `folder`.
    device
        Where it is to compute; the CPU by default.
    folder
        Folder of the weights; by default the one of the card's file.
    trusted
        Whether foreign code may run; False by default.
    network
        The network of another model that differs in layer and pooling only, which is then used;
        None, the default, loads it.

    Returns
    -------
    Embedder
        The model in inference mode, its weights as float32.

    Raises
    ------
    InputError
        The card or the weights are missing or damaged, the weights are not those the card names,
        or do not fit the network.
        Or it is none of ours, and does not answer every crop by itself and always alike. Or it
        would take more memory than is free.
    UsageError
        A card is given without the folder of its weights, or one that does not say the size of its
        crops; or foreign code is not trusted.

    Examples
    --------
    >>> import torch
    >>> from compute import load_model
    >>> model = load_model("deeploc.toml")
    >>> model(torch.rand(5, 2, 64, 64)).shape[0]
    5
    """
    if isinstance(model, ModelCard):
        model = FoundModel(model, None if folder is None else Path(folder), trusted)
    elif not isinstance(model, FoundModel):
        model = find_model(model, trusted=trusted)
    card, kind = model.card, model.card.kind
    if kind.runs:
        model.require_trust(kind.runs.format(card=card))
    lacking = "the side of its crops" if not card.size else "its channels"
    if not card.size or not (card.channels or kind.blind):
        raise UsageError(
            f"The card of {card.name!r} does not say {lacking}.",
            "Write `size` and `channels` in it, or bind it to a store (`FoundModel.bound`).",
        )
    module, function = kind.loader.split(":")
    load: Callable[[FoundModel, torch.device], Network | SceneReader]
    load = getattr(import_module(module), function)
    where = torch.device(device)
    if network is None:
        refuse_before(card, where)
    loaded = network or load(model, where)
    embedder = Embedder(card, loaded, where, model.own)
    _ = embedder.dimension  # A network that does not take the crops is refused here.
    embedder.check_head()
    if not kind.by_scene and embedder.answers is None:
        what = f"Model {card.name!r}"
        crops = trial_crops(len(card.channels), card.size).to(where)
        scene = embedder.whole(crops) if embedder.needs_scene else None
        if built_in(card.source) is not None:
            check_answers(what, embedder(crops, scene=scene))
            return embedder
        kept = check_behaviour(
            what,
            lambda some: embedder.with_own(
                some, scene=embedder.whole(some) if embedder.needs_scene else None
            ),
            crops,
            embedder.module,
        )
        if kept and isinstance(loaded, HookedModule):
            loaded.one_at_a_time()
    return embedder
