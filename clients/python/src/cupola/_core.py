"""The conversation with the daemon without any input or output: calls in, bytes out; bytes in, calls moved on.

Both clients are this core plus a socket. Messages travel one per line (NDJSON): JSON never holds a raw line feed, so
the standard library needs nothing more to tell them apart, and what travels can be read by eye.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from .errors import CallCancelled, ConnectionLost, CupolaError, from_wire
from .protocol import Turn

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""Longest message in both directions: the protocol's own limit."""

TURN = "invoke"
"""The method that sends a turn to an agent. What failed of it says whether the turn ran."""

MAX_WAITING_EVENTS = 100_000
"""Events of one call that may wait for the program to take them. The daemon cuts a client that does not read, so events
are read as they come; a program that falls behind by this many has stopped taking them."""


def encode(message: object) -> bytes:
    """One message as it travels."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


class Decoder:
    """Bytes in, messages out."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0

    def feed(self, data: bytes) -> Iterator[Any]:
        """The messages that are complete now, one after the other. Raises an error when the bytes are not messages."""
        self._buffer += data
        start = 0
        try:
            while (end := self._buffer.find(b"\n", max(start, self._searched))) >= 0:
                line = self._buffer[start:end]
                start = end + 1
                yield json.loads(line)
        finally:
            del self._buffer[:start]
            self._searched = len(self._buffer)
        if self._searched > MAX_MESSAGE_BYTES:
            raise ValueError(f"a message is longer than {MAX_MESSAGE_BYTES} bytes")


class Call:
    """One request: the events that have not been read yet, and how it ended."""

    __slots__ = ("id", "method", "events", "ended", "result", "error")

    def __init__(self, id: int, method: str) -> None:
        self.id = id
        self.method = method
        self.events: deque[Any] = deque()
        self.ended = False
        self.result: Any = None
        self.error: CupolaError | None = None

    def end(self, result: Any = None, error: CupolaError | None = None) -> None:
        """Its one ending; later ones change nothing."""
        if not self.ended:
            self.ended, self.result, self.error = True, result, error


class Core:
    """One connection's calls."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._calls: dict[int, Call] = {}
        self._last_id = 0
        self._refusal: str | None = None

    def request(self, method: str, params: Mapping[str, Any], *, stream: bool) -> tuple[Call, bytes]:
        """A new call and what to send for it. With `stream` its events are asked for."""
        self._last_id += 1
        call = Call(self._last_id, method)
        token = {"partialResultToken": call.id} if stream else {}
        data = encode({"jsonrpc": "2.0", "id": call.id, "method": method, "params": {**params, **token}})
        # The newline is not part of the message.
        if len(data) - 1 > MAX_MESSAGE_BYTES:
            what = f"the request has {len(data) - 1} bytes, and a message may have {MAX_MESSAGE_BYTES}; upload large data as a file"
            raise CupolaError(what, kind="messageTooLong")
        self._calls[call.id] = call
        return call, data

    def cancel(self, call: Call) -> bytes:
        """Forgets the call, and what to send so that the daemon ends it: nothing if it has answered."""
        if not self.forget(call):
            return b""
        return encode({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": call.id}})

    def forget(self, call: Call) -> bool:
        """Ignores further messages of a call that continues; false if it has been answered."""
        if self._calls.pop(call.id, None) is None:
            return False
        call.events.clear()
        call.end(error=CallCancelled("this program gave the call up", kind="cancelled"))
        return True

    def receive(self, data: bytes) -> list[Call]:
        """Moves calls on, and says which. Raises an error when the peer does not speak the protocol; what came before that
        counts."""
        moved = []
        for message in self._decoder.feed(data):
            if not isinstance(message, dict):
                raise ValueError("a message is not an object")
            call = self._event(message) if "method" in message else self._answer(message)
            if call is not None:
                moved.append(call)
        return moved

    def lose(self, reason: str) -> list[Call]:
        """The connection is gone: every call under way ends with `ConnectionLost`."""
        lost = list(self._calls.values())
        self._calls.clear()
        for call in lost:
            turn: Turn | None = "mayHaveRun" if call.method == TURN else None
            message = f"the connection to the daemon was lost: {self._refusal or reason}"
            call.end(error=ConnectionLost(message, turn=turn))
        return lost

    def _event(self, message: Mapping[str, Any]) -> Call | None:
        params = message.get("params")
        if message["method"] != "$/progress" or not isinstance(params, dict):
            return None
        call = self._calls.get(params.get("token", 0))
        value = params.get("value")
        if call is None or call.ended or not isinstance(value, dict):
            return None
        if len(call.events) >= MAX_WAITING_EVENTS:
            call.end(error=CupolaError(f"{MAX_WAITING_EVENTS} events wait and none was taken", kind="eventsNotTaken"))
        else:
            call.events.append(value)
        return call

    def _answer(self, message: Mapping[str, Any]) -> Call | None:
        error = message.get("error")
        if message.get("id") is None and isinstance(error, dict):
            # Said before the daemon closes a connection whose bytes it cannot follow.
            self._refusal = str(error.get("message"))
            return None
        call = self._calls.pop(message.get("id", 0), None)
        if call is not None:
            call.end(message.get("result"), from_wire(error) if isinstance(error, dict) else None)
        return call
