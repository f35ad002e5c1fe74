"""Embeddings by a program in whatever language, over its standard input and output.

Layer: a found card in, a network out. It gets one Arrow IPC stream, a record batch for every batch
of crops, and answers with another, a record batch for each; `docs/own-model.md` has the protocol.
"""

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from compute.errors import InputError, UsageError
from compute.models.card import ModelCard
from compute.models.card_files import FoundModel
from compute.models.loaders.child_program import ChildProgram
from compute.models.loaders.weights_file import checked_file

SECONDS = 600.0
"""How long a program may take for a batch; for the first one it also starts and loads its model."""

AT_ONCE = 2**26
"""Bytes of pixels in a batch at most, unless one crop has more."""

LONGEST = 100_000
"""Numbers in an embedding at most."""

ROW, PIXELS, EMBEDDING, CLASSES = "row", "pixels", "embedding", "classes"
"""Columns: the first two are given; the first and the third are the answer, and the last where the
card names a head."""


class CommandNetwork:
    """A program that computes embeddings; started when it is first needed, and after it failed.

    Parameters
    ----------
    card
        The card, with the program's `command`.
    folder
        Where the program runs.
    """

    def __init__(self, card: ModelCard, folder: Path) -> None:
        self._card, self._folder = card, folder
        # It is asked one batch at a time, whichever thread asks.
        self._turn = threading.Lock()
        self._talk: _Talk | None = None
        self._width = 0

    def forward_to(self, images: Tensor, layer: str, /) -> Tensor:
        """Have the program embed N×I×h×w images: N×K float32.

        Raises
        ------
        InputError
            The program cannot be started, ends, is late, or answers something else; has its last
            lines.
        """
        return self.forward_several(images, (layer,))[layer]

    def forward_several(self, images: Tensor, layers: Sequence[str], /) -> dict[str, Tensor]:
        """Have the program embed images and, as the second layer, answer for the card's head.

        Whatever the head is called in the card, its outputs are the column `CLASSES`. Raises as
        `forward_to` does.
        """
        pixels = images.to("cpu", torch.float32).contiguous().numpy()
        step = max(1, AT_ONCE // max(1, pixels[:1].nbytes))
        with self._turn:
            found = [
                self._ask(pixels[start : start + step], layers)
                for start in range(0, len(pixels), step)
            ]
        return {
            layer: torch.from_numpy(np.concatenate(each)).to(images.device)
            for layer, each in zip(layers, zip(*found, strict=True), strict=True)
        }

    def close(self) -> None:
        """End the program; another call would start it anew."""
        with self._turn:
            if self._talk is not None:
                self._talk.program.end()
            self._talk = None

    def _ask(
        self, pixels: NDArray[np.float32], layers: Sequence[str]
    ) -> tuple[NDArray[np.float32], ...]:
        """Have one batch embedded, and classified where a second layer is asked."""
        if self._talk is None or not self._talk.program.running:
            program = ChildProgram(self._card.command, self._folder)
            self._talk = _Talk(program, _schema(self._card, layers[0], pixels.shape))
        talk, found, said = self._talk, None, None
        first, rows = talk.asked, len(pixels)
        problem = talk.exchange(pixels)
        if not problem:
            problem, found = _numbers(talk.answer, first, rows, EMBEDDING)
        if not problem and len(layers) > 1:
            problem, said = _numbers(talk.answer, first, rows, CLASSES)
        if found is not None and self._width not in (0, found.shape[1]):
            problem = f"answered {found.shape[1]} numbers for each crop, and {self._width} before"
        if problem or found is None:
            self._talk = None
            talk.program.end()
            lines = talk.program.last_lines
            raise InputError(
                f"Model {self._card.name!r}: the program {self._card.command_line} "
                f"{problem}." + (f" Its last lines on standard error:\n{lines}\n" if lines else ""),
                "Correct the program; it is started anew when it is needed.",
            )
        self._width = found.shape[1]
        return (found,) if said is None else (found, said)


class _Talk:
    """What has been said to a program that runs, and by it.

    Parameters
    ----------
    program
        The program.
    schema
        Of what it is given.

    Attributes
    ----------
    asked : int
        Rows that it has been given.
    answer : pyarrow.RecordBatch
        What it answered last.
    """

    def __init__(self, program: ChildProgram, schema: pa.Schema) -> None:
        self.program, self.asked, self.answer = program, 0, None
        self._schema = schema
        self._writer: pa.ipc.RecordBatchStreamWriter | None = None
        self._reader: pa.ipc.RecordBatchStreamReader | None = None

    def exchange(self, pixels: NDArray[np.float32]) -> str:
        """Give a batch of crops and read one record batch; says what went wrong, if anything."""
        rows = pa.array(np.arange(self.asked, self.asked + len(pixels)))
        values = pa.FixedSizeListArray.from_arrays(pa.array(pixels.ravel()), pixels[0].size)
        batch = pa.record_batch([rows, values], schema=self._schema)
        self.asked += len(pixels)
        self.program.output.most = 2**16 + len(pixels) * 8 * (2 * LONGEST + 2)

        def answer() -> None:
            # What a program writes before it has read everything must not block both.
            giving = threading.Thread(target=self._give, args=(batch,), daemon=True)
            giving.start()
            if self._reader is None:
                self._reader = pa.ipc.open_stream(pa.PythonFile(self.program.output, mode="r"))
            try:
                self.answer = self._reader.read_next_batch()
            except StopIteration as end:
                raise EOFError("its stream ended") from end
            giving.join()

        return self.program.within(SECONDS, answer)

    def _give(self, batch: pa.RecordBatch) -> None:
        """Write a batch to the program; if it does not read it, its answer will be missing."""
        try:
            if self._writer is None:
                self._writer = pa.ipc.new_stream(self.program.input, self._schema)
            self._writer.write_batch(batch)
            self.program.input.flush()
        except (OSError, ValueError):
            return


def load(found: FoundModel, device: torch.device) -> CommandNetwork:
    """Make a network of the card's program, which is started when it is first asked.

    Raises
    ------
    InputError
        The file that the card names is missing, or is another.
    UsageError
        The card's folder is not known.
    """
    if found.folder is None:
        raise UsageError(
            f"Where the program of model {found.name!r} is to run is not known.",
            "Give its folder, or the path of the card instead of the card.",
        )
    if found.card.weights:
        checked_file(found)
    return CommandNetwork(found.card, found.folder)


def built_for(card: ModelCard) -> str:
    """Say what a card's layer decides: a program is told the model and one layer when it starts."""
    return f"{card.name}, {card.layer}"


def _schema(card: ModelCard, layer: str, shape: Sequence[int]) -> pa.Schema:
    """Return the schema of what a program is given."""
    _, channels, height, width = shape
    said = {
        "model": card.name, "layer": layer,
        "channels": str(channels), "height": str(height), "width": str(width),
    }  # fmt: skip
    pixels = pa.list_(pa.float32(), channels * height * width)
    return pa.schema([(ROW, pa.int64()), (PIXELS, pixels)], metadata=said)


def _numbers(
    answer: pa.RecordBatch, first: int, rows: int, column: str
) -> tuple[str, NDArray[np.float32] | None]:
    """Read a program's answer to rows from `first` on; says what is wrong with it, if anything.

    `column` is `EMBEDDING` or `CLASSES`.
    """
    names = answer.schema.names
    one, several = ("an embedding", "embeddings") if column == EMBEDDING else (column, column)
    if names.count(ROW) != 1 or names.count(column) != 1:
        return f"answered columns {', '.join(names) or 'none'}, not {ROW} and {column}", None
    if answer.num_rows != rows:
        return f"answered {answer.num_rows} rows for {rows} crops", None
    try:
        answer.validate(full=True)
        numbers, vectors = answer.column(ROW), answer.column(column)
        if numbers.to_pylist() != list(range(first, first + rows)):
            return f"answered other rows than {first} to {first + rows - 1}, in order", None
        kind = vectors.type
        if not (_is_list(kind) and pa.types.is_floating(kind.value_type)):
            return f"answered {one} of type {kind}, not lists of float32", None
        lengths = set(vectors.value_lengths().to_pylist())
        if len(lengths) != 1 or not 1 <= (max(lengths) or 0) <= LONGEST:
            words = ", ".join(sorted("missing" if n is None else str(n) for n in lengths)[:4])
            return f"answered {several} of different or wrong lengths: {words}", None
        flat = vectors.flatten()
        if flat.null_count:
            return f"answered {several} with empty values", None
        found = flat.to_numpy(zero_copy_only=False).astype(np.float32).reshape(rows, -1)
    except (pa.ArrowException, ValueError) as error:
        return f"answered a damaged record batch ({str(error)[:200]})", None
    finite = np.isfinite(found).all(1)
    if not finite.all():
        return f"answered a value that is not finite for row {first + int(finite.argmin())}", None
    return "", found


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
