"""Options that several verbs share, each with its help; and what several verbs do with them.

Layer: types for Typer; copies stores and runs behind URLs.
"""

from pathlib import Path
from typing import Annotated

import typer

from compute.backgrounds.config import PlanConfig
from compute.runs.config import RunConfig
from compute.schema import EXPORT_FORMATS

DEFAULT_MODELS = "pifia,paired_cell,deeploc"

StoreArgument = Annotated[Path, typer.Argument(help="A crop store.")]
StorePlace = Annotated[str, typer.Argument(help="A crop store: its folder or URL.")]
NewStore = Annotated[Path, typer.Argument(help="Folder to make.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a store that is there.")]
TrainShare = Annotated[
    float | None,
    typer.Option(
        help="Mark this share of every protein's fields as split 'train', the rest as 'test' "
        "(0 to 1)."
    ),
]
OneField = Annotated[
    str | None,
    typer.Option(
        help="Of proteins with one field only, --train-share deals out cells or proteins; default: "
        "all cells of each are in one split."
    ),
]
Localizations = Annotated[
    Path | None, typer.Option(help="CSV with the columns protein,localization.")
]
ClassNames = Annotated[
    Path | None,
    typer.Option(
        help="CSV with the columns source,localization: what class names stand for; or keep to "
        "take them as they are, built-in for the names that Bystander knows."
    ),
]
Separators = Annotated[
    str, typer.Option(help="Between several classes in one cell of a table, beside ;: any of | ,")
]
Project = Annotated[
    str | None, typer.Option(help="Take planes of a Z stack as one: max. Default: refused.")
]
Trust = Annotated[
    bool,
    typer.Option("--trust", help="Let foreign code run that models bring; their cards name it."),
]
FinishedRun = Annotated[Path, typer.Argument(help="A finished run of the store.")]
ModelsOfRun = Annotated[
    str | None,
    typer.Option(help="Its models, as they were given; default: all, if they are shipped."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Jobs = Annotated[int | None, typer.Option(help="Processes for the pair tests; default: all cores.")]
Engine = Annotated[
    str, typer.Option(help="Where to compute: local, or ray (needs the extra of that name).")
]
Workers = Annotated[
    int | None, typer.Option(help="Workers on Ray; default: one per GPU, or per 4 cores.")
]
Address = Annotated[
    str | None,
    typer.Option(help="Of a Ray cluster, or auto; default: Ray is started on this machine."),
]
Cache = Annotated[
    Path | None,
    typer.Option(help="Folder for copies of what is behind URLs; default: ~/.cache/bystander."),
]
Models = Annotated[
    str,
    typer.Option(
        help="Shipped models, baselines or paths of model cards, separated by commas; `bystander "
        "models` lists them."
    ),
]
Conditions = Annotated[str, typer.Option(help="Separated by commas; these are all.")]
Split = Annotated[
    str | None,
    typer.Option(
        help="Take only the cells of this split, such as train or test; default: all cells."
    ),
]
Seed = Annotated[int, typer.Option(help="Decides every random choice.")]
Repeats = Annotated[int, typer.Option(help="Donors per cell and condition.")]
GridCells = Annotated[int, typer.Option(help="Cells per localization in the pair tests.")]
Backgrounds = Annotated[
    int | None, typer.Option(help="Background classes of the pair tests; default: all.")
]
Harmonise = Annotated[str, typer.Option(help="Common intensity scale by protein, field or none.")]
DonorCentre = Annotated[
    str, typer.Option(help="The donor's own centre cell: remove, or paper to leave it.")
]
Paste = Annotated[
    str, typer.Option(help="Cells take their glow along: glow, or hard to cut them at the mask.")
]
MaskShift = Annotated[
    int, typer.Option(help="Grow cells' masks by so many pixels, or shrink them (below 0).")
]
MaskShifts = Annotated[
    str, typer.Option(help="Pixels by which masks are grown, separated by commas; below 0: shrunk.")
]
Layers = Annotated[
    str,
    typer.Option(
        help="Layers to read: before, last, or names, of all models that have them or as "
        "MODEL:LAYER; separated by commas."
    ),
]
Poolings = Annotated[str, typer.Option(help="How maps become vectors: max, mean.")]
Normalisation = Annotated[
    str, typer.Option(help="Models scale by each crop, or locked to the cell's unaltered crop.")
]
FoldsBy = Annotated[str, typer.Option(help="grouped: no protein in both halves; paper: by cell.")]
Donors = Annotated[
    str, typer.Option(help="Donors from the cell's own fold, or any, as in the paper.")
]
Folds = Annotated[int, typer.Option(help="Folds of the probes.")]
Draws = Annotated[int, typer.Option(help="Bootstrap draws.")]
Margin = Annotated[
    float,
    typer.Option(help="Drops and gaps within this of zero count as none (equivalence test)."),
]
Exchanges = Annotated[
    int,
    typer.Option(
        help="Exchanges of conditions among the cells that probes are fitted on, for p-values of "
        "shifts under refit; 0 for none."
    ),
]
Probes = Annotated[
    str,
    typer.Option(
        help="Beside pair and multiclass: knn, retrieval, multilabel, network; by commas."
    ),
]
MarginOdds = Annotated[
    float | None,
    typer.Option(
        help="Test robustness in odds, too: those of a right answer may change by this factor, "
        "such as 1.25. Default: not tested."
    ),
]
SeedsOf = Annotated[
    str,
    typer.Option(
        help="Networks of which --models has several weights, trained from different seeds; by "
        "commas. Their means get intervals that take in how seeds differ. Default: none."
    ),
]
CropFormat = Annotated[str, typer.Option("--format", help=f"{', '.join(EXPORT_FORMATS)}.")]
Channels = Annotated[
    str | None, typer.Option(help="Channels to write, separated by commas; default: all.")
]
Examples = Annotated[int, typer.Option(help="Cells per protein whose crops are kept to look at.")]
DropEmbeddings = Annotated[
    bool, typer.Option("--drop-embeddings", help="Delete embeddings when the run is finished.")
]
DropPredictions = Annotated[
    bool,
    typer.Option("--drop-predictions", help="Delete answers to single crops at the end, too."),
]
BatchSize = Annotated[
    int, typer.Option(help="Crops per forward pass; 0: as many as fit on a GPU, 32 on a CPU.")
]
Precision = Annotated[
    str, typer.Option(help="Networks compute with float32 or bfloat16; the run says the error.")
]
SecondReadings = Annotated[
    bool,
    typer.Option(
        help="Read trials again: scaled the other way, the donor's cell treated the other way."
    ),
]
Compiled = Annotated[
    bool, typer.Option(help="Have PyTorch compile the networks first: for long runs on GPUs.")
]
USUAL_PROBES = ",".join(RunConfig.probes)
ALL_CONDITIONS = ",".join(PlanConfig.conditions)


def names(text: str) -> list[str]:
    """Split a list of names at its commas."""
    return [name.strip() for name in text.split(",") if name.strip()]
