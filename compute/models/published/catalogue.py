"""Where the published data and weights are: addresses, licences, sizes, hashes.

Layer: data only. Sizes and hashes are those of files that were at hand; where none was, they are
None. A source that its publisher offers on a web page only has no files here, and says what to do
on that page.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from compute.errors import UsageError, unknown_value
from compute.models.presets.registry import PRESETS

GITHUB = "https://raw.githubusercontent.com"

PIFIA = "Razdaibiedina et al., Molecular Systems Biology 2024"
PAIRED_CELL = "Lu et al., PLOS Computational Biology 2019"
DEEPLOC = "Kraus et al., Molecular Systems Biology 2017"
CHONG = "Chong et al., Cell 2015; Kraus et al., Molecular Systems Biology 2017"
GUPTA = "Gupta, Moses and Lu, 2025"


@dataclass(frozen=True)
class RemoteFile:
    """One file to download.

    Parameters
    ----------
    url
        Its address, http or https.
    name
        Its path below the folder that the source is downloaded to.
    size
        Size in bytes; None, the default, where it is not known beforehand.
    sha256
        SHA-256, 64 hexadecimal digits; None, the default, where it is not known.
    """

    url: str
    name: str
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Source:
    """Something published that Bystander reads.

    Parameters
    ----------
    title
        What it is, in words.
    page
        Address of a page about it.
    licence
        Its licence as the publisher states it.
    publication
        Authors, journal and year.
    files
        The files to download; empty where the publisher offers a page only.
    then
        What to do once it is there.
    """

    title: str
    page: str
    licence: str
    publication: str
    files: tuple[RemoteFile, ...]
    then: str


_SWAP_COMMIT = "5917a18dd96751cffab7d4e14fc52bbc49b4f02c"
_SWAP = f"{GITHUB}/microsoft/microscopy-sc-robustness/{_SWAP_COMMIT}"
_SWAP_RESULTS = (
    (
        "pifia/results_base.csv",
        5827,
        "2996c9cee1c37b22be8eea1b4df4a03deca34dbee4dc4604f61fc03e9ce41798",
    ),
    (
        "pifia/results_same.csv",
        5917,
        "f3f67e12403f37b281f4cb581627abb1d26afbf9c87ebd988ded74957f29be53",
    ),
    (
        "pifia/results_diff.csv",
        103316,
        "890f41a011f9e5dc0bf8c4f9339fe929ec3b3db2a72a26b2b8f553eee4c35b51",
    ),
    (
        "pifia/results_batch.csv",
        104073,
        "7e2588a82aca02c55061b83cbac080f22711d8f795107a07c0bb66c6c63d9b55",
    ),
    (
        "pifia/results_mask.csv",
        5967,
        "2cb11435d893e38e238ff5cac7cdb85e31419fd80713d94153a92a3074b12651",
    ),
    (
        "pci/results_base.csv",
        5843,
        "2b6cf7963c4b6fa91d8c3d5fcf83ffe677e76cae7c5e5b0b5a27ba2405ecf2c7",
    ),
    (
        "pci/results_same.csv",
        5703,
        "703d58e9e2a281d71b37e4a6d1f0306a29633ecf27baa6fab9d53e6cc021f0bb",
    ),
    (
        "pci/results_diff.csv",
        102306,
        "b62e1b6a4233dcac4db972aa1ed3ce969b24dfab5a24a6603d0a64c88bcdd922",
    ),
    (
        "pci/results_batch.csv",
        104985,
        "753e18c2c695b5dda2808e7510104309a0c4eb7e793963da86c19cee7e38c6d5",
    ),
    (
        "pci/results_mask.csv",
        5834,
        "10ed2071e99a7d3d163bdba61f48001138b8b732396a4e21087e066b911d426e",
    ),
    (
        "deeploc/results_base.csv",
        5738,
        "cbf4e784df545d2c7482501fdec0fafd2301e8bcfa0a508983213fedbf732e79",
    ),
    (
        "deeploc/results_same.csv",
        5778,
        "41ab62e4ce3c9bfd93279265be558f8382f18f9c7403d86b0b57e71c7440b3ee",
    ),
    (
        "deeploc/results_diff.csv",
        100851,
        "43581cabe0dc0fb87760de7d87b0c0644e812dac6f53942186c3ab4381d75c49",
    ),
    (
        "deeploc/results_batch.csv",
        102592,
        "51efebee58262f2519068fc3ed81f3ba2b70bbde0510adba992a8b55b870f4b8",
    ),
    (
        "deeploc/results_mask.csv",
        5709,
        "6adf5a3a6da5dbfe71fcfa40e904d0c0527bb2e44e34a052adfcc4def9f0584d",
    ),
)
"""Result files of the paper's Table 1: path below `swap_experiments/results`, bytes, SHA-256."""


def _of_presets() -> dict[str, Source]:
    """Return an entry for each family of presets: a page only, as no hash of theirs is at hand."""
    found: dict[str, Source] = {}
    for preset in PRESETS.values():
        names = [each.name for each in PRESETS.values() if each.family == preset.family]
        others = f" (presets {', '.join(names)})" if len(names) > 1 else ""
        found.setdefault(
            f"{preset.family}-weights",
            Source(
                title=preset.title + others,
                page=preset.page,
                licence=preset.license,
                publication=preset.publication,
                files=(),
                then=" ".join(
                    [*preset.steps, f"Then bystander models new CARD --preset {preset.name}."]
                ),
            ),
        )
    return found


_PIFIA_WEIGHTS = f"{GITHUB}/arazd/pifia/HEAD/model/pretrained_weights"
_KRAUS = "http://spidey.ccbr.utoronto.ca/~okraus"
_PAIRED_CELL = "https://github.com/alexxijielu/paired_cell_inpainting"

SOURCES: Mapping[str, Source] = MappingProxyType(
    {
        "pifia-weights": Source(
            title="PIFiA's weights, a TensorFlow checkpoint of 4,049 proteins",
            page="https://github.com/arazd/pifia",
            licence="MIT",
            publication=PIFIA,
            files=(
                RemoteFile(
                    f"{_PIFIA_WEIGHTS}/pifia_weights_i0.index",
                    "pifia_weights_i0.index",
                    3544,
                    "429c02be186775284a79f22123295fc125bb1e11fa6c4812986c2b6c85be6934",
                ),
                RemoteFile(
                    f"{_PIFIA_WEIGHTS}/pifia_weights_i0.data-00000-of-00002",
                    "pifia_weights_i0.data-00000-of-00002",
                    6356,
                    "3d02222bba8361be8180cb1c7bf1d7f8da16cd148203e49bc1949732db572303",
                ),
                # The size is the end of the last variable that the index lists
                RemoteFile(
                    f"{_PIFIA_WEIGHTS}/pifia_weights_i0.data-00001-of-00002",
                    "pifia_weights_i0.data-00001-of-00002",
                    10_930_756,
                ),
            ),
            then="bystander convert pifia pifia-weights/pifia_weights_i0 weights",
        ),
        "pifia-toy": Source(
            title="Crops of five proteins, the toy data of PIFiA",
            page="https://github.com/arazd/pifia",
            licence="MIT",
            publication=PIFIA,
            files=(
                RemoteFile(f"{GITHUB}/arazd/pifia/HEAD/data/data_subset.zip", "data_subset.zip"),
            ),
            then="Unzip it, then bystander import pifia FOLDER STORE.",
        ),
        "pifia-crops": Source(
            title="PIFiA's data set: more than 3 million single-cell crops",
            page="https://thecellvision.org/",
            licence="not stated in its repository; see the page",
            publication=PIFIA,
            files=(),
            then="Download it from the page, then bystander import pifia FOLDER STORE.",
        ),
        "paired-cell-weights": Source(
            title="Paired Cell Inpainting's weights for yeast, Keras HDF5",
            page=_PAIRED_CELL,
            licence="GPL-2.0",
            publication=PAIRED_CELL,
            files=(
                RemoteFile(
                    f"{GITHUB}/alexxijielu/paired_cell_inpainting/HEAD/yeast_model/"
                    "pretrained_weights/model_weights.h5",
                    "model_weights.h5",
                ),
            ),
            then="bystander convert paired_cell paired-cell-weights/model_weights.h5 weights",
        ),
        "paired-cell-toy": Source(
            title="Paired Cell Inpainting's repository, with crops of a few proteins",
            page=_PAIRED_CELL,
            licence="GPL-2.0",
            publication=PAIRED_CELL,
            files=(RemoteFile(f"{_PAIRED_CELL}/archive/HEAD.zip", "paired_cell_inpainting.zip"),),
            then="Unzip it, then bystander import paired-cell .../yeast_model/toy_dataset/images "
            "STORE.",
        ),
        "deeploc-weights": Source(
            title="DeepLoc's weights, a TensorFlow 1 checkpoint",
            page="https://github.com/okraus/DeepLoc",
            licence="BSD-3-Clause",
            publication=DEEPLOC,
            files=(RemoteFile(f"{_KRAUS}/pretrained_DeepLoc.zip", "pretrained_DeepLoc.zip"),),
            then="Unzip it, then bystander convert deeploc "
            "pretrained_DeepLoc/pretrained_models/model.ckpt-5000 weights.",
        ),
        "chong": Source(
            title="The Chong archive of labelled crops, as DeepLoc distributes it (HDF5)",
            page="https://github.com/okraus/DeepLoc",
            licence="BSD-3-Clause for the repository that offers it",
            publication=CHONG,
            files=(RemoteFile(f"{_KRAUS}/DeepLoc_full_datasets.zip", "DeepLoc_full_datasets.zip"),),
            then="Unzip it, then bystander import chong FILE STORE.",
        ),
        "swap-results": Source(
            title="The pair tests behind the paper's Table 1: fifteen CSV files",
            page="https://github.com/microsoft/microscopy-sc-robustness",
            licence="not stated in its repository",
            publication=GUPTA,
            files=tuple(
                RemoteFile(f"{_SWAP}/swap_experiments/results/{name}", name, size, digest)
                for name, size, digest in _SWAP_RESULTS
            ),
            then="bystander published swap-results --out RUN",
        ),
        "swap-example": Source(
            title="The paper's example of a swap: a segmented cell and a donor crop",
            page="https://github.com/microsoft/microscopy-sc-robustness",
            licence="not stated in its repository",
            publication=GUPTA,
            files=(
                RemoteFile(
                    f"{_SWAP}/generate_data_example/foreground_example.tiff",
                    "foreground_example.tiff",
                    8314,
                    "0dd92d57823f0857a5077fa1114b09d082c9f029f8ef38ced0c834c2315fec9e",
                ),
                RemoteFile(
                    f"{_SWAP}/generate_data_example/background_example.tiff",
                    "background_example.tiff",
                    8314,
                    "0ba0accab7bdcaaca0a264c63fe8905d1840182cecdeb94444ad9f9052ac59ed",
                ),
            ),
            then="Two 64×64 TIFF files.",
        ),
        "swap-features": Source(
            title="The features behind the paper's Table 1, and PIFiA's feature sets",
            page="https://drive.google.com/drive/u/0/folders/137GNjw4Cz9tLs8l2D4RuMLoX4axvJceX",
            licence="not stated in its repository",
            publication=GUPTA,
            files=(),
            then="Download features.zip or pifia_feature_sets.zip from the page.",
        ),
        "yeast-fields": Source(
            title="The whole images that Paired Cell Inpainting was trained on",
            page="http://142.150.215.41/image_screens/WT2/",
            licence="not stated in its repository; see the page",
            publication=PAIRED_CELL,
            files=(),
            then="Download the zip files from the page; the images are to be cut into crops first.",
        ),
        **_of_presets(),
    }
)
"""Every source by the name that `bystander fetch` takes."""


def list_sources() -> dict[str, Source]:
    """List the published weights and data that `fetch` knows.

    Returns
    -------
    dict
        Sources by name, each with its files, sizes, licence, publication and page.

    Examples
    --------
    >>> from compute import list_sources
    >>> list_sources()["pifia-weights"].licence
    'MIT'
    """
    return dict(SOURCES)


def source_named(name: str) -> Source:
    """Find a source by name.

    Raises
    ------
    UsageError
        The source does not exist.
    """
    if name not in SOURCES:
        raise unknown_value("source", name, [*SOURCES, "or list"])
    return SOURCES[name]


def require_files(name: str, source: Source) -> None:
    """Refuse a source that is offered on a page only.

    Raises
    ------
    UsageError
        The source has no files; says what to do instead.
    """
    if not source.files:
        raise UsageError(f"{name} has no address of a file: see {source.page}.", source.then)
