"""More readers than fit are told to wait; nobody meets a server that has no descriptor left."""

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from dashboard.bench.reader import Reader
from dashboard.server import descriptors
from dashboard.server.launch import command, environment, healthy
from dashboard.server.streamlit_internals import CORE, STREAM, SUBPROTOCOL
from tests.dashboard.opening import DEMO, free_port

resource = pytest.importorskip("resource", reason="this system numbers no descriptors")


@pytest.fixture(autouse=True)
def nobody_before(monkeypatch):
    descriptors._arriving.clear()
    yield
    descriptors._arriving.clear()


def test_what_is_left_is_counted():
    before = descriptors.left()
    with ExitStack() as opened:
        for _ in range(10):
            opened.enter_context(Path(os.devnull).open())
        assert descriptors.left() == before - 10
    assert descriptors.left() == before


def test_a_session_that_was_let_in_is_counted_before_it_has_opened_anything(monkeypatch):
    least = descriptors.SPARE + descriptors.A_SESSION
    monkeypatch.setattr(descriptors, "left", lambda: least + 2 * descriptors.A_SESSION)
    arrived = [descriptors.let_in() for _ in range(4)]
    assert [each is not None for each in arrived] == [True, True, True, False]
    for _ in range(2):  # it is counted off once
        arrived[0]()
    assert descriptors.let_in()
    assert not descriptors.let_in()


def test_where_the_system_does_not_say_everybody_is_let_in(monkeypatch):
    monkeypatch.setattr(descriptors, "resource", None)
    monkeypatch.setattr(descriptors, "Path", lambda _: Path("/nowhere"))
    assert descriptors.room()


def test_the_limit_is_raised_as_far_as_it_may():
    code = (
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, 2048))\n"
        "from dashboard.server import descriptors\n"
        "descriptors.raise_limit()\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE))\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True,
        env=environment([]),
    )  # fmt: skip
    assert done.stdout == "(2048, 2048)\n"


@pytest.fixture(scope="module")
def narrow() -> Iterator[str]:
    """A server that may have 1,024 descriptors, and no more; its address."""
    port = free_port()
    limited = ["sh", "-c", 'ulimit -n 1024; exec "$@"', "sh", *command("127.0.0.1", port)]
    process = subprocess.Popen(
        limited, env=environment([DEMO]), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        end = time.monotonic() + 60
        while not healthy("127.0.0.1", port) and time.monotonic() < end:
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        _, said = process.communicate(timeout=30)
        assert b"Too many open files" not in said
        assert b"Traceback" not in said


def session(address):
    place = f"{address.replace('http', 'ws', 1)}/{CORE}/{STREAM}"
    return connect(place, subprotocols=[Subprotocol(SUBPROTOCOL)], max_size=None, proxy=None)


def page(address):
    """Ask for the first page; its status and text."""
    asked = http.client.HTTPConnection(address.removeprefix("http://"), timeout=30)
    try:
        asked.request("GET", "/")
        answer = asked.getresponse()
        return answer.status, answer.read().decode()
    finally:
        asked.close()


@pytest.mark.long
def test_three_hundred_at_once_are_served_or_told_to_wait(narrow):
    inside, outside = 0, 0
    with ExitStack() as readers:
        for _ in range(300):
            try:
                readers.enter_context(session(narrow))
                inside += 1
            except WebSocketException:
                outside += 1
        status, text = page(narrow)
        assert inside + outside == 300
        assert inside >= 150
        assert outside > 0
        assert status == 503
        assert "asks again by itself" in text
    print(f"{inside} of 300 sessions at once were let in, {outside} told to wait")


@pytest.mark.long
def test_a_thousand_in_turn_are_served(narrow):
    let_in = 0
    for _ in range(1000):
        try:
            with session(narrow):
                let_in += 1
        except WebSocketException:
            time.sleep(0.05)
    print(f"{let_in} of 1000 sessions in turn were let in")
    end = time.monotonic() + 150  # sessions that were left are kept for two minutes
    while page(narrow)[0] != 200 and time.monotonic() < end:
        time.sleep(1)
    with Reader(narrow) as reader:
        assert not reader.visit("accuracy", {}).problems
