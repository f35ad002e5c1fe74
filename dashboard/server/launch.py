"""Start the dashboard as a process of its own, and wait until it answers. No Streamlit import."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import webbrowser
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from compute.errors import BystanderError, UsageError
from compute.shipped import COMPARED_RUN, DEMO_RUN
from dashboard.server.launcher import LAUNCHED_VARIABLE
from dashboard.server.streamlit_internals import CORE, HEALTH

RUNS_VARIABLE = "BYSTANDER_RUNS"
"""Environment variable with the run directories, as a JSON list."""

DEFAULT_PORT = 8501
ATTEMPTS = 20
"""How many ports from the default on are tried."""

PATIENCE = 60.0
"""Seconds until a server that does not answer is given up."""

SHIPPED = [DEMO_RUN, COMPARED_RUN]
"""Runs that are shown where none is given."""

_LAUNCHED: list[subprocess.Popen[bytes]] = []
"""Servers of this process: while it holds the other end of their pipe, they stay."""

APP = Path(__file__).resolve().parent / "server.py"
ANYWHERE = ("0.0.0.0", "::")


@dataclass(frozen=True)
class Server:
    """A running dashboard.

    Parameters
    ----------
    process
        Its process.
    address
        Where it answers on this machine: ``http://HOST:PORT/PATH``.
    """

    process: subprocess.Popen[bytes]
    address: str

    def stop(self) -> None:
        """End the process and wait for it; it is killed where it has not ended after 10 seconds."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        if self.process.stdin is not None:
            self.process.stdin.close()


def launch(
    runs: Sequence[Path | str] = (),
    *,
    port: int | None = None,
    address: str = "127.0.0.1",
    open_browser: bool = True,
    wait: bool = True,
    public: str = "",
) -> Server:
    """Open the dashboard on run directories.

    Parameters
    ----------
    runs
        Run directories; the shipped demo where there is none. One that cannot be shown is
        explained on its page.
    port
        Where to listen; default 8501, or the next free one.
    address
        Address to listen on; ``"0.0.0.0"`` for the whole network.
    open_browser
        Open a browser window once it answers.
    wait
        Stay until the dashboard ends; Ctrl-C ends it. Otherwise it ends with this process.
    public
        Where readers find it, when a web server stands before it:
        ``https://lab.example.org/bystander``.

    Returns
    -------
    Server
        Ended already where `wait` is true.

    Raises
    ------
    UsageError
        The port is taken, a run is not a folder, or `public` is no address.
    BystanderError
        The server ended (as it does where a secrets file is not understood), or did not answer
        within a minute.

    Examples
    --------
    >>> from dashboard import launch
    >>> server = launch(["my-run"], open_browser=False, wait=False)  # doctest: +SKIP
    >>> server.address  # doctest: +SKIP
    'http://127.0.0.1:8501'
    >>> server.stop()  # doctest: +SKIP
    """
    folders = [Path(run).resolve() for run in runs] or SHIPPED
    missing = [str(folder) for folder in folders if not folder.is_dir()]
    if missing and runs:
        raise UsageError(
            f"No such run directory: {', '.join(missing)}.",
            "Give folders that `bystander run` made.",
        )
    if missing:
        raise UsageError(
            f"No demo run lies at {' nor '.join(missing)}.",
            "Give a run directory, or make one: bystander demo.",
        )
    parts = _public(public)
    chosen = _port(address, port)
    prepare(folders)
    process = subprocess.Popen(
        command(address, chosen, public),
        env={**environment(folders), LAUNCHED_VARIABLE: "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    _LAUNCHED.append(process)
    host = "127.0.0.1" if address in ANYWHERE else address
    server = Server(process, f"http://{host}:{chosen}{parts.path.rstrip('/') if parts else ''}")
    try:
        _wait_until_ready(server, host, chosen)
        print(f"Bystander is at {public or server.address} (Ctrl-C ends it).", flush=True)
        if open_browser:
            with suppress(webbrowser.Error):
                webbrowser.open(server.address)
        if wait:
            _stay(server)
    except BaseException:
        server.stop()
        raise
    return server


def prepare(folders: Sequence[Path]) -> None:
    """Make serving copies of large runs that have none (`dashboard.queries.copies`)."""
    from dashboard.queries import copies
    from dashboard.queries.open_runs import connect, open_library

    with closing(connect(folders)) as connection:
        for run in open_library(folders, connection).runs:
            copies.make(run, lambda text: print(text, flush=True))


def command(address: str, port: int, public: str = "") -> list[str]:
    """Return the command line of the server: nothing is sent anywhere, no tracebacks shown.

    Requests for another host than `address`, this machine or that of `public` are refused; all are
    answered where it listens on every address and no `public` is given. Readers
    upload nothing, so little is taken in; what a selection in a chart says stays below 4 MB. No
    other page may steer this one, a cloud of Streamlit's neither (``allowedOrigins``). No code is
    taken from the folder one stands in (``-P``): a ``pandas.py`` may lie there.
    """
    options = {
        "server.address": address,
        "server.port": str(port),
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "server.maxUploadSize": "1",
        "server.maxWidgetStateSize": "4",
        "browser.gatherUsageStats": "false",
        "client.showErrorDetails": "none",
        "client.toolbarMode": "minimal",
        "client.allowedOrigins": "",
        "logger.level": "error",
    }
    hosts = [] if address in ANYWHERE else [address]
    parts = _public(public)
    if parts:
        options |= {
            "server.baseUrlPath": parts.path.strip("/"),
            "browser.serverAddress": str(parts.hostname),
            "browser.serverPort": str(parts.port or (443 if parts.scheme == "https" else 80)),
        }
        hosts += [str(parts.hostname)]
    if hosts:
        hosts += ["localhost", "127.0.0.1", "::1"]
    return [
        *(sys.executable, "-P", "-m", "streamlit", "run", str(APP)),
        *(f"--{name}={value}" for name, value in options.items()),
        *(f"--server.allowedHosts={host}" for host in dict.fromkeys(hosts)),
    ]


def _public(text: str) -> SplitResult | None:
    """Return the parts of a public address; None where there is none."""
    if not text:
        return None
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise UsageError(
            f"{text!r} is no address that readers could open.",
            "Give --public as https://HOST or https://HOST/PATH.",
        )
    return parts


def environment(folders: Sequence[Path]) -> dict[str, str]:
    """Return the server's environment: the runs, and where the packages are.

    An empty part of ``PYTHONPATH`` means the folder one stands in, so it is left out; and what the
    server starts takes no code from there either.
    """
    package_root = str(APP.parents[2])
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return {
        **os.environ,
        RUNS_VARIABLE: json.dumps([str(folder) for folder in folders]),
        "PYTHONPATH": os.pathsep.join(part for part in (package_root, *known) if part),
        "PYTHONSAFEPATH": "1",
    }


def requested_runs() -> list[Path]:
    """Return the run directories this process was started for."""
    given = os.environ.get(RUNS_VARIABLE)
    return [Path(item) for item in json.loads(given)] if given else SHIPPED


def _port(address: str, port: int | None) -> int:
    if port is not None:
        if not _free(address, port):
            raise UsageError(
                f"Port {port} of {address} is taken or may not be used.",
                "Give another --port, or none to use the next free one.",
            )
        return port
    for candidate in range(DEFAULT_PORT, DEFAULT_PORT + ATTEMPTS):
        if _free(address, candidate):
            return candidate
    raise UsageError(
        f"Ports {DEFAULT_PORT} to {DEFAULT_PORT + ATTEMPTS - 1} are all taken.", "Give a --port."
    )


def _free(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except (OSError, OverflowError):
            return False
    return True


def _wait_until_ready(server: Server, host: str, port: int) -> None:
    end = time.monotonic() + PATIENCE
    path = urlsplit(server.address).path
    while time.monotonic() < end:
        if server.process.poll() is not None:
            raise BystanderError(
                f"The dashboard's server ended with status {server.process.returncode}.",
                "The lines above say why.",
            )
        if healthy(host, port, path):
            return
        time.sleep(0.1)
    raise BystanderError(
        f"The dashboard did not answer at {server.address} within {PATIENCE:.0f} seconds.",
        "Try again, or give another --port.",
    )


def healthy(host: str, port: int, path: str = "") -> bool:
    """Return whether a Streamlit server answers: any page has status 200, so its text counts."""
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", f"{path}/{CORE}/{HEALTH}")
        response = connection.getresponse()
        return response.status == 200 and response.read(16) == b"ok"
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _stay(server: Server) -> None:
    """Wait for the server; Ctrl-C reaches it too (same terminal), so give it time to end.

    A termination signal ends this process by way of `launch`, which stops the server.
    """
    signal.signal(signal.SIGTERM, _end)
    try:
        server.process.wait()
    except KeyboardInterrupt:
        with suppress(ProcessLookupError):
            server.process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            server.process.wait(10)
        server.stop()


def _end(number: int, frame: object) -> None:
    """End this process as its signal asks, so that what it started is stopped."""
    raise SystemExit(128 + number)
