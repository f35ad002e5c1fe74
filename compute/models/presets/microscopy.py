"""Models of single cells and of Cell Painting: Cell-DINO, MorphEm, OpenPhenom, cytoself.

Layer: data only. The helpers are our own code around the publishers', which must be trusted.

Source
------
Of dinov2 and OpenPhenom public copies were read (of dinov2 its state of November 2025).
github.com/facebookresearch/dinov2 (folders cell_dino), huggingface.co/CaicedoLab/MorphEm and
github.com/CaicedoLab/CHAMMI-75, huggingface.co/recursionpharma/OpenPhenom and
github.com/recursionpharma/maes_microscopy, github.com/royerlab/cytoself (commit d127e91).
"""

from compute.models.presets.preset import Preset

_SELF_NORMALISED = (
    "each channel of each crop to mean 0 and deviation 1, with 1e-7 added to the deviation",
    "SelfNormalize in dinov2/data, inference of cell_dino",
)
_CELL_DINO_LICENSE = "FAIR Noncommercial Research License (weights), CC BY-NC (code)"
_CELL_DINO = "Moutakanni et al., PLOS Computational Biology 2025, doi 10.1371/journal.pcbi.1013828"
_CELL_DINO_STEPS = (
    "Ask for the weights: https://ai.meta.com/resources/models-and-libraries/cell-dino-downloads/",
    "git clone https://github.com/facebookresearch/dinov2 beside the card (a version with "
    "dinov2/hub/cell_dino).",
    'In Python: tensors = torch.load(FILE, map_location="cpu", weights_only=True)',
    "safetensors.torch.save_file({k: t.contiguous() for k, t in tensors.items()}, "
    '"cell-dino.safetensors")',
)
_CUT_FIRST = (
    "the published evaluation cuts the crop's centre, then standardises; here the whole crop is "
    "standardised, then cut or surrounded by its darkest value"
)


def _cell_dino(
    name: str,
    title: str,
    entry: str,
    expects: tuple[str, ...],
    side: int,
    length: int,
    trained_on: str,
    facts: tuple[tuple[str, str], ...],
    unconfirmed: tuple[str, ...],
) -> Preset:
    """Make the preset of a Cell-DINO model of dinov2's `hubconf.py`."""
    return Preset(
        name=name,
        title=title,
        family="cell-dino",
        source=f"torchhub:dinov2#{entry}",
        fields={"scaling": "z_score", "input_size": side, "fit": "pad"},
        expects=expects,
        embedding=f"the class token, {length:,} numbers",
        trained_on=trained_on,
        license=_CELL_DINO_LICENSE,
        publication=_CELL_DINO,
        page="https://github.com/facebookresearch/dinov2/blob/main/docs/README_CELL_DINO.md",
        steps=_CELL_DINO_STEPS,
        facts=(
            *facts,
            _SELF_NORMALISED,
            ("the answer is the class token", "forward in dinov2/models/vision_transformer.py"),
        ),
        unconfirmed=(
            *unconfirmed,
            _CUT_FIRST,
            "no pixel size is stated where we looked",
            "public copies of the repository were read, in its state of November 2025",
        ),
    )


OPENPHENOM = '''"""OpenPhenom's encoder, by the code in the folder openphenom beside this file."""

from pathlib import Path

import torch
from openphenom.huggingface_mae import MAEModel


class Encoder(torch.nn.Module):
    """Means over the patches' tokens; crops come in standardised, as its input_norm would."""

    def __init__(self, model):
        super().__init__()
        self.backbone = model.encoder.vit_backbone

    def forward(self, images):
        return self.backbone.forward_features(images)[:, 1:].mean(1)


def make():
    return Encoder(MAEModel.from_pretrained(str(Path(__file__).parent / "openphenom")))
'''

CYTOSELF = '''"""cytoself's second embedding; needs its package (pip install cytoself)."""

import torch
from cytoself.trainer.autoencoder.cytoselffull import CytoselfFull

PROTEINS = 1311  # outputs of its classifier: how many proteins yours was trained on


class Embedding(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.model = CytoselfFull(
            emb_shapes=((25, 25), (4, 4)), vq_args={"num_embeddings": 512, "embedding_dim": 64},
            num_class=PROTEINS, input_shape=(2, 100, 100), output_shape=(2, 100, 100),
            fc_input_type="vqvec", fc_output_idx=[2],
        )

    def forward(self, images):
        return self.model(images, "vqvec2").flatten(1)


def make():
    return Embedding()
'''

PRESETS = (
    _cell_dino(
        "cell-dino-hpa",
        "Cell-DINO ViT-L/16 of the Human Protein Atlas",
        "cell_dino_hpa_vitl16",
        ("microtubules", "protein", "nucleus", "endoplasmic reticulum"),
        384,
        1024,
        "single cells (or fields of view) of the Human Protein Atlas",
        (
            (
                "ViT-L/16 of four channels, positions of 224 pixels, interpolated",
                "cell_dino_hpa_vitl16 in dinov2/hub/cell_dino/backbones.py",
            ),
            ("384 pixels, not resized", "knn evaluation in docs/README_CELL_DINO.md"),
            (
                "the second channel is the protein",
                "RandomContrastProteinChannel in dinov2/data, transforms of cells",
            ),
        ),
        (
            "that the other three are microtubules, nucleus and ER in this order (red, blue, "
            "yellow of the atlas) is not stated where we looked",
        ),
    ),
    _cell_dino(
        "cell-dino-painting",
        "Cell-DINO ViT-S/8 of Cell Painting",
        "cell_dino_cp_vits8",
        ("DNA", "RNA", "ER", "AGP (actin, Golgi, membrane)", "mitochondria"),
        160,
        384,
        "single cells of five Cell Painting data sets",
        (
            (
                "ViT-S/8 of five channels, positions of 128 pixels, interpolated",
                "cell_dino_cp_vits8 in dinov2/hub/cell_dino/backbones.py",
            ),
            ("160 pixels, not resized", "published inference example, BBBC036"),
        ),
        (
            "the channels' order in training is not stated where we looked; this is the order in "
            "which the Lundberg lab gives them (jump, CellProfiling/subcell-analysis)",
        ),
    ),
    Preset(
        name="morphem",
        title="MorphEm, a ViT-S/16 of 75 microscopy studies, one channel at a time",
        family="morphem",
        source="timm:vit_small_patch16_224",
        fields={
            "scaling": "z_score", "inputs": 1, "channel_use": "each_joined", "input_size": 224,
            "fit": "resize", "mean": (), "deviation": (), "layer": "features",
            "pooling": "class_token",
        },
        expects=(),
        embedding="the class token, 384 numbers for each channel",
        trained_on="CHAMMI-75: microscopy of 75 studies",
        license="MIT",
        publication="Agrawal et al., ICLR 2026, arXiv 2512.20833",
        page="https://huggingface.co/CaicedoLab/MorphEm",
        steps=(
            "hf download CaicedoLab/MorphEm model.safetensors --local-dir .",
            "Its own code is not needed: the architecture is timm's vit_small_patch16_224 with one "
            "input.",
        ),
        facts=(
            (
                "ViT-S/16: 384 wide, 12 layers, 6 heads, one input, 224 pixels",
                "config.json, CaicedoLab/MorphEm",
            ),
            (
                "each channel of each crop to mean 0 and deviation 1, then 224 pixels, bilinear, "
                "every pixel looked at",
                "ViTClass in benchmarks/models.py, CaicedoLab/CHAMMI-75",
            ),
            (
                "class tokens of all channels are joined",
                "the same file, and the model's page",
            ),
            ("cells should be segmented beforehand", "the model's page"),
        ),
        unconfirmed=(
            "pixels of exactly 255 in 8 bits are replaced by chance in the published preparation; "
            "that is left out here, so the answer does not depend on chance",
            "the constant of its layer normalisations (timm has 1e-6), and whether the file holds "
            "tensors beyond these; if so they are named and must be taken out",
            "no pixel size: the studies have different ones",
        ),
    ),
    Preset(
        name="openphenom",
        title="OpenPhenom-S/16, a channel-agnostic masked autoencoder of Cell Painting",
        family="openphenom",
        source="factory:openphenom_network:make",
        fields={
            "scaling": "z_score", "input_size": 256, "fit": "resize", "layer": "output",
        },
        expects=(),
        embedding="the mean of the patches' tokens of all channels, 384 numbers",
        trained_on="RxRx3 and JUMP-CP (overexpression, knockouts)",
        license="Non-Commercial End User License Agreement of Recursion",
        publication="Kraus et al., CVPR 2024, arXiv 2404.10242",
        page="https://huggingface.co/recursionpharma/OpenPhenom",
        steps=(
            "hf download recursionpharma/OpenPhenom --local-dir openphenom (beside the card; its "
            "code runs: read it)",
            "Write the revision that you downloaded as `revision`: the card has no hash of it.",
            "pip install timm transformers, in the versions that its pyproject.toml asks for.",
        ),
        facts=(
            (
                "each channel of each crop to mean 0 and deviation 1",
                "input_norm in config.json (InstanceNorm2d), maes_microscopy",
            ),
            (
                "the mean over all tokens but the class token, before any last normalisation",
                "predict in huggingface_mae.py",
            ),
            (
                "256 pixels, patches of 16; at most 11 channels",
                "config.json and vit.py, maes_microscopy",
            ),
            (
                "channels share weights and positions, so their order does not matter",
                "channel_agnostic_vit in vit.py, maes_microscopy",
            ),
        ),
        unconfirmed=(
            "its own normalisation is left out and done by the card, so that locked readings work; "
            "it divides by 255 first and adds 1e-5 to the variance, which tells only of crops that "
            "are nearly constant",
            "it was trained on tiles of wells, not on crops of single cells; how large a cell "
            "should be is not stated where we looked",
            "the publishers advise PCA and centring by batch afterwards, which is not done here",
            "huggingface_mae.py was read in a public copy, not on the page itself",
        ),
        helper=("openphenom_network.py", OPENPHENOM),
        most_channels=11,
    ),
    Preset(
        name="cytoself",
        title="cytoself, two quantised encoders of OpenCell",
        family="cytoself",
        source="factory:cytoself_network:make",
        fields={
            "scaling": "min_max", "input_size": 100, "fit": "pad", "layer": "output",
        },
        expects=("protein", "nucleus"),
        embedding="the second quantised map, 1,024 numbers",
        trained_on="OpenCell, or what yours was trained on",
        license="BSD-3-Clause",
        publication="Kobayashi et al., Nature Methods 2022, doi 10.1038/s41592-022-01541-z",
        page="https://github.com/royerlab/cytoself",
        steps=(
            "Train one: weights for PyTorch are not published (issue 39 of royerlab/cytoself), and "
            "those for TensorFlow do not fit.",
            "pip install cytoself, and write in cytoself_network.py how many proteins it was "
            "trained on.",
            'In Python: safetensors.torch.save_file({"model." + k: t.contiguous() for k, t in '
            'trainer.model.state_dict().items()}, "cytoself.safetensors")',
        ),
        facts=(
            (
                "protein, then nucleus; 100 × 100 pixels, the nucleus in the middle",
                "README.md, and data_ch there",
            ),
            (
                "maps of 25 × 25 and 4 × 4, 512 codes of 64 numbers",
                "model_args in README.md",
            ),
            (
                "the embedding is vqvec2",
                "README.md, and forward in cytoself/trainer/autoencoder/cytoselffull.py",
            ),
        ),
        unconfirmed=(
            "the published arrays are scaled already; how is not stated in the repository, so each "
            "channel goes from its least to its greatest value here",
            "no pixel size is stated where we looked",
        ),
        helper=("cytoself_network.py", CYTOSELF),
    ),
)  # fmt: skip
