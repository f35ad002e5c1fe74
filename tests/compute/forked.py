"""The command line in processes that are forked ready, so that hundreds of runs can be started."""

import contextlib
import multiprocessing
import os
import sys
import time
from pathlib import Path

PRELOADED = ["compute.runs.pipeline", "compute.cli.runs", "compute.runs.engines.on_ray"]
"""None of them imports Ray, which reads its environment when it is imported."""


def _main(arguments: list[str], log: Path, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    with log.open("ab", buffering=0) as handle:
        for stream in (1, 2):
            os.dup2(handle.fileno(), stream)
    print("read: begun", file=sys.stderr, flush=True)
    sys.argv = ["bystander", *arguments]
    from compute.cli.main import main

    main()


def start(arguments: list[str], log: Path, **environment: str) -> multiprocessing.Process:
    """Start a command; its output goes to a file."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    log.write_bytes(b"")
    process = context.Process(target=_main, args=(arguments, log, environment))
    process.start()
    return process


STAGES = {
    "read": "read: begun", "embed": "embed:", "probe": "probe:", "effects": "effects:",
    "examples": "examples: 0 of", "finish": "examples: {all} of {all}",
}  # fmt: skip
"""What a run prints as it comes to each stage."""


def reached(log: Path) -> str:
    """Name the last stage that a run has come to."""
    lines = log.read_text().splitlines()
    found = "read"
    for line in lines:
        words = line.split()
        with contextlib.suppress(IndexError):
            name = words[0].rstrip(":")
            if name == "examples" and words[1] == words[3]:
                found = "finish"
            elif name in STAGES:
                found = name
    return found


def wait_for_stage(process: multiprocessing.Process, log: Path, stage: str) -> bool:
    """Wait until a run has come to a stage; tells whether it is still going."""
    order = list(STAGES)
    while process.is_alive():
        if order.index(reached(log)) >= order.index(stage):
            return True
        time.sleep(0.002)
    return False


def durations(process: multiprocessing.Process, log: Path) -> dict[str, float]:
    """Watch a run to its end; gives the seconds of each stage."""
    begun = {}
    while process.is_alive():
        begun.setdefault(reached(log), time.monotonic())
        time.sleep(0.002)
    ends = [*list(begun.values())[1:], time.monotonic()]
    return {stage: end - at for (stage, at), end in zip(begun.items(), ends, strict=True)}
