"""Bystander's way in for scripts, and its offline half: runs models, writes Parquet.

A script can do what `bystander` does on the command line, with return values instead of printed
text: ``from compute import simulate, run``. `PUBLIC` lists all names; they stay as they are. What
reads finished runs and draws them is in `dashboard`.

Importing this package loads nothing heavy: a name's module is loaded when the name is asked for,
and torch comes in with what computes only.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# Arrow's own allocator keeps what was freed: a run over 200,000 crops would take 50 MiB more. The
# choice is read once, when Arrow is loaded.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

__version__ = "0.1.0"

PUBLIC = {
    "BootstrapConfig": "compute.statistics.config",
    "BystanderError": "compute.errors",
    "CropStore": "compute.store.reader",
    "CuttingConfig": "compute.importers.config",
    "EmbedConfig": "compute.embedding.config",
    "EngineConfig": "compute.runs.engines",
    "ExplainConfig": "compute.explanations.config",
    "PlanConfig": "compute.backgrounds.config",
    "RunConfig": "compute.runs.config",
    "RemedyConfig": "compute.remedies.config",
    "apply_remedy": "compute.runs.apply_remedy",
    "RunDirectory": "compute.storage.run_directory",
    "SensitivityConfig": "compute.runs.variants",
    "check": "compute.runs.describe",
    "check_model": "compute.runs.check_model",
    "convert": "compute.models.published.convert",
    "demo": "compute.runs.demo",
    "estimate": "compute.runs.estimate",
    "explain": "compute.runs.explain",
    "explain_cell": "compute.runs.explain",
    "export_summary": "compute.runs.export_summary",
    "export_trials": "compute.runs.export_trials",
    "fetch": "compute.models.published.download",
    "import_answers": "compute.runs.import_answers",
    "import_chong": "compute.importers.chong",
    "import_crop_arrays": "compute.importers.crop_arrays",
    "import_fields": "compute.importers.fields",
    "import_manifest": "compute.importers.manifest",
    "import_paired_cell": "compute.importers.paired_cell",
    "import_pifia": "compute.importers.pifia",
    "list_models": "compute.models.card_files",
    "list_sources": "compute.models.published.catalogue",
    "load_model": "compute.models.embedder",
    "make_mosaic": "compute.runs.mosaic",
    "new_card": "compute.models.new_card",
    "measure_appearance": "compute.bench.appearance",
    "measure_embedding": "compute.bench.whole",
    "measure_fingerprint": "compute.bench.whole",
    "measure_growth": "compute.bench.whole",
    "measure_machine": "compute.bench.whole",
    "measure_statistics": "compute.bench.statistics",
    "published": "compute.paper.run",
    "run": "compute.runs.run",
    "sensitivity": "compute.runs.sensitivity",
    "simulate": "compute.simulation.simulate",
    "train": "compute.models.training.train",
    "try_remedies": "compute.runs.remedies",
}
"""Every public name, with the module that defines it."""

__all__ = ["PUBLIC", "__version__", *PUBLIC]

if TYPE_CHECKING:
    from compute.backgrounds.config import PlanConfig as PlanConfig
    from compute.bench.appearance import measure_appearance as measure_appearance
    from compute.bench.statistics import measure_statistics as measure_statistics
    from compute.bench.whole import measure_embedding as measure_embedding
    from compute.bench.whole import measure_fingerprint as measure_fingerprint
    from compute.bench.whole import measure_growth as measure_growth
    from compute.bench.whole import measure_machine as measure_machine
    from compute.embedding.config import EmbedConfig as EmbedConfig
    from compute.errors import BystanderError as BystanderError
    from compute.explanations.config import ExplainConfig as ExplainConfig
    from compute.importers.chong import import_chong as import_chong
    from compute.importers.config import CuttingConfig as CuttingConfig
    from compute.importers.crop_arrays import import_crop_arrays as import_crop_arrays
    from compute.importers.fields import import_fields as import_fields
    from compute.importers.manifest import import_manifest as import_manifest
    from compute.importers.paired_cell import import_paired_cell as import_paired_cell
    from compute.importers.pifia import import_pifia as import_pifia
    from compute.models.card_files import list_models as list_models
    from compute.models.embedder import load_model as load_model
    from compute.models.new_card import new_card as new_card
    from compute.models.published.catalogue import list_sources as list_sources
    from compute.models.published.convert import convert as convert
    from compute.models.published.download import fetch as fetch
    from compute.models.training.train import train as train
    from compute.paper.run import published as published
    from compute.remedies.config import RemedyConfig as RemedyConfig
    from compute.runs.apply_remedy import apply_remedy as apply_remedy
    from compute.runs.check_model import check_model as check_model
    from compute.runs.config import RunConfig as RunConfig
    from compute.runs.demo import demo as demo
    from compute.runs.describe import check as check
    from compute.runs.engines import EngineConfig as EngineConfig
    from compute.runs.estimate import estimate as estimate
    from compute.runs.explain import explain as explain
    from compute.runs.explain import explain_cell as explain_cell
    from compute.runs.export_summary import export_summary as export_summary
    from compute.runs.export_trials import export_trials as export_trials
    from compute.runs.import_answers import import_answers as import_answers
    from compute.runs.mosaic import make_mosaic as make_mosaic
    from compute.runs.remedies import try_remedies as try_remedies
    from compute.runs.run import run as run
    from compute.runs.sensitivity import sensitivity as sensitivity
    from compute.runs.variants import SensitivityConfig as SensitivityConfig
    from compute.simulation.simulate import simulate as simulate
    from compute.statistics.config import BootstrapConfig as BootstrapConfig
    from compute.storage.run_directory import RunDirectory as RunDirectory
    from compute.store.reader import CropStore as CropStore


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for."""
    if name not in PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(PUBLIC[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """List what is here, the public names included."""
    return sorted({*globals(), *PUBLIC})
