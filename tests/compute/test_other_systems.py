"""What Linux has and Windows or macOS lack is missing here, and everything must still load."""

import subprocess
import sys
import textwrap

WITHOUT = """
    import importlib, os, pathlib, pkgutil, sys

    for name in ("fcntl", "grp", "pwd", "resource", "termios"):
        sys.modules[name] = None  # an import of it fails
    for name in ("preadv", "pread", "sched_getaffinity"):
        delattr(os, name)

    import compute

    loaded = []
    for module in pkgutil.walk_packages(compute.__path__, "compute."):
        importlib.import_module(module.name)
        loaded.append(module.name)

    import numpy as np
    from compute.devices import cores
    from compute.errors import BusyError
    from compute.storage.locks import OWNER_FILE, lock, one_at_a_time
    from compute.store.reader import PixelFile

    folder = pathlib.Path(sys.argv[1])
    assert cores() >= 1
    with lock(folder, "run"), one_at_a_time(folder):
        assert f"process {os.getpid()}" in (folder / OWNER_FILE).read_text()
        try:
            with lock(folder, "run"):
                raise AssertionError("held twice")
        except BusyError as busy:
            assert f"process {os.getpid()}" in busy.problem
    values = np.arange(600, dtype=np.uint16).reshape(10, 60)
    np.save(folder / "pixels.npy", values)
    rows = np.array([7, 0, 1, 2, 9])
    assert (PixelFile(folder / "pixels.npy")[rows] == values[rows]).all()
    print(len(loaded), "modules")
"""


def test_every_module_loads_and_folders_are_held_without_what_only_linux_has(tmp_path):
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(WITHOUT), str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert int(found.stdout.split()[0]) > 100
