"""Starting and stopping the server."""

import os
import socket
import subprocess
import sys
import time

import pytest

from compute.errors import UsageError
from dashboard.server import launch as launching
from dashboard.server.launch import command, healthy, launch


def test_starts_answers_and_stops(run_path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    server = launch([run_path], open_browser=False, wait=False)
    try:
        assert server.address in capsys.readouterr().out
        assert healthy("127.0.0.1", int(server.address.rsplit(":", 1)[1]))
    finally:
        server.stop()
    assert server.process.returncode is not None


def test_another_free_port_is_taken_unless_one_was_named(run_path, monkeypatch):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with pytest.raises(UsageError, match=str(port)):
            launch([run_path], port=port, open_browser=False, wait=False)
        monkeypatch.setattr(launching, "DEFAULT_PORT", port)
        assert launching._port("127.0.0.1", None) != port


@pytest.mark.skipif(sys.platform == "win32", reason="processes are killed otherwise there")
def test_a_server_ends_with_a_launcher_that_was_killed(run_path, tmp_path):
    code = (
        "import sys, time\n"
        "from dashboard import launch\n"
        "print(launch([sys.argv[1]], open_browser=False, wait=False).address)\n"
        "time.sleep(100)\n"
    )
    started = [sys.executable, "-P", "-c", code, str(run_path)]
    with subprocess.Popen(started, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as launcher:
        assert launcher.stdout is not None
        lines = iter(launcher.stdout.readline, "")
        port = next(int(text.rsplit(":", 1)[1]) for text in lines if text.startswith("http://"))
        assert healthy("127.0.0.1", port)
        launcher.kill()
    end = time.monotonic() + 30
    while healthy("127.0.0.1", port) and time.monotonic() < end:
        time.sleep(0.1)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_nothing_leaves_the_machine_and_no_traceback_is_shown():
    said = command("127.0.0.1", 8501)
    assert "--browser.gatherUsageStats=false" in said
    assert "--client.showErrorDetails=none" in said
    assert "--server.fileWatcherType=none" in said
    assert "--server.address=127.0.0.1" in said
    assert "--server.allowedHosts=localhost" in said
    assert not any("allowedHosts" in part for part in command("0.0.0.0", 8501))


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match="nowhere"):
        launch([tmp_path / "nowhere"], open_browser=False)


def test_a_server_that_only_answers_200_is_not_healthy(tmp_path):
    code = (
        "import http.server, sys; s = http.server.HTTPServer(('127.0.0.1', 0), "
        "type('H', (http.server.BaseHTTPRequestHandler,), {'do_GET': lambda self: ("
        "self.send_response(200), self.end_headers(), self.wfile.write(b'<html>'))})); "
        "print(s.server_port, flush=True); s.handle_request()"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert not healthy("127.0.0.1", int(other.stdout.readline()))
    finally:
        other.kill()
        other.wait()


def test_packages_are_found_from_anywhere(monkeypatch):
    root = str(launching.APP.parents[2])
    for known in ("elsewhere", ":elsewhere", "elsewhere:", "::elsewhere:"):
        monkeypatch.setenv("PYTHONPATH", known.replace(":", os.pathsep))
        assert launching.environment([])["PYTHONPATH"] == f"{root}{os.pathsep}elsewhere"
    for known in ("", os.pathsep):
        monkeypatch.setenv("PYTHONPATH", known)
        assert launching.environment([])["PYTHONPATH"] == root


def test_no_code_is_taken_from_the_current_folder():
    said = command("127.0.0.1", 8501)
    assert said.index("-P") < said.index("-m")
    assert launching.environment([])["PYTHONSAFEPATH"] == "1"


def test_little_is_taken_in():
    said = command("127.0.0.1", 8501)
    assert "--server.maxUploadSize=1" in said
    assert "--server.maxWidgetStateSize=4" in said


def test_ending_the_command_ends_its_server(run_path):
    """Ctrl-C in a terminal reaches both; a service manager's signal reaches the command alone."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = "from compute.cli.main import main; main()"
    arguments = ["dashboard", str(run_path), "--port", str(port), "--no-browser"]
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE)
    try:
        assert b"Bystander is at" in process.stdout.readline()
        assert healthy("127.0.0.1", port)
        process.terminate()
        assert process.wait(30) == 128 + 15
        assert not healthy("127.0.0.1", port)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_public_address_sets_host_and_base_path():
    said = command("127.0.0.1", 8501, "https://lab.example.org/bystander/")
    assert "--server.baseUrlPath=bystander" in said
    assert "--browser.serverAddress=lab.example.org" in said
    assert "--browser.serverPort=443" in said
    assert "--server.allowedHosts=lab.example.org" in said
    everywhere = command("0.0.0.0", 8501, "https://lab.example.org")
    assert "--server.allowedHosts=lab.example.org" in everywhere
    assert "--server.allowedHosts=127.0.0.1" in everywhere
    assert not any("allowedHosts" in part for part in command("0.0.0.0", 8501))
    assert "--browser.serverPort=8080" in command("127.0.0.1", 1, "http://lab:8080/x/y")
    assert not any("baseUrlPath" in part for part in command("127.0.0.1", 8501))


@pytest.mark.parametrize(
    "public", ["lab.example.org", "ftp://lab/x", "https:///x", "https://a?b=1"]
)
def test_a_public_address_that_is_none_is_refused(run_path, public):
    with pytest.raises(UsageError, match="--public"):
        launch([run_path], open_browser=False, wait=False, public=public)


def test_answers_below_a_base_path(run_path):
    server = launch([run_path], open_browser=False, wait=False, public="http://localhost/lab")
    try:
        assert server.address.endswith("/lab")
        port = int(server.address.removesuffix("/lab").rsplit(":", 1)[1])
        assert healthy("127.0.0.1", port, "/lab")
        assert not healthy("127.0.0.1", port)
    finally:
        server.stop()
