"""SubCell of the Human Protein Atlas, by the channels that were given to it.

Layer: data only. The loader is `compute.models.loaders.subcell`.

Source
------
github.com/CellProfiling/SubCellPortable (commit 676f0e1 and README of 38e6f25),
github.com/CellProfiling/subcell-analysis, and the model's card at
virtualcellmodels.cziscience.com; Gupta et al., bioRxiv 2024.12.06.627299.
"""

from compute.models.presets.preset import Preset

MICROMETRES = 0.0800885
"""Micrometres a pixel: README of SubCellPortable."""

SIDE = 640
"""Pixels: the same README, and `crop` in `configs/config_subcell_mae.yaml` of subcell-analysis."""

CLASSES = (
    "Actin filaments", "Aggresome", "Cell Junctions", "Centriolar satellite", "Centrosome",
    "Cytokinetic bridge", "Cytoplasmic bodies", "Cytosol", "Endoplasmic reticulum", "Endosomes",
    "Focal adhesion sites", "Golgi apparatus", "Intermediate filaments", "Lipid droplets",
    "Lysosomes", "Microtubules", "Midbody", "Mitochondria", "Mitotic chromosome",
    "Mitotic spindle", "Nuclear bodies", "Nuclear membrane", "Nuclear speckles", "Nucleoli",
    "Nucleoli fibrillar center", "Nucleoli rim", "Nucleoplasm", "Peroxisomes", "Plasma membrane",
    "Vesicles", "Negative",
)  # fmt: skip
"""What its classifiers answer with, in order: `CLASS2NAME` in `inference.py` of SubCellPortable."""

_PAGE = "https://virtualcellmodels.cziscience.com/model/0193323e-ebd5-727c-bb32-87ed8f737213"
_NAMES = {"r": "microtubules", "y": "endoplasmic reticulum", "b": "nucleus", "g": "protein"}
_FACTS = (
    (
        "ViT-B/16 trained on 448 pixels, then gated attention over all tokens with two heads: "
        "1,536 numbers",
        "models/*/model_config.yaml and vit_model.py, SubCellPortable",
    ),
    (
        "channels are red, yellow, blue, green, as far as a model has them",
        "README, SubCellPortable",
    ),
    (
        "each crop goes from its least to its greatest value over all channels together",
        "min_max_standardize in inference.py, SubCellPortable",
    ),
    (
        f"{MICROMETRES} µm a pixel, {SIDE} × {SIDE} pixels, not resized; position embeddings are "
        "interpolated",
        "README and vit_model.py, SubCellPortable",
    ),
    (
        "pixels outside the cell's mask were set to zero in the published runs (advised, not "
        "required)",
        "README, SubCellPortable; load_crop in utils/preprocess.py, subcell-analysis",
    ),
    (
        f"{len(CLASSES)} classes, in this order",
        "CLASS2NAME in inference.py and num_classes in models/*/model_config.yaml, SubCellPortable",
    ),
    (
        "a classifier goes 1,536 → 512 → 256 → 31 with ReLU between, then a sigmoid for each "
        "class; of several classifiers the sigmoids are averaged",
        "make_classifier and forward in vit_model.py, SubCellPortable",
    ),
    (
        "with four channels there are two classifiers, else one",
        "classifier_paths in models/*/model_config.yaml, SubCellPortable",
    ),
)
_UNCONFIRMED = (
    "names of the files are those in scripts that download them; the page could not be read whole",
    "its page counts 87.3 million parameters; the network that is built here has 87.2 with four "
    "channels, without classifiers",
    "the classifiers' files were not seen. Their layers are numbered 0, 3 and 6, for "
    "load_model_dict in vit_model.py renames these; which of them were published, and how the "
    "files are called, could not be confirmed",
    "what sigmoids say of the store's classes is divided by its sum. SubCellPortable's newer "
    "inference.py (commit a66715a) takes the softmax of the sigmoids instead: the same order of "
    "its 31 classes, and hardly any difference between them",
    "licence MIT is that of SubCellPortable; that of the weights is on their page",
    "the published order is cutting, then scaling; here the whole crop is scaled, then brought to "
    "size, with its darkest value around it instead of zeros",
    "with crops that show neighbours it gets what those runs did not show it; compare with the "
    "condition masked",
)


def _preset(name: str, letters: str, file: str) -> Preset:
    """Make the preset of one combination of channels, in letters as SubCellPortable has them."""
    return Preset(
        name=name,
        title="SubCell, a vision transformer of the Human Protein Atlas with attention pooling",
        family="subcell",
        source="subcell",
        fields={
            "scaling": "min_max_all", "layer": "embedding", "pixel_size": MICROMETRES,
            "input_size": SIDE, "fit": "pad", "classes": CLASSES,
        },
        expects=tuple(_NAMES[letter] for letter in letters),
        embedding="the tokens pooled by attention, 1,536 numbers",
        trained_on="single cells of the Human Protein Atlas",
        license="MIT (SubCellPortable)",
        publication="Gupta et al., bioRxiv 2024, doi 10.1101/2024.12.06.627299",
        page=_PAGE,
        steps=(
            f"Download {file} (page above, bucket s3://czi-subcell-public/models/). There is one "
            "of ViT-ProtS-Pool, too, of the same architecture.",
            'In Python: tensors = torch.load(FILE, map_location="cpu", weights_only=True)',
            'kept = {k: t.contiguous() for k, t in tensors.items() if k.startswith(("encoder.", '
            '"pool_model."))}',
            "For its own answer also its classifiers, 0 and up: said = torch.load(CLASSIFIER, "
            'map_location="cpu", weights_only=True)',
            'kept |= {f"classifiers.0.{k}": t.contiguous() for k, t in said.items()}; without them '
            'write head = "none" into the card.',
            'safetensors.torch.save_file(kept, "subcell.safetensors")',
        ),
        facts=_FACTS,
        unconfirmed=_UNCONFIRMED,
    )  # fmt: skip


PRESETS = (
    _preset("subcell-all", "rybg", "all_channels_MAE-CellS-ProtS-Pool.pth"),
    _preset("subcell-mt-dna-protein", "rbg", "MT-DNA-Protein_MAE-CellS-ProtS-Pool.pth"),
    _preset("subcell-er-dna-protein", "ybg", "ER-DNA-Protein_MAE-CellS-ProtS-Pool.pth"),
    _preset("subcell-dna-protein", "bg", "DNA-Protein_MAE-CellS-ProtS-Pool.pth"),
)
