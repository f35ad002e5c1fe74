"""A reader's session without a browser: Streamlit's own messages over its websocket.

Every step is an address, as when a reader follows a link or goes back: the widgets take their
values from it and the whole script runs. What comes back is read and thrown away, as far as it is
no failure.
"""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlencode, urlsplit

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from compute.errors import BystanderError
from dashboard.server.streamlit_internals import (
    CORE,
    STREAM,
    SUBPROTOCOL,
    Message,
    read_message,
    request_page,
)

PATIENCE = 120.0
"""Seconds until an answer is given up."""

REFUSED = ("cannot be shown", "which this run does not have", "Something went wrong")
"""What the dashboard says where it explains instead of showing."""


@dataclass(frozen=True)
class Answer:
    """What came back for one address.

    Parameters
    ----------
    seconds
        From asking until the last message was here.
    messages, size
        How many messages, and their bytes.
    charts, tables
        Elements of these kinds.
    problems
        What went wrong, as the reader would see it.
    """

    seconds: float
    messages: int
    size: int
    charts: int
    tables: int
    problems: tuple[str, ...]


class Reader:
    """One reader's session.

    Parameters
    ----------
    address
        Of the dashboard: ``http://HOST:PORT``.
    dark
        Whether the reader's pages are dark.

    Raises
    ------
    BystanderError
        No dashboard answers there.
    """

    def __init__(self, address: str, *, dark: bool = False) -> None:
        parts = urlsplit(address)
        self._address = address
        self._dark = dark
        self._pages: dict[str, str] = {}
        place = f"ws://{parts.netloc}{parts.path.rstrip('/')}/{CORE}/{STREAM}"
        try:
            self._held = ExitStack()
            self._socket = self._held.enter_context(
                connect(place, subprotocols=[Subprotocol(SUBPROTOCOL)], max_size=None, proxy=None)
            )
        except (OSError, WebSocketException) as error:
            raise BystanderError(
                f"No dashboard answers at {address}: {error}.", "Start one: bystander dashboard."
            ) from error

    def __enter__(self) -> Self:
        """Stay connected."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the session."""
        self._held.close()

    def visit(self, page: str, selections: Mapping[str, str]) -> Answer:
        """Go to a page with selections, and wait until it is whole.

        Parameters
        ----------
        page
            As in the address; empty for the first.
        selections
            What the address holds.

        Raises
        ------
        BystanderError
            The connection broke, or nothing came within two minutes.
        """
        query = urlencode(selections)
        known = self._pages.get(page, "")
        ask = request_page(self._address, page, known, query, dark=self._dark)
        begun = time.perf_counter()
        messages = size = charts = tables = 0
        problems: list[str] = []
        try:
            self._socket.send(ask)
            while True:
                left = PATIENCE - (time.perf_counter() - begun)
                content = self._socket.recv(timeout=max(left, 0.0), decode=False)
                messages += 1
                size += len(content)
                message = read_message(content)
                self._pages |= message.pages
                charts += message.element == "plotly_chart"
                tables += message.element in ("dataframe", "table")
                if message.kind == "page_not_found":
                    problems.append(f"no page {page!r}")
                elif problem := _problem(message):
                    problems.append(problem)
                if message.finished:
                    if not message.succeeded:
                        problems.append("the script did not finish")
                    break
        except (TimeoutError, OSError, WebSocketException) as error:
            raise BystanderError(
                f"{self._address}/{page}?{query}: no answer ({error or type(error).__name__}).",
                "Look at what the server printed.",
            ) from error
        seconds = time.perf_counter() - begun
        return Answer(seconds, messages, size, charts, tables, tuple(problems))


def _problem(message: Message) -> str:
    """Return what a message says is wrong; empty where nothing is."""
    if any(said in message.alert for said in REFUSED):
        return message.alert
    return message.error
