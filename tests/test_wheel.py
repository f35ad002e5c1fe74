"""The wheel, installed where no checkout is: the command runs, or says what is in its way.

The environment is bare but for the packages that Bystander needs, which it takes from where these
tests run, so nothing is downloaded.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import urllib.request
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.long


def clean(**more: str) -> dict[str, str]:
    """The environment without what would lead to the checkout."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return {**kept, **more}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy of the checkout by way of the source distribution."""
    pytest.importorskip("hatchling")
    place = tmp_path_factory.mktemp("build")
    checkout, dist = place / "checkout", place / "dist"
    ignored = shutil.ignore_patterns(
        ".git", ".venv", "out", "__pycache__", ".*_cache", ".hypothesis"
    )
    shutil.copytree(ROOT, checkout, ignore=ignored, symlinks=True)
    hatch = [sys.executable, "-m", "hatchling", "build", "-d", str(dist)]
    subprocess.run([*hatch, "-t", "sdist"], cwd=checkout, env=clean(), check=True)
    source = next(dist.glob("*.tar.gz"))
    shutil.unpack_archive(source, place / "source", filter="data")
    unpacked = next((place / "source").iterdir())
    subprocess.run([*hatch, "-t", "wheel"], cwd=unpacked, env=clean(), check=True)
    return next(dist.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory, wheel) -> Path:
    """The programs' folder of an environment with the wheel in it."""
    home = tmp_path_factory.mktemp("bare") / "environment"
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    quiet = ["--no-deps", "--no-index", "--no-compile", "--quiet", "--disable-pip-version-check"]
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", *quiet, str(wheel)]
    subprocess.run(pip, env=clean(), check=True)
    [site] = home.glob("lib/python*/site-packages")
    # Files of this kind are not read again in the folder that they name, so the checkout, which
    # one of them adds there, does not come along.
    (site / "needed.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return python.parent


@pytest.fixture
def here(tmp_path) -> Path:
    """A working folder with nothing in it."""
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


def bystander(programs: Path, here: Path, *arguments: str, **more: str):
    return subprocess.run(
        [programs / "bystander", *arguments], cwd=here, env=clean(**more), capture_output=True,
        text=True, timeout=900,
    )  # fmt: skip


def test_the_wheel_holds_the_packages_their_types_and_what_is_shipped(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.partition("/")[0] for name in names}
    info = {name for name in tops if name.endswith(".dist-info")}
    assert len(info) == 1
    assert tops - info == {"bystander_command.py", "compute", "dashboard"}
    for package in ("compute", "dashboard"):
        assert f"{package}/py.typed" in names
        for file in (ROOT / package).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                assert str(file.relative_to(ROOT)) in names
    shipped = [f for f in (ROOT / "data").rglob("*") if f.is_file() and not f.name.startswith(".")]
    for file in shipped:
        assert f"compute/{file.relative_to(ROOT)}" in names


def test_the_demo_and_the_dashboard_run_outside_the_checkout(installed, here):
    code = "import compute, dashboard; print(compute.__file__); print(dashboard.__file__)"
    found = subprocess.run(
        [installed / "python", "-P", "-c", code], cwd=here, env=clean(), capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    for line in found.stdout.split():
        assert Path(line).is_relative_to(installed.parent), line

    small = ["--no-dashboard", "--cells-per-protein", "2", "--out", "small"]
    done = bystander(installed, here, "demo", *small)
    assert done.returncode == 0, done.stderr
    meta = json.loads((here / "small" / "run" / "run.json").read_text())
    assert meta["status"] == "complete"
    assert meta["counts"]["cells"] == 360
    checked = bystander(installed, here, "check", "small/run")
    assert "Tables, counts and references agree." in checked.stdout, checked.stderr
    other = bystander(installed, here, "demo", "--no-dashboard", "--out", "small")
    assert other.returncode == 1
    assert "2 cells per protein, not 9" in other.stderr

    served = subprocess.Popen(
        [installed / "bystander", "dashboard", "small/run", "--no-browser"], cwd=here,
        env=clean(), stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        line = served.stdout.readline()
        assert line.startswith("Bystander is at http://127.0.0.1:"), line
        address = line.split()[3]
        with urllib.request.urlopen(f"{address}/_stcore/health", timeout=30) as answer:
            assert answer.read() == b"ok"
        with urllib.request.urlopen(address, timeout=30) as answer:
            assert b"<script" in answer.read()
    finally:
        served.send_signal(signal.SIGTERM)
        served.wait(30)
        served.stdout.close()
    for _ in range(50):
        try:
            urllib.request.urlopen(f"{address}/_stcore/health", timeout=5).close()
        except OSError:
            break
        time.sleep(0.2)
    else:
        pytest.fail(f"the server at {address} outlived the command that started it")


@pytest.mark.parametrize("package", ["compute", "dashboard"])
@pytest.mark.parametrize("kind", ["module", "package", "folder"])
def test_files_of_the_packages_names_in_the_working_folder_are_named(
    installed, here, package, kind
):
    ran = here / "ran"
    text = f"open({str(ran)!r}, 'w')\n"
    if kind == "module":
        foreign = here / f"{package}.py"
        foreign.write_text(text)
    else:
        foreign = here / package / ("__init__.py" if kind == "package" else "notes.txt")
        foreign.parent.mkdir()
        foreign.write_text(text)
    # By itself the command takes nothing from the working folder
    assert bystander(installed, here, "--version").stdout.startswith("bystander ")
    # An empty part of PYTHONPATH puts it first
    done = bystander(installed, here, "--version", PYTHONPATH=os.pathsep)
    assert not ran.exists()
    if kind == "folder":  # a folder without code is passed over for a package
        assert done.stdout.startswith("bystander ")
        return
    assert done.returncode == 1
    assert f"Python finds {foreign} in place of Bystander's package {package!r}" in done.stderr
    assert "Rename it" in done.stderr
    assert "Traceback" not in done.stderr


def test_packages_that_another_distribution_wrote_over_are_noticed(installed, here, tmp_path):
    home = tmp_path / "environment"
    shutil.copytree(installed.parent, home, symlinks=True)
    [site] = home.glob("lib/python*/site-packages")
    info = site / "compute_something-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: compute-something\nVersion: 1.0\n")
    (info / "RECORD").write_text("compute/__init__.py,,\n")
    ours = (site / "compute" / "__init__.py").read_bytes()
    code = "from bystander_command import main; main()"

    def version():
        return subprocess.run(
            [home / "bin" / "python", "-P", "-c", code, "--version"], cwd=here, env=clean(),
            capture_output=True, text=True,
        )  # fmt: skip

    assert version().stdout.startswith("bystander ")
    (site / "compute" / "__init__.py").write_bytes(b"raise RuntimeError('another package')\n")
    done = version()
    assert done.returncode == 1
    assert (
        f"{site / 'compute' / '__init__.py'} was written over by compute-something" in done.stderr
    )
    assert "--force-reinstall" in done.stderr
    (site / "compute" / "__init__.py").unlink()  # as `pip uninstall compute-something` leaves it
    done = version()
    assert done.returncode == 1
    assert "no longer whole" in done.stderr
    (site / "compute" / "__init__.py").write_bytes(ours)
    assert version().stdout.startswith("bystander ")
