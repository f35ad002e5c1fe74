"""Tasks that are files, for engines: some fail, some kill the process that does them."""

import os
import signal
import time
from functools import partial
from pathlib import Path

from compute.errors import DiskError
from compute.runs.engines.tasks import Stage, TaskError


class FileTasks:
    """Makes a file for each task; what goes wrong with it is written in a file beside."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def work(self, tasks):
        for task in tasks:
            self.do(task)
            (self.folder / f"{task}.done").write_text(str(os.getpid()))
            yield task

    def do(self, task):
        orders = self.folder / f"{task}.orders"
        if not orders.is_file():
            return
        first, _, rest = orders.read_text().partition(" ")
        orders.write_text(rest)
        with (self.folder / "log").open("a") as log:
            log.write(f"{task} {first}\n")
        if first == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if first == "fail":
            raise TaskError(task, f"task {task} is bad.")
        if first == "full":
            raise TaskError(task, "no place") from DiskError("The disk is full.", "Free some.")
        if first == "meet":
            self.meet()

    def meet(self):
        """Wait until two processes are here, so that one cannot do all tasks alone."""
        (self.folder / f"{os.getpid()}.here").touch()
        until = time.monotonic() + 60
        while len(list(self.folder.glob("*.here"))) < 2 and time.monotonic() < until:
            time.sleep(0.05)

    def measured(self):
        return {"process": os.getpid()}


def missing(folder, count):
    return [task for task in range(count) if not (folder / f"{task}.done").exists()]


def describe(task):
    return {"trials": f"{task * 10} to {task * 10 + 9}", "cells": list(range(task, task + 7))}


def stage(folder: Path, count: int, at_once: int = 1) -> Stage:
    """Tasks 0 to `count` − 1 as a stage."""
    make = partial(FileTasks, folder)
    todo = partial(missing, folder, count)
    return Stage("embed", count, todo, lambda tell: make(), make, describe, at_once)


def order(folder: Path, task: int, *orders: str) -> None:
    """Say what goes wrong with a task, attempt by attempt."""
    (folder / f"{task}.orders").write_text(" ".join(orders))


def cannot() -> FileTasks:
    """Fail to make a worker."""
    raise FileNotFoundError("no such store")
