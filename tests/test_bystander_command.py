"""The command's entry in a checkout: packages of the same name in its way are named, and not run.

`test_wheel` does the same with an installed wheel.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import bystander_command

ROOT = Path(__file__).resolve().parent.parent


def bystander(here: Path, *path: str) -> subprocess.CompletedProcess[str]:
    code = "from bystander_command import main; main()"
    return subprocess.run(
        [sys.executable, "-P", "-c", code, "--version"], cwd=here, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
    )  # fmt: skip


def test_our_own_packages_are_no_problem(tmp_path):
    assert list(bystander_command.foreign_packages()) == []
    assert bystander(tmp_path, str(ROOT)).stdout.startswith("bystander ")


@pytest.mark.parametrize("name", bystander_command.PACKAGES)
@pytest.mark.parametrize("first", ["", "."])
def test_a_file_in_the_working_folder_is_named_before_anything_of_it_runs(tmp_path, name, first):
    (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    done = bystander(tmp_path, first, str(ROOT))
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: Python finds {tmp_path / f'{name}.py'} in place of")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "ran").exists()
    # Ours first: nothing is in the way
    assert bystander(tmp_path, str(ROOT), first).stdout.startswith("bystander ")


def test_a_package_without_its_file_is_not_whole(tmp_path, monkeypatch):
    (tmp_path / "compute").mkdir()
    monkeypatch.setattr(bystander_command, "HOME", tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    problems = dict(bystander_command.foreign_packages())
    assert [problem.rpartition(" is ")[2] for problem in problems] == [
        f"no longer whole at {tmp_path / name}." for name in bystander_command.PACKAGES
    ]
