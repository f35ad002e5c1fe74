"""A server ends with the process that launched it, however that ended: no port stays taken.

Layer: reads the pipe that `launch` holds the other end of, and ends this process when it closes.
"""

import os
import signal
from contextlib import suppress
from threading import Thread

LAUNCHED_VARIABLE = "BYSTANDER_LAUNCHED"
"""Environment variable that says that the server's standard input is held by its launcher."""


def end_with_it() -> None:
    """End this process when its launcher has ended; nothing happens where it has none."""
    if os.environ.pop(LAUNCHED_VARIABLE, ""):
        Thread(target=_wait, name="launcher", daemon=True).start()


def _wait() -> None:
    with suppress(OSError):
        while os.read(0, 4096):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
