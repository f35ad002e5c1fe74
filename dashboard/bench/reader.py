"""A reader's session without a browser: Streamlit's own messages over its websocket.

Every step is an address, as when a reader follows a link or goes back: the widgets take their
values from it and the whole script runs. What comes back is read and thrown away, as far as it is
no failure.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlencode, urlsplit

from streamlit.proto.Alert_pb2 import Alert
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from compute.errors import BystanderError

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
        place = f"ws://{parts.netloc}{parts.path.rstrip('/')}/_stcore/stream"
        try:
            self._socket = connect(
                place, subprotocols=[Subprotocol("streamlit")], max_size=None, proxy=None
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
        self._socket.close()

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
        ask = BackMsg()
        state = ask.rerun_script
        state.query_string = query
        if page in self._pages:  # known once the first page was seen
            state.page_script_hash = self._pages[page]
        else:
            state.page_name = page
        state.is_history_navigation = True
        state.context_info.timezone = "UTC"
        state.context_info.locale = "en"
        state.context_info.url = f"{self._address}/{page}?{query}"
        state.context_info.color_scheme = "dark" if self._dark else "light"
        begun = time.perf_counter()
        messages = size = charts = tables = 0
        problems: list[str] = []
        try:
            self._socket.send(ask.SerializeToString())
            while True:
                left = PATIENCE - (time.perf_counter() - begun)
                content = self._socket.recv(timeout=max(left, 0.0), decode=False)
                messages += 1
                size += len(content)
                message = ForwardMsg.FromString(content)
                kind = message.WhichOneof("type")
                if kind == "script_finished":
                    if message.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                        continue
                    if message.script_finished != ForwardMsg.FINISHED_SUCCESSFULLY:
                        problems.append("the script did not finish")
                    break
                if kind == "navigation":
                    for each in message.navigation.app_pages:
                        name = "" if each.is_default else each.url_pathname
                        self._pages[name] = each.page_script_hash
                elif kind == "page_not_found":
                    problems.append(f"no page {page!r}")
                elif kind == "delta":
                    shown = message.delta.new_element.WhichOneof("type")
                    charts += shown == "plotly_chart"
                    tables += shown in ("dataframe", "table")
                    if problem := _problem(message):
                        problems.append(problem)
        except (TimeoutError, OSError, WebSocketException) as error:
            raise BystanderError(
                f"{self._address}/{page}?{query}: no answer ({error or type(error).__name__}).",
                "Look at what the server printed.",
            ) from error
        seconds = time.perf_counter() - begun
        return Answer(seconds, messages, size, charts, tables, tuple(problems))


def _problem(message: ForwardMsg) -> str:
    """Return what is wrong with an element; empty where nothing is."""
    element = message.delta.new_element
    kind = element.WhichOneof("type")
    if kind == "exception":
        return f"{element.exception.type}: {element.exception.message}"
    if kind == "alert" and (
        element.alert.format == Alert.ERROR or any(said in element.alert.body for said in REFUSED)
    ):
        return element.alert.body
    return ""
