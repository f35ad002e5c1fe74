"""Fixtures: a small simulated store, random-weight models, a finished run by the real writer."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Side by side, workers of the test run wait for one another's threads most of the time.
os.environ.setdefault("OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")

ROOT = Path(__file__).resolve().parent.parent

# On a busy machine a single example may take long; how long says nothing.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

DECLARED: list[Any] = []
"""Operators that live as long as this list holds them."""


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("BYSTANDER_SHARED", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the shared data is not at {folder} (set BYSTANDER_SHARED)")
    return folder


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Path:
    """204 simulated cells of 34 proteins: 2 of each localization and 4 mixed ones."""
    from compute.simulation.simulate import simulate

    path = tmp_path_factory.mktemp("store") / "store"
    simulate(
        path, proteins_per_class=2, mixed_proteins=4, cells_per_protein=6,
        fields_per_protein=2, replicates=2, seed=3, workers=1,
    )  # fmt: skip
    return path


@pytest.fixture(scope="session")
def cards(tmp_path_factory) -> dict[str, Path]:
    """Models with random weights of width 0.1, one per network."""
    import torch

    from compute.models.card import make_card
    from compute.models.card_files import save_card
    from compute.models.networks import NETWORKS, network_spec
    from compute.models.weights import weights_of, write_weights

    folder = tmp_path_factory.mktemp("weights")
    found = {}
    for number, name in enumerate(NETWORKS):
        torch.manual_seed(number)
        classes = [] if name == "paired_cell" else ["a", "b", "c"]
        network = network_spec(name).build(0.1, len(classes))
        digest = write_weights(folder / f"{name}.safetensors", weights_of(network))
        card = make_card(
            name, name=name, weights=f"{name}.safetensors", sha256=digest, width=0.1,
            trained_on="nothing: random weights", simulated=True, classes=classes,
        )  # fmt: skip
        found[name] = folder / f"{name}.toml"
        save_card(card, found[name])
    return found


@pytest.fixture(scope="session")
def config():
    """A run configuration that is quick and leaves nothing out."""
    from compute.backgrounds.config import PlanConfig
    from compute.runs.config import RunConfig
    from compute.statistics.bootstrap import BootstrapConfig

    return RunConfig(
        plan=PlanConfig(backgrounds=3, folds=2),
        bootstrap=BootstrapConfig(200, 200, exchanges=8),
        examples=1,
    )


@pytest.fixture(scope="session")
def run(tmp_path_factory, store, cards, config) -> Path:
    """A finished run of all three networks on the small store."""
    from compute.runs.pipeline import run_store

    path = tmp_path_factory.mktemp("run") / "run"
    run_store(store, path, [str(card) for card in cards.values()], config, jobs=1)
    return path


@pytest.fixture(scope="session")
def torchvision() -> None:
    """See to it that timm and transformers, which load torchvision, can: its Python part will do.

    The wheel of torchvision on PyPI does not fit every build of PyTorch; then it misses operators
    of its own when it is loaded, none of which is used here. They are declared, without a body.
    """
    from importlib.util import find_spec

    import torch
    from torch import library as operators

    spec = find_spec("torchvision")
    if find_spec("timm") is None or spec is None or spec.origin is None:
        pytest.skip("timm is not installed (pip install 'bystander[timm]')")
    if "torchvision" in sys.modules:
        return
    try:
        torch.ops.load_library(Path(spec.origin).with_name("_C.so"))
    except OSError:
        DECLARED.append(operators.Library("torchvision", "FRAGMENT"))
        for name in ("nms", "qnms"):
            DECLARED[-1].define(f"{name}(Tensor dets, Tensor scores, float threshold) -> Tensor")
