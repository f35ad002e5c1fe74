"""The cost of a command is that of its own process."""

import numpy as np
import pytest

from compute.bench.growth import cost
from compute.errors import BystanderError


def test_memory_of_the_process_that_asks_is_not_counted():
    mine = np.ones(600 << 20, np.uint8)
    assert 20 << 20 < cost(["--version"]).peak < mine.nbytes


def test_no_code_is_taken_from_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("compute", "subprocess", "signal"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / name)!r} + '.ran', 'w')\n")
    cost(["--version"])
    assert not list(tmp_path.glob("*.ran"))


def test_a_command_that_fails_is_named_with_what_it_said():
    with pytest.raises(BystanderError, match=r"(?s)`bystander nonsense` ended with 2: .*No such"):
        cost(["nonsense"])
