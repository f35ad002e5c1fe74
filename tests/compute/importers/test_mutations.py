"""300 sources that went wrong: refused with a reason, or right in what they store; and in time."""

import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest

from compute.errors import BystanderError
from tests.compute.importers.drawn_plate import CHANNELS, draw
from tests.compute.importers.drawn_sources import LAYOUTS
from tests.compute.importers.mutations import mutate

SOURCES = (
    "manifest", "fields folder", "fields table", "fields table, centres", "cellprofiler",
    "cellprofiler, centres", "deepprofiler", "hpa", "ome-tiff", "ome-zarr 0.5", "spatialdata",
    "scportrait", "cytoself",
)  # fmt: skip

ALL, SOME = 300, 39

SECONDS = 60
"""After which an import is taken to hang; one takes half a second."""


class Hangs(BaseException):
    pass


def stop(*_):
    raise Hangs


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Every source, written once."""
    root = tmp_path_factory.mktemp("sources")
    return {name: LAYOUTS[name](root / str(n), draw()) for n, name in enumerate(SOURCES)}


def moved(value, old, new):
    """Return an option with paths below another folder."""
    inside = hasattr(value, "is_relative_to") and value.is_relative_to(old)
    return new / value.relative_to(old) if inside else value


def try_one(number, written, folder):
    name = SOURCES[number % len(SOURCES)]
    source = written[name]
    root = folder / "source"
    shutil.copytree(source.root, root)
    source = replace(
        source,
        root=root,
        source=moved(source.source, source.root, root),
        options={key: moved(v, source.root, root) for key, v in source.options.items()}
        # Else channels are in the order of a table's columns.
        | ({"channels": CHANNELS} if name.startswith(("cellprofiler", "fields")) else {}),
    )
    done, names = mutate(root, np.random.default_rng([20, number]))
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        report = source.run(folder / "store")
    except BystanderError:
        return
    except (Exception, Hangs) as error:
        raise AssertionError(f"{name}: {done}: {type(error).__name__}: {error}") from error
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    damaged = bool(names & {"flip", "garbage", "cut", "empty"})
    # A mask of a crop lies on its round cell when it is turned, too.
    turned = name == "manifest" and bool(names & {"transposed", "upside_down"})
    if (damaged or turned) and source.masks == "equal":
        source = replace(source, masks="like")
    found = source.audit(report.path, draw(), damaged=damaged, proteins="or none")
    assert found.wrong == [], f"{name}: {done}: {found.wrong[:3]} of {len(found.wrong)}"
    assert report.found == report.stored + report.rejected, f"{name}: {done}"


@pytest.mark.parametrize("number", range(SOME))
def test_some_mutations(number, written, tmp_path):
    try_one(number, written, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("number", range(SOME, ALL))
def test_the_other_mutations(number, written, tmp_path):
    try_one(number, written, tmp_path)
