"""Models of transformers: what the library gives, or a refusal that names what is wrong."""

import json
import shutil
import subprocess
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from compute.errors import InputError, UsageError
from compute.models.card import make_card
from compute.models.card_files import FoundModel
from compute.models.embedder import load_model
from compute.models.loaders.weights_file import listing_digest

pytestmark = pytest.mark.usefixtures("torchvision")

SMALL = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28,
    "patch_size": 14, "num_channels": 4,
}  # fmt: skip
CONVOLUTIONAL = {"num_channels": 4, "hidden_sizes": [8, 8, 8, 8], "depths": [1, 1, 1, 1]}
FEED = {"intermediate_size": 64}


def digest(folder):
    kept = ("config.json", ".safetensors", ".index.json", ".py")
    return listing_digest(folder, [p for p in folder.iterdir() if p.name.endswith(kept)])


def write(folder, kind="Dinov2Model", config=None, shards="5GB", **card):
    """Save a drawn model as the library does; return it as found, and the model itself."""
    import transformers

    torch.manual_seed(0)
    made = getattr(transformers, kind)
    module = made(made.config_class(**(config or SMALL))).eval()
    module.save_pretrained(folder / "dino", max_shard_size=shards)
    values = {
        "channels": list("abcd"), "channel_use": "together", "mean": [], "deviation": [],
        "size": 28, "input_size": 28, **card,
    }  # fmt: skip
    made = make_card(
        "transformers:dino", name="m", sha256=digest(folder / "dino"), trained_on="nothing",
        simulated=True, **values,
    )  # fmt: skip
    return FoundModel(made, folder), module


def changed(found, **values):
    return replace(found, card=replace(found.card, **values))


def crops(size=28):
    return torch.rand((3, 4, size, size), generator=torch.Generator().manual_seed(1)) * 900


def scaled(images):
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return (images - low) / (high - low)


def edit(found, name="config.json", **values):
    """Change a JSON file of the folder, and the card's hash with it."""
    path = found.folder / "dino" / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    return changed(found, sha256=digest(found.folder / "dino"))


@pytest.mark.parametrize(
    ("kind", "config", "prefix"),
    [
        ("Dinov2Model", SMALL, 1),
        ("Dinov2WithRegistersModel", SMALL | {"num_register_tokens": 3}, 4),
        ("DINOv3ViTModel", SMALL | FEED | {"num_register_tokens": 4}, 5),
        ("ViTModel", SMALL | FEED, 1),
        ("DeiTModel", SMALL | FEED, 2),
        ("SiglipVisionModel", SMALL | FEED, 0),
        ("CLIPVisionModel", SMALL | FEED, 1),
    ],
)
def test_tokens_are_those_of_the_library(tmp_path, kind, config, prefix):
    found, module = write(tmp_path, kind, config)
    with torch.inference_mode():
        answer = module(pixel_values=scaled(crops()))
    tokens = answer.last_hidden_state
    model = load_model(found)
    assert tokens.shape[1] == prefix + 4
    assert torch.allclose(model(crops()), tokens[:, prefix:].mean(1), atol=1e-5)
    pooled = load_model(changed(found, layer="pooler_output"))
    assert torch.allclose(pooled(crops()), answer.pooler_output, atol=1e-5)
    if prefix:
        first = load_model(changed(found, pooling="class_token"))
        assert torch.allclose(first(crops()), tokens[:, 0], atol=1e-5)
    said = load_model(changed(found, prefix_tokens=2))
    assert torch.allclose(said(crops()), tokens[:, 2:].mean(1), atol=1e-5)


def test_maps_of_convolutional_networks(tmp_path):
    found, module = write(
        tmp_path, "ConvNextForImageClassification", CONVOLUTIONAL, size=64, input_size=64
    )
    with torch.inference_mode():
        expected = module.base_model(pixel_values=scaled(crops(64))).last_hidden_state
    model = load_model(found)
    assert expected.ndim == 4
    assert torch.allclose(model(crops(64)), expected.mean((2, 3)), atol=1e-5)


def test_tokens_that_merge_patches_have_no_prefix(tmp_path):
    config = {
        "image_size": 32, "patch_size": 4, "num_channels": 4, "embed_dim": 8, "depths": [1, 1],
        "num_heads": [1, 1], "window_size": 4,
    }  # fmt: skip
    found, module = write(tmp_path, "SwinModel", config, size=32, input_size=32)
    with torch.inference_mode():
        expected = module(pixel_values=scaled(crops(32))).last_hidden_state.mean(1)
    assert torch.allclose(load_model(found)(crops(32)), expected, atol=1e-5)


def test_the_image_part_of_a_model_of_images_and_texts(tmp_path):
    text = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 50}
    found, module = write(
        tmp_path, "CLIPModel", {"vision_config": SMALL | FEED, "text_config": text | FEED}
    )
    with torch.inference_mode():
        expected = module.vision_model(pixel_values=scaled(crops())).last_hidden_state
    assert torch.allclose(load_model(found)(crops()), expected[:, 1:].mean(1), atol=1e-5)


def test_inner_layers_are_those_of_the_library(tmp_path):
    found, module = write(tmp_path)
    seen = {}
    for name in ("encoder.layer.0", "embeddings"):
        module.get_submodule(name).register_forward_hook(
            lambda _, __, value, name=name: seen.__setitem__(name, value)
        )
    with torch.inference_mode():
        module(pixel_values=scaled(crops()))
    for name, value in seen.items():
        model = load_model(changed(found, layer=name))
        assert torch.allclose(model(crops()), value[:, 1:].mean(1), atol=1e-5), name


@pytest.mark.parametrize(
    ("layer", "error", "said"),
    [
        ("encoder.layer.9", UsageError, r"Unknown layer of this network 'encoder\.layer\.9'"),
        ("output", InputError, "gives a dictionary of last_hidden_state, pooler_output"),
        ("encoder.layer.0.attention", InputError, "gives tuple of 2, not one tensor"),
    ],
)
def test_layers_that_give_no_tensor_are_refused(tmp_path, layer, error, said):
    found, _ = write(tmp_path)
    with pytest.raises(error, match=said):
        load_model(changed(found, layer=layer))


def test_other_sizes_are_interpolated_or_refused(tmp_path):
    vit, module = write(tmp_path / "vit", "ViTModel", SMALL | FEED, size=56, input_size=56)
    with torch.inference_mode():
        expected = module(pixel_values=scaled(crops(56)), interpolate_pos_encoding=True)
    tokens = expected.last_hidden_state
    assert tokens.shape[1] == 17
    assert torch.allclose(load_model(vit)(crops(56)), tokens[:, 1:].mean(1), atol=1e-5)
    # Others interpolate by themselves, or take no other size and say so.
    dino, module = write(tmp_path / "dinov2", size=56, input_size=56)
    with torch.inference_mode():
        tokens = module(pixel_values=scaled(crops(56))).last_hidden_state
    assert torch.allclose(load_model(dino)(crops(56)), tokens[:, 1:].mean(1), atol=1e-5)
    small, _ = write(tmp_path / "convnext", "ConvNextModel", CONVOLUTIONAL)
    with pytest.raises(InputError, match=r"given 4×28×28, failed with RuntimeError: .*input size"):
        load_model(small)


def test_heads_of_the_saved_model_are_left_out_and_nothing_else(tmp_path):
    found, module = write(tmp_path, "ViTForImageClassification", SMALL | FEED)
    with torch.inference_mode():
        expected = module.base_model(pixel_values=scaled(crops())).last_hidden_state
    assert torch.allclose(load_model(found)(crops()), expected[:, 1:].mean(1), atol=1e-5)
    with pytest.raises(InputError, match="gives no 'pooler_output'"):
        load_model(changed(found, layer="pooler_output"))
    # The same tensors are left over where the folder says that it holds a model without a head.
    with pytest.raises(InputError, match=r"no place for classifier\.bias; no place for classif"):
        load_model(edit(found, architectures=["ViTModel"]))


def test_a_pooler_that_was_not_published_never_answers(tmp_path):
    found, module = write(tmp_path, "ViTModel", SMALL | FEED)
    path = tmp_path / "dino" / "model.safetensors"
    tensors = {key: value for key, value in load_file(path).items() if "pooler" not in key}
    save_file(tensors, path, {"format": "pt"})
    found = changed(found, sha256=digest(tmp_path / "dino"))
    with torch.inference_mode():
        expected = module(pixel_values=scaled(crops())).last_hidden_state
    assert torch.allclose(load_model(found)(crops()), expected[:, 1:].mean(1), atol=1e-5)
    with pytest.raises(InputError, match=r"needs pooler\.dense\.bias, pooler\.dense\.weight"):
        load_model(changed(found, layer="pooler_output"))


def test_weights_are_loaded_whole_or_not_at_all(tmp_path):
    found, _ = write(tmp_path)
    path = tmp_path / "dino" / "model.safetensors"
    tensors = load_file(path)
    tensors["extra"] = tensors.pop("layernorm.weight")
    tensors["embeddings.cls_token"] = torch.zeros(1, 1, 31)
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(
        InputError,
        match=r"missing layernorm\.weight; no place for extra; "
        r"embeddings\.cls_token is 1×1×31, not 1×1×32",
    ):
        load_model(changed(found, sha256=digest(tmp_path / "dino")))


def test_other_numbers_of_channels_are_refused(tmp_path):
    found, _ = write(tmp_path)
    with pytest.raises(InputError, match=r"reads 4 channels \(config\.json: num_channels\), its "):
        load_model(changed(found, channels=("a", "b", "c")))
    # Nor is the first layer made anew where the settings are changed to suit.
    three = edit(changed(found, channels=("a", "b", "c")), num_channels=3)
    with pytest.raises(InputError, match=r"projection\.weight is 32×4×14×14, not 32×3×14×14"):
        load_model(three)


def test_the_hash_covers_settings_and_weights(tmp_path):
    found, _ = write(tmp_path)
    listed = subprocess.run(
        "sha256sum config.json model.safetensors | sha256sum", shell=True, text=True,
        cwd=tmp_path / "dino", capture_output=True, check=True,
    )  # fmt: skip
    assert listed.stdout.split()[0] == found.card.sha256
    # Twice as many heads need no other weights, but are another network.
    assert edit(found, num_attention_heads=4).card.sha256 != found.card.sha256
    with pytest.raises(InputError, match=r"is not the folder that the card of 'm' describes"):
        load_model(found)


def test_weights_in_several_files(tmp_path):
    found, module = write(tmp_path, shards="20KB", weights="model.safetensors.index.json")
    assert len(list((tmp_path / "dino").glob("*.safetensors"))) > 2
    with torch.inference_mode():
        expected = module(pixel_values=scaled(crops())).last_hidden_state[:, 1:].mean(1)
    assert torch.allclose(load_model(found)(crops()), expected, atol=1e-5)
    first = sorted((tmp_path / "dino").glob("*.safetensors"))[0]
    kept = first.read_bytes()
    first.write_bytes(kept[:-4] + b"abcd")
    with pytest.raises(InputError, match="is not the folder"):
        load_model(found)
    first.write_bytes(kept[:-4])
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        load_model(changed(found, sha256=digest(tmp_path / "dino")))
    first.unlink()
    with pytest.raises(InputError, match=rf"names {first.name}, which is missing"):
        load_model(found)
    index = "model.safetensors.index.json"
    with pytest.raises(InputError, match=r"names \.\./a\.safetensors, not safetensors files besi"):
        load_model(edit(found, index, weight_map={"a": "../a.safetensors"}))
    (tmp_path / "dino" / index).write_text("{}")
    with pytest.raises(InputError, match="is no index of safetensors files"):
        load_model(found)


def test_pickles_are_refused_with_the_way_out(tmp_path):
    found, module = write(tmp_path)
    torch.save(module.state_dict(), tmp_path / "dino" / "pytorch_model.bin")
    with pytest.raises(InputError, match="Name one of model") as caught:
        load_model(changed(found, weights="other.safetensors"))
    assert caught.value.remedy == "Name one of model.safetensors as `weights`."
    (tmp_path / "dino" / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"only as pytorch_model\.bin, a pickle") as caught:
        load_model(found)
    assert "save_pretrained" in caught.value.remedy
    with pytest.raises(InputError, match=r"weights = 'pytorch_model\.bin' is not allowed"):
        changed(found, weights="pytorch_model.bin")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"model_type": None}, "does not say model_type"),
        (
            {"model_type": "no_such_model", "architectures": ["No"]},
            "failed with ValueError: The ch",
        ),
        ({"quantization_config": {"quant_method": "awq"}}, "says quantization_config"),
        ({"attn_implementation": "someone/kernels"}, "says attn_implementation"),
    ],
)
def test_settings_that_cannot_be_followed_are_refused(tmp_path, values, said):
    found, _ = write(tmp_path)
    with pytest.raises(InputError, match=said):
        load_model(edit(found, **values))


def test_what_is_not_there_is_named(tmp_path):
    found, _ = write(tmp_path)
    with pytest.raises(InputError, match=r"none.config\.json cannot be read"):
        load_model(changed(found, source="transformers:none"))
    (tmp_path / "dino" / "config.json").write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        load_model(found)
    shutil.copy(tmp_path / "dino" / "model.safetensors", tmp_path / "dino" / "config.json")
    with pytest.raises(InputError, match="is not JSON"):
        load_model(found)


def test_models_of_texts_are_refused(tmp_path):
    config = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 50}
    found, _ = write(tmp_path, "BertModel", config | FEED)
    with pytest.raises(UsageError, match="BertModel reads input_ids, not images"):
        load_model(found)


def test_masking_by_chance_is_found_out(tmp_path):
    decoder = {
        "decoder_hidden_size": 32, "decoder_num_attention_heads": 2, "decoder_num_hidden_layers": 1
    }  # fmt: skip
    found, _ = write(
        tmp_path, "ViTMAEForPreTraining", SMALL | FEED | decoder | {"image_size": 56},
        size=56, input_size=56,
    )  # fmt: skip
    with pytest.raises(InputError, match="answers the same crops differently the second time"):
        load_model(found)


CODE = """
import torch
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput
from .parts import factor

open(__file__ + ".ran", "w").close()

class OwnConfig(PreTrainedConfig):
    model_type = "own_of_test"
    num_channels = 4

class OwnModel(PreTrainedModel):
    config_class = OwnConfig
    main_input_name = "pixel_values"

    def __init__(self, config):
        super().__init__(config)
        self.first = torch.nn.Conv2d(4, 6, 3)
        self.post_init()

    def _init_weights(self, module):
        pass

    def forward(self, pixel_values):
        return BaseModelOutput(last_hidden_state=factor * self.first(pixel_values))
"""


def with_code(tmp_path, trusted, **card):
    folder = tmp_path / "dino"
    folder.mkdir()
    torch.manual_seed(0)
    first = torch.nn.Conv2d(4, 6, 3)
    tensors = {"first.weight": first.weight.data, "first.bias": first.bias.data}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    (folder / "own.py").write_text(CODE)
    (folder / "parts.py").write_text("factor = 2.0\n")
    config = {
        "model_type": "own_of_test", "architectures": ["OwnModel"],
        "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"},
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    made = make_card(
        "transformers:dino", name="m", sha256=digest(folder), trained_on="nothing", simulated=True,
        **{
            "channels": list("abcd"), "channel_use": "together", "mean": [], "deviation": [],
            "size": 28, "input_size": 28, "revision": "0123456789abcdef" * 2 + "01234567", **card,
        },
    )  # fmt: skip
    return FoundModel(made, tmp_path, trusted), first


def test_code_in_the_folder_runs_only_if_trusted_and_pinned(tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(cache))
    found, first = with_code(tmp_path, trusted=True)
    with pytest.raises(UsageError, match=r"runs foreign code: Python files in .*dino, which auto_"):
        load_model(replace(found, trusted=False))
    for revision in ("", "main", "0123"):
        with pytest.raises(InputError, match="does not say of which commit"):
            load_model(changed(found, revision=revision))
    with pytest.raises(InputError, match="auto_map names code in another repository"):
        load_model(edit(found, auto_map={"AutoModel": "someone/else--own.OwnModel"}))
    assert not list(tmp_path.rglob("*.ran"))
    found = edit(found, auto_map={"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"})
    with torch.inference_mode():
        expected = 2 * first(scaled(crops())).mean((2, 3))
    assert torch.allclose(load_model(found)(crops()), expected, atol=1e-5)
    assert list(tmp_path.rglob("*.ran"))
    (tmp_path / "dino" / "parts.py").write_text("factor = 3.0\n")
    with pytest.raises(InputError, match="is not the folder"):
        load_model(found)
    # Code of another folder of the same name is not taken for it, nor what it imports.
    found = changed(found, sha256=digest(tmp_path / "dino"))
    assert torch.allclose(load_model(found)(crops()), expected * 1.5, atol=1e-5)


def test_a_classifier_answers_in_the_pass_that_embeds(tmp_path):
    from compute.models.own_answer import BY_NAME, OwnAnswer

    small = SMALL | FEED | {"num_labels": 3}
    card = {"classes": ["x", "y", "z"], "head": "logits"}
    found, module = write(tmp_path, "ViTForImageClassification", small, **card)
    own = OwnAnswer("logits", "logits", ("x", "y", "z"), (0, 1, -1), ("a", "b"), BY_NAME)
    model = load_model(replace(found, own=own))
    runs = []
    model.module.register_forward_hook(lambda *_: runs.append(1))
    answer = model.with_own(crops())
    assert len(runs) == 1
    with torch.inference_mode():
        expected = module(pixel_values=scaled(crops())).logits[:, :2].softmax(1)
    assert torch.allclose(answer[:, : model.dimension], model(crops()), atol=1e-6)
    assert torch.allclose(answer[:, model.dimension : -1], expected, atol=1e-5)
