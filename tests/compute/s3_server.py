"""An S3 server on 127.0.0.1 that can be switched off and on, and a command line that sees no other.

The server is moto's: it answers in the S3 protocol, checks signatures and rights where asked to,
and keeps objects in memory, also while it is switched off.
"""

import multiprocessing
import os
import sys
import threading
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.compute import forked

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}


class S3Server:
    """The server; `trouble` may look at a request and answer it with a status of its own."""

    def __init__(self) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

        self._app = DomainDispatcherApplication(create_backend_app)
        self._port = 0  # any that is free; afterwards the same again
        self.calls: list[str] = []
        self.trouble: Callable[[str, dict[str, Any]], str | None] = lambda call, environ: None
        self.start()

    def start(self) -> None:
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Handler(WSGIRequestHandler):
            protocol_version = "HTTP/1.0"  # no connection outlives its answer, nor the server

            def log(self, *args: Any) -> None:
                pass

        self._server = make_server(
            "127.0.0.1", self._port, self._answer, threaded=True, request_handler=Handler
        )
        self._port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def environment(self) -> dict[str, str]:
        """What tells a client of the server, and keeps it from all else on this machine."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._port}", **CREDENTIALS,
            "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_MAX_ATTEMPTS": "1",
        }  # fmt: skip

    def bucket(self) -> str:
        """Make a bucket; gives its URL."""
        import boto3

        name = f"bucket-{uuid.uuid4().hex}"
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket=name)
        return f"s3://{name}"

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        query = environ["QUERY_STRING"]
        call = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}{'?' if query else ''}{query}"
        self.calls.append(call)
        status = self.trouble(call, environ)
        if status is None:
            return self._app(environ, start_response)
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        code = status.partition(" ")[2].replace(" ", "")
        body = f"<Error><Code>{code}</Code><Message>{status}</Message></Error>".encode()
        if environ["REQUEST_METHOD"] == "HEAD":
            body = b""
        start_response(status, [("Content-Type", "text/xml"), ("Content-Length", str(len(body)))])
        return [body]


def _only_here(event: str, arguments: tuple[Any, ...]) -> None:
    """End the process if it looks up or connects to anything but this machine."""
    if event == "socket.connect":
        place = arguments[1][0] if isinstance(arguments[1], tuple) else None
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        place = arguments[0]
    else:
        return
    if place not in (None, "127.0.0.1", "localhost", "::1"):
        print(f"contacted {place}", file=sys.stderr, flush=True)
        os._exit(99)


def _main(
    arguments: list[str],
    log: Path,
    environment: Mapping[str, str],
    settings: Mapping[tuple[str, str], Any],
) -> None:
    from importlib import import_module

    sys.addaudithook(_only_here)
    for (module, name), value in settings.items():
        setattr(import_module(module), name, value)
    forked._main(arguments, log, dict(environment))


QUICK = {("compute.storage.remote", "FIRST_DELAY"): 0.01, ("compute.storage.mirror", "EVERY"): 0.1}


def start(
    arguments: list[str], log: Path, environment: Mapping[str, str]
) -> multiprocessing.Process:
    """Start a command in a process that may talk to this machine alone."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(forked.PRELOADED)
    log.write_bytes(b"")
    process = context.Process(target=_main, args=(arguments, log, environment, QUICK))
    process.start()
    return process
