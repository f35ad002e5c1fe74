"""Answers that another program gave, looked up by trial instead of being computed.

Layer: reads an Arrow file that `compute.runs.import_answers` wrote; rows are read where they are
needed, so memory does not grow with their number.
"""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from compute.errors import InputError, UsageError
from compute.models.card_files import FoundModel
from compute.models.loaders.weights_file import checked_file

FACTS = b"bystander"
"""Key of the file's metadata under which, as JSON, it says what crops it answers to."""

AGAIN = "Bring the answers in again with `bystander import answers`."


class Answers:
    """A table of answers, by the number of a run's trial.

    Parameters
    ----------
    found
        A model whose weights are such a table.

    Attributes
    ----------
    composites : str
        Fingerprint of the crops that it answers to.
    dimension : int
        Length of an answer.

    Raises
    ------
    InputError
        The file is missing, is not the card's, or is no such table.
    """

    def __init__(self, found: FoundModel) -> None:
        self.path = checked_file(found)
        try:
            with pa.memory_map(str(self.path)) as source:
                table = pa.ipc.open_file(source).read_all()
            facts: dict[str, Any] = json.loads((table.schema.metadata or {})[FACTS])
            self.composites = str(facts["composites"])
            trials, answers = table.column("trial"), table.column("answer")
            self.dimension = int(answers.type.list_size)
        except (pa.ArrowInvalid, OSError, KeyError, ValueError, AttributeError) as error:
            raise InputError(f"{self.path} is no table of answers: {error}.", AGAIN) from error
        # One chunk each, so that numpy reads the file where it lies.
        self._trials: NDArray[np.int64] = trials.combine_chunks().to_numpy()
        values = answers.combine_chunks().flatten().to_numpy()
        self._answers: NDArray[np.float32] = values.reshape(len(self._trials), self.dimension)

    def __len__(self) -> int:
        """Count the answers."""
        return len(self._trials)

    def of(self, trials: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the answers to some trials, shape (n, `dimension`), float32.

        Raises
        ------
        InputError
            There is none to one of them.
        """
        rows = np.searchsorted(self._trials, trials)
        found = rows < len(self._trials)
        found[found] = self._trials[rows[found]] == trials[found]
        if not found.all():
            raise InputError(f"{self.path} has no answer to trial {trials[~found][0]}.", AGAIN)
        return self._answers[rows]

    def forward_to(self, images: Tensor, layer: str, /) -> Tensor:
        """Refuse: no crop can be answered here.

        Raises
        ------
        UsageError
            Always.
        """
        raise UsageError(
            f"{self.path} holds answers to the crops of one export; nothing new can be asked.",
            "Use it in a run of the same store and settings.",
        )


def load(found: FoundModel, device: torch.device) -> Answers:
    """Open the table that a card names; see `Answers`."""
    return Answers(found)
