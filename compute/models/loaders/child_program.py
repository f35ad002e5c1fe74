"""A program beside this process, that is written to and answers on its standard output.

Layer: processes and pipes; knows nothing of what is said. The program is a process group of its
own, which ends with this process at the latest.
"""

import io
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, cast
from weakref import finalize

from compute.errors import InputError

LINES = 20
"""Lines of its standard error that are kept for messages."""

PATIENCE = 3.0
"""Seconds in which it may end when it is asked to, before it is made to."""

_FIRST = b"\xff\xff\xff\xff"
"""Every Arrow stream begins so: `IPC_CONTINUATION_TOKEN` in its format's specification."""

_ELSEWHERE = "all that is no answer belongs on standard error"


class ChildProgram:
    """A program that has been started.

    Parameters
    ----------
    command
        Program and arguments.
    folder
        Where it runs.

    Raises
    ------
    InputError
        It cannot be started.
    """

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        if not folder.is_dir():
            raise InputError(f"The folder {folder} is missing.", "The program runs in it.")
        try:
            self._process = subprocess.Popen(
                list(command),
                cwd=folder.resolve(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise InputError(
                f"The program {command[0]!r} cannot be started in {folder}: {error.strerror}.",
                "Install it, or correct `command` in the card.",
            ) from error
        self.input = cast(IO[bytes], self._process.stdin)
        self.output = BoundedOutput(cast(IO[bytes], self._process.stdout).fileno())
        self._lines: deque[str] = deque(maxlen=LINES)
        self._listening = threading.Thread(
            target=_keep_lines, args=(self._process.stderr, self._lines), daemon=True
        )
        self._listening.start()
        # Runs once nobody holds the program any more, and before Python exits.
        self._end = finalize(self, _end, self._process, os.getpid())

    def within(self, seconds: float, do: Callable[[], None]) -> str:
        """Do something with its pipes, which break when it takes too long.

        Parameters
        ----------
        seconds
            How long it may take.
        do
            What to do.

        Returns
        -------
        str
            What went wrong, in words, and then the program has been ended; empty if nothing did.
        """
        late = threading.Event()

        def stop() -> None:
            late.set()
            _signal(self._process, "SIGKILL")

        watch = threading.Timer(seconds, stop)
        watch.daemon = True
        watch.start()
        problem = ""
        try:
            do()
        except Exception as error:
            # One that has just ended is to be seen as such.
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(0.5)
            said = str(error).strip().splitlines()
            problem = self.output.refused or (
                f"wrote what is no Arrow stream ({said[0][:200] if said else type(error).__name__})"
                if self._process.poll() is None
                else f"ended with status {self._process.returncode} before it had answered"
            )
        except BaseException:
            self.end()
            raise
        finally:
            watch.cancel()
        if late.is_set():
            problem = f"gave no answer within {seconds:g} seconds"
        if problem:
            self.end()
        return problem

    def end(self) -> None:
        """End it, with all that it started."""
        self._end()
        self._listening.join(PATIENCE)

    @property
    def last_lines(self) -> str:
        """What it wrote last on its standard error, as lines of text; empty if nothing."""
        return "\n".join(f"  {line}" for line in list(self._lines) if line)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def number(self) -> int:
        """The number of its process."""
        return self._process.pid


class BoundedOutput(io.RawIOBase):
    """A program's output, of which no more can be asked for at once than an answer has.

    Arrow believes any length that it reads, and in a program's printed text every four letters are
    a length of a gigabyte or two.

    Parameters
    ----------
    descriptor
        The pipe's.

    Attributes
    ----------
    most : int
        Bytes that may be asked for at once.
    refused : str
        What was wrong with what was read; empty where nothing was.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor, self._begun = descriptor, False
        self.most, self.refused = 0, ""

    def readable(self) -> bool:
        """Return True: it may be read."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Read as many bytes as are asked for, fewer only at the end.

        Raises
        ------
        ValueError
            Too many are asked for, or what was written first begins no Arrow stream.
        """
        if not 0 <= size <= self.most:
            self.refused = (
                f"announced {size:,} bytes where an answer has {self.most:,} at most; {_ELSEWHERE}"
            )
            raise ValueError(self.refused)
        parts, left = [], size
        while left and (part := os.read(self._descriptor, min(left, 2**20))):
            parts.append(part)
            left -= len(part)
        found = b"".join(parts)
        if found and not self._begun and not _FIRST.startswith(found[:4]):
            with suppress(OSError, AttributeError):  # Windows may not have it
                os.set_blocking(self._descriptor, False)
                found += os.read(self._descriptor, 60)
            self.refused = (
                f"wrote {found[:60]!r} to its standard output, which begins no Arrow stream; "
                + _ELSEWHERE
            )
            raise ValueError(self.refused)
        self._begun = self._begun or bool(found)
        return found


def _keep_lines(pipe: IO[bytes], lines: "deque[str]") -> None:
    """Read a program's standard error to its end and keep how its last lines begin."""
    begins = True
    with suppress(ValueError, OSError), pipe:
        while piece := pipe.readline(1000):
            if begins:
                lines.append(piece.decode("utf-8", "replace").rstrip()[:500])
            begins = piece.endswith(b"\n")


def _end(process: "subprocess.Popen[bytes]", owner: int) -> None:
    """Ask a program and all that it started to end, then make them."""
    if os.getpid() != owner:
        return  # a copy of the process that started it
    _signal(process, "SIGTERM")
    with suppress(subprocess.TimeoutExpired):
        process.wait(PATIENCE)
    _signal(process, "SIGKILL")
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with suppress(OSError, ValueError):
            cast(IO[bytes], pipe).close()


def _signal(process: "subprocess.Popen[bytes]", name: str) -> None:
    """Send a signal to a program and all that it started; Windows knows the program alone."""
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, getattr(signal, name))
        else:
            process.kill()
