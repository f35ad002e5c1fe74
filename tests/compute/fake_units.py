"""Units that are files, for engines: some fail, some kill the process that does them."""

import os
import signal
import time
from functools import partial
from pathlib import Path

from compute.errors import DiskError
from compute.runs.engines import Task, UnitError


class Units:
    """Makes a file for each unit; what goes wrong with it is written in a file beside."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def work(self, units):
        for unit in units:
            self.do(unit)
            (self.folder / f"{unit}.done").write_text(str(os.getpid()))
            yield unit

    def do(self, unit):
        orders = self.folder / f"{unit}.orders"
        if not orders.is_file():
            return
        first, _, rest = orders.read_text().partition(" ")
        orders.write_text(rest)
        with (self.folder / "log").open("a") as log:
            log.write(f"{unit} {first}\n")
        if first == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if first == "fail":
            raise UnitError(unit, f"unit {unit} is bad.")
        if first == "full":
            raise UnitError(unit, "no place") from DiskError("The disk is full.", "Free some.")
        if first == "meet":
            self.meet()

    def meet(self):
        """Wait until two processes are here, so that one cannot do all units alone."""
        (self.folder / f"{os.getpid()}.here").touch()
        until = time.monotonic() + 60
        while len(list(self.folder.glob("*.here"))) < 2 and time.monotonic() < until:
            time.sleep(0.05)

    def measured(self):
        return {"process": os.getpid()}


def missing(folder, count):
    return [unit for unit in range(count) if not (folder / f"{unit}.done").exists()]


def describe(unit):
    return {"trials": f"{unit * 10} to {unit * 10 + 9}", "cells": list(range(unit, unit + 7))}


def task(folder: Path, count: int, block: int = 1) -> Task:
    """Units 0 to `count` − 1 as a stage."""
    make = partial(Units, folder)
    return Task("embed", count, partial(missing, folder, count), make, make, describe, block)


def order(folder: Path, unit: int, *orders: str) -> None:
    """Say what goes wrong with a unit, attempt by attempt."""
    (folder / f"{unit}.orders").write_text(" ".join(orders))


def cannot() -> Units:
    """Fail to make a worker."""
    raise FileNotFoundError("no such store")
