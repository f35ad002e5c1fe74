"""Loads a model of Hugging Face's transformers from a folder: config.json and safetensors files.

Layer: a found card in, a network out; nothing is fetched. The library gets tensors that were read
here, from the files that the card's hash covers, so it cannot take others, and never unpickles.
"""

import inspect
import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from compute.errors import InputError, UsageError
from compute.models.card import ModelCard
from compute.models.card_files import FoundModel
from compute.models.loaders.extras import import_extra
from compute.models.loaders.network import HookedModule, ready, told
from compute.models.loaders.weights_file import listing_digest
from compute.models.sources import split_source
from compute.models.weights import read_weights, refusal, times

CONFIG = "config.json"
OUTPUTS = ("last_hidden_state", "pooler_output")
"""Layers beside those of dotted names."""

HEAD = "logits"
"""What a card's `head` names of a model that was saved with its classifier."""

_POOLER = "pooler"
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def load(found: FoundModel, device: torch.device) -> HookedModule:
    """Build a model of a folder, with all the weights that are there and no others.

    Raises
    ------
    UsageError
        transformers is not installed, or cannot build it; or the folder brings code that is not
        trusted.
    InputError
        The folder or a file is missing or damaged, is not that which the card names, or the weights
        do not fit; or the model does not read images as the card gives them.
    """
    card = found.card
    folder = found.place / split_source(card.source)[1]
    config = _config(folder, card.name)
    code = _code(found, folder, config)
    weights = _weights_files(folder, card.weights)
    digest = listing_digest(folder, [folder / CONFIG, *weights, *code])
    if digest != card.sha256:
        raise InputError(
            f"{folder} is not the folder that the card of {card.name!r} describes: the sha256 of "
            f"its files together is {digest}, the card says {card.sha256}.",
            "Fetch the files again, or correct the card if it should be these.",
        )
    tensors: dict[str, Tensor] = {}
    for path in weights:
        if path.suffix != ".json":
            tensors.update(read_weights(path, foreign=True))
    library = import_extra("transformers", "transformers", f"model {found.name!r}")
    with told(
        f"Model {card.name!r}: transformers {library.__version__}, given {folder},",
        f"Check {CONFIG} there; a model of a later release needs a later transformers.",
    ):
        model = _built(library, folder, bool(code), tensors, card)
    return _wrapped(library, model, card, device)


def folder_digest(folder: Path, name: str, weights: str) -> str:
    """Return the `sha256` of a card for a folder: of its settings, weights and code together.

    Parameters
    ----------
    folder
        The folder.
    name
        The model's, for messages.
    weights
        As `ModelCard.weights`.

    Raises
    ------
    InputError
        A file is missing, or its settings cannot be read.
    """
    code = sorted(folder.rglob("*.py")) if _config(folder, name).get("auto_map") else []
    files = _weights_files(folder, weights)
    return listing_digest(folder, [folder / CONFIG, *files, *code])


def _config(folder: Path, name: str) -> dict[str, Any]:
    """Read a folder's settings; `name` is the model's, for messages.

    Raises
    ------
    InputError
        They are missing, are no JSON, or ask for what would be fetched or run.
    """
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(
            f"Model {name!r}: {path} cannot be read: {error.strerror}.",
            f"Name a folder beside the card that has {CONFIG} and model.safetensors.",
        ) from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}.", "Fetch it again.") from error
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise InputError(
            f"{path} does not say model_type, so transformers cannot tell what the model is.",
            'Fetch the file again. That of a timm model has none: write source = "timm:…".',
        )
    for key in ("quantization_config", "attn_implementation", "experts_implementation"):
        if config.get(key):
            raise InputError(
                f"{path} says {key}, which needs other code than the model's.",
                "Use a model without it, of float weights.",
            )
    if (folder / "adapter_config.json").exists():
        raise InputError(
            f"{folder} holds an adapter of another model.", "Merge it into that one, and save both."
        )
    return config


def _code(found: FoundModel, folder: Path, config: dict[str, Any]) -> list[Path]:
    """Return the Python files that a model brings; empty where it runs none of them.

    Raises
    ------
    UsageError
        It brings code and is not trusted.
    InputError
        The code lies elsewhere, or the card does not say which revision it is.
    """
    named = config.get("auto_map")
    if not named:
        return []
    found.require_trust(f"Python files in {folder}, which auto_map in {CONFIG} names")
    if "--" in json.dumps(named):
        raise InputError(
            f"{folder / CONFIG}: auto_map names code in another repository.",
            "Put that code in the folder, and name it in auto_map without what stands before --.",
        )
    if not _COMMIT.fullmatch(found.card.revision):
        raise InputError(
            f"Model {found.name!r} brings code, and its card does not say of which commit: "
            f"revision = {found.card.revision!r}.",
            "Write the commit that you looked at as `revision`, 40 digits 0-9a-f.",
        )
    return sorted(folder.rglob("*.py"))


def _weights_files(folder: Path, weights: str) -> list[Path]:
    """Return the weights file that a card names; with the files that it lists if it is an index.

    Raises
    ------
    InputError
        One is missing, or the index is none.
    """
    path = folder / weights
    if not path.is_file():
        there = sorted(p.name for p in folder.iterdir())
        pickled = [name for name in there if name.endswith(_PICKLED)]
        better = [name for name in there if ".safetensors" in name]
        if pickled and not better:
            raise InputError(
                f"{folder} has its weights only as {pickled[0]}, a pickle, which can run code when "
                "it is read.",
                "Fetch model.safetensors of the same model; or where you trust the file, call "
                "AutoModel.from_pretrained(FOLDER).save_pretrained(NEW-FOLDER) yourself.",
            )
        raise InputError(
            f"The weights {path} are missing.",
            f"Name one of {', '.join(better)} as `weights`." if better else "Fetch them.",
        )
    if path.suffix != ".json":
        return [path]
    try:
        names = sorted(set(json.loads(path.read_text("utf-8"))["weight_map"].values()))
        plain = all(Path(name).name == name and name.endswith(".safetensors") for name in names)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no index of safetensors files.", "Fetch it again.") from error
    if not plain:
        raise InputError(
            f"{path} names {', '.join(map(str, names[:4]))}, not safetensors files beside it.",
            "Fetch the index of the safetensors files.",
        )
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{path} names {missing[0]}, which is missing.", "Fetch it too.")
    return [path, *(folder / name for name in names)]


def _built(
    library: Any, folder: Path, code: bool, tensors: dict[str, Tensor], card: ModelCard
) -> Any:
    """Build the model that was saved, and give it all the weights.

    The class is the one that the settings name, heads included, so every tensor has its place: what
    has none is another model's. Of that, only the part that reads images is used.

    Raises
    ------
    InputError
        Weights are missing, left over or of another shape.
    """
    with _quiet(library):
        settings = library.AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=code
        )
        names = getattr(settings, "architectures", None) or [""]
        kind: Any = None if code else getattr(library, names[0], None)
        if not (isinstance(kind, type) and issubclass(kind, library.PreTrainedModel)):
            with torch.device("meta"):
                kind = type(library.AutoModel.from_config(settings, trust_remote_code=code))
        model, report = kind.from_pretrained(
            None,
            config=settings,
            state_dict=tensors,
            dtype=torch.float32,
            local_files_only=True,
            # Else it ends without saying which; they are refused below.
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    drawn = [key for key in report["missing_keys"] if _POOLER in key.split(".")]
    problems = [f"missing {key}" for key in sorted(set(report["missing_keys"]) - set(drawn))]
    problems += [f"no place for {key}" for key in sorted(report["unexpected_keys"])]
    problems += [
        f"{key} is {times(given)}, not {times(own)}"
        for key, given, own in sorted(report["mismatched_keys"])
    ]
    if problems:
        raise refusal(str(folder), problems)
    if drawn:
        # Some models are published without their pooler. Its drawn weights must not answer.
        own = model.state_dict()
        for key in drawn:
            own[key].fill_(float("nan"))
        if built_for(card):
            raise InputError(
                f"Layer {card.layer!r} needs {', '.join(sorted(drawn))}, which the weights lack.",
                f'Write layer = "{OUTPUTS[0]}".',
            )
    return model


def built_for(card: ModelCard) -> bool:
    """Say what a card's layer decides: whether a pooler that was drawn is refused."""
    return _POOLER in re.split(r"[._]", card.layer)


def _wrapped(library: Any, model: Any, card: ModelCard, device: torch.device) -> HookedModule:
    """Make the part of a model that reads images a network."""
    base = _base(library, model)
    settings = base.config
    inputs, side = getattr(settings, "num_channels", None), getattr(settings, "image_size", None)
    if isinstance(inputs, int) and inputs != card.network_inputs:
        raise InputError(
            f"Model {card.name!r} reads {inputs} channels ({CONFIG}: num_channels), its card gives "
            f"it {card.network_inputs}.",
            "Write as many `channels`, another `channel_use`, or `inputs`.",
        )
    # The whole model, where its head is asked too.
    whole = ready(model, device) if card.head == HEAD and model is not base else None
    base = ready(base, device)

    def given(part: Any) -> dict[str, Any]:
        taken = inspect.signature(part.forward).parameters
        interpolated = "interpolate_pos_encoding" in taken and card.window not in _sides(side)
        return {"interpolate_pos_encoding": True} if interpolated else {}

    def call(images: Tensor) -> Any:
        return base(pixel_values=images, **given(base))

    def named(name: str) -> Any:
        def pick(images: Tensor) -> Any:
            answer = call(images)
            value = answer.get(name) if isinstance(answer, dict) else None
            if value is None:
                raise InputError(
                    f"Model {card.name!r} gives no {name!r}.", "Name another layer in its card."
                )
            return value

        return pick

    outputs, together = {name: named(name) for name in OUTPUTS}, None
    if whole is not None:
        together = _with_head(whole, base, given(whole))
        outputs[HEAD] = lambda images: together(images, (HEAD,))[HEAD]
    network = HookedModule(base, 0, outputs, call, together)
    if card.prefix_tokens < 0:
        network.prefix_tokens = _prefix(network, card, device)
    return network


def _with_head(
    whole: Any, base: Any, more: dict[str, Any]
) -> Callable[[Tensor, Sequence[str]], dict[str, Any]]:
    """Return a function that has a whole model answer once, and gives what its parts gave."""
    seen = threading.local()  # threads share the module
    base.register_forward_hook(lambda _, __, answer: setattr(seen, "answer", answer))

    def together(images: Tensor, _: Sequence[str]) -> dict[str, Any]:
        said = whole(pixel_values=images, **more)
        answer, seen.answer = seen.answer, None
        kept = {name: answer[name] for name in OUTPUTS if answer.get(name) is not None}
        return {HEAD: said.get(HEAD), **kept}

    return together


def _base(library: Any, model: Any) -> Any:
    """Return the part of a model that reads images, without heads.

    Raises
    ------
    UsageError
        There is none.
    """
    known = library.MODEL_MAPPING.get(type(model.config), ())
    base = model if isinstance(model, known) else model.base_model
    if base.main_input_name != "pixel_values":
        base = getattr(base, "vision_model", base)
    if getattr(base, "main_input_name", "") != "pixel_values":
        raise UsageError(
            f"{type(model).__name__} reads {model.main_input_name}, not images.",
            "Name the folder of a model for images.",
        )
    return base


def _prefix(network: HookedModule, card: ModelCard, device: torch.device) -> int:
    """Count the tokens that come before the patches': class and register tokens.

    They are those left over when there is one for each patch. A convolutional network has none, nor
    has one that merges patches.
    """
    settings: Any = network.module.config
    patch = _sides(getattr(settings, "patch_size", None))
    if not patch:
        return 0
    what = f"Model {card.name!r}, given {card.network_inputs}×{card.window}×{card.window},"
    with told(
        what, f"Write input_size = {getattr(settings, 'image_size', 'that of its training')}."
    ):
        blank = torch.zeros(1, card.network_inputs, card.window, card.window, device=device)
        with torch.inference_mode():
            tokens = network.forward_to(blank, OUTPUTS[0])
    if tokens.ndim != 3:
        return 0
    return max(0, tokens.shape[1] - (card.window // patch[0]) * (card.window // patch[-1]))


def _sides(value: Any) -> list[int]:
    """Return a size of the settings as rows and columns; empty where it is none."""
    if isinstance(value, int):
        return [value, value]
    return [int(side) for side in value] if isinstance(value, list | tuple) else []


@contextmanager
def _quiet(library: Any) -> Iterator[None]:
    """Keep the library from printing bars and tables; what matters in them is checked here."""
    say = library.utils.logging
    verbosity, bars = say.get_verbosity(), say.is_progress_bar_enabled()
    say.set_verbosity_error()
    say.disable_progress_bar()
    try:
        yield
    finally:
        say.set_verbosity(verbosity)
        if bars:
            say.enable_progress_bar()
