"""A run with probes and summaries, made from drawn embeddings; once by protein, once by cell."""

import pytest
from threadpoolctl import threadpool_limits

from tests.compute.summarised_run import BIG, make
from tests.compute.synthetic_cells import POPULATION


@pytest.fixture(scope="session", params=["protein", "cell"])
def made(request, tmp_path_factory):
    """Return a run whose unit is the protein, or the cell because proteins are few."""
    population = BIG if request.param == "protein" else POPULATION
    folder = tmp_path_factory.mktemp(request.param) / "run"
    # Threads of the linear algebra only wait for each other on problems this small.
    with threadpool_limits(1):
        return make(folder, population, repeats=2, grid_cells=20)


@pytest.fixture(scope="session")
def unit(made):
    return "protein" if made.cells.by_protein else "cell"
