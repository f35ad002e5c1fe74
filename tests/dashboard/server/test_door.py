"""The door of a server that runs: broken secrets, uploads, and code that lies where one stands."""

import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

import pytest

from compute.errors import BystanderError
from dashboard.bench.reader import Reader
from dashboard.server.launch import Server, healthy, launch
from dashboard.server.streamlit_internals import COOKIE
from tests.dashboard.identity import signed
from tests.dashboard.server.test_sign_in_rules import ACCESS, AUTH, SECRET

MIB = 2**20
SHADOWS = ("pandas", "streamlit", "compute", "dashboard")
READER = {"is_logged_in": True, "email": "ada@lab.org", "origin": "http://localhost"}
GREETING = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a server that starts now looks for its secrets; nothing is there yet."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    stand = tmp_path / "stand"
    (stand / ".streamlit").mkdir(parents=True)
    monkeypatch.chdir(stand)
    return stand / ".streamlit" / "secrets.toml"


@contextmanager
def running(run: Path, **options) -> Iterator[int]:
    """Start a server; gives its port."""
    with started(run, **options) as server:
        yield port_of(server)


@contextmanager
def started(run: Path, **options) -> Iterator[Server]:
    server = launch([run], open_browser=False, wait=False, **options)
    try:
        yield server
    finally:
        server.stop()


def port_of(server: Server) -> int:
    return int(server.address.split(":")[2].split("/")[0])


def status(port: int, path: str, *, cookie: bool = False, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    if cookie:
        headers["Cookie"] = f"{COOKIE}={signed(READER, SECRET)}"
    try:
        connection.request(
            "GET", path, headers={**GREETING} if path.endswith("stream") else headers
        )
        return connection.getresponse().status
    finally:
        connection.close()


def is_open(port: int) -> bool:
    """Whether pages are made, with or without sign-in."""
    return status(port, "/") == 200 and status(port, "/_stcore/stream") == 101


def is_closed(port: int) -> bool:
    """Whether everything but the health check is refused, even to a reader with a cookie."""
    paths = ("/", "/accuracy", "/media/a.csv", "/auth/login", "/_stcore/host-config")
    answers = {status(port, path, cookie=cookie) for path in paths for cookie in (True, False)}
    return (
        answers == {503} and status(port, "/_stcore/stream") == 403 and healthy("127.0.0.1", port)
    )


def test_what_is_said_before_sign_in_is_of_no_deployment_and_lets_no_other_page_in(
    run_path, secrets
):
    """The page on which one signs in asks for it, so it stays open: a constant."""
    secrets.write_text(AUTH + ACCESS)
    with running(run_path) as port:
        said = json.loads(urlopen(f"http://127.0.0.1:{port}/_stcore/host-config").read())
        assert not any(said.pop("allowedOrigins"))
        assert not any(value for name, value in said.items()), said


def test_secrets_that_break_while_the_server_runs_close_it(run_path, secrets, capfd):
    secrets.write_text(AUTH + ACCESS)
    with running(run_path) as port:
        assert "Sign-in is on: readers on the list (1 pattern)" in capfd.readouterr().err
        assert is_open(port)
        assert status(port, "/media/a.csv") == 403
        assert status(port, "/media/a.csv", cookie=True) == 404  # let in; there is no such file
        for broken in (AUTH + "[acc", AUTH + ACCESS + "x = 1\n", "\ufeff" + AUTH, "", ACCESS):
            secrets.write_text(broken)
            assert is_closed(port)
        secrets.unlink()
        assert is_closed(port)
        assert "no [auth] is left" in capfd.readouterr().err
        secrets.write_text(AUTH + ACCESS)
        assert is_open(port)
        assert status(port, "/media/a.csv") == 403


def test_a_server_without_sign_in_closes_by_a_broken_file_and_asks_by_a_whole_one(
    run_path, secrets, capfd
):
    with running(run_path) as port:
        assert "Sign-in is off" in capfd.readouterr().err
        assert status(port, "/media/a.csv") == 404
        secrets.write_text("[auth\n")
        assert is_closed(port)
        with pytest.raises(BystanderError):  # no page is made
            Reader(f"http://127.0.0.1:{port}")
        secrets.write_text(AUTH)
        assert status(port, "/media/a.csv") == 403
        assert is_open(port)


@pytest.mark.parametrize("text", ["[auth\n", AUTH + '[access]\nemails = "*@lab.org"\n'])
def test_secrets_that_are_not_understood_end_the_command(run_path, secrets, text):
    secrets.write_text(text)
    code = "from compute.cli.main import main; main()"
    command = [sys.executable, "-P", "-c", code, "dashboard", str(run_path), "--no-browser"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    try:
        said, problem = process.communicate(timeout=60)
    finally:
        process.terminate()  # which ends its server, too
    assert process.returncode == 1
    assert f"{secrets}" in problem
    assert "line" in problem
    assert "Bystander is at" not in said


@pytest.mark.parametrize("place", ["home", "named", "nowhere"])
def test_every_place_where_streamlit_looks_is_read(run_path, secrets, tmp_path, monkeypatch, place):
    path = {
        "home": tmp_path / "home" / ".streamlit" / "secrets.toml",
        "named": tmp_path / "elsewhere.toml",
        "nowhere": tmp_path / "missing.toml",
    }[place]
    if place != "nowhere":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("[auht]\n")
    if place != "home":
        monkeypatch.setenv("STREAMLIT_SECRETS_FILES", str(path))
    with pytest.raises(BystanderError, match="ended with status 1"), started(run_path):
        pass


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("base", ["", "/lab"])
def test_uploads_are_refused_and_not_kept(run_path, secrets, base):
    public = f"http://localhost{base}" if base else ""
    with started(run_path, public=public) as server:
        before = resident(server.process.pid)
        for path in ("/_stcore/upload_file/a/b", "/_STCORE/upload%5ffile/a/b"):
            for number in range(3):
                assert upload(port_of(server), f"{base}{path}{number}", 64 * MIB) in (405, None)
        assert upload(port_of(server), f"{base}/_stcore/upload_file/a/b", 1) == 405
        assert resident(server.process.pid) - before < 32 * MIB
        assert healthy("127.0.0.1", port_of(server), base)
        assert status(port_of(server), f"{base}/") == 200
        assert status(port_of(server), f"{base}/", Host="evil.example") == 400


def resident(pid: int) -> int:
    """Return the memory that a process holds, bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmRSS")))


def upload(port: int, path: str, size: int) -> int | None:
    """Send a file as a browser does; return the status, None where the server hung up before."""
    start = b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
    end = b"\r\n--x--\r\n"
    head = (
        f"PUT {path} HTTP/1.1\r\nHost: localhost\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n"
        f"Content-Length: {len(start) + size + len(end)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=60) as line:
        with suppress(ConnectionError):  # it may have answered and hung up before the end is sent
            line.sendall(head.encode() + start + bytes(size) + end)
        try:
            return int(line.recv(4096).split()[1])
        except (ConnectionError, IndexError):
            return None


@pytest.mark.parametrize("known", [None, "", os.pathsep, f"{os.pathsep}elsewhere{os.pathsep}"])
def test_no_code_is_taken_from_where_one_stands(run_path, secrets, monkeypatch, known):
    stand = Path.cwd()
    for name in SHADOWS:
        code = f"import pathlib\npathlib.Path({str(stand / name)!r} + '.ran').touch()\n"
        (stand / f"{name}.py").write_text(code)
    if known is None:
        monkeypatch.delenv("PYTHONPATH", raising=False)
    else:
        monkeypatch.setenv("PYTHONPATH", known)
    with started(run_path) as server, Reader(server.address) as reader:
        assert not reader.visit("accuracy", {}).problems
    assert not list(stand.glob("*.ran"))
