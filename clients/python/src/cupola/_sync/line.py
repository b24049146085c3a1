# Made from _async/line.py by make_sync.py.
"""A line to the daemon: one connection at a time, opened when it is needed and again when it was lost."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from .. import _daemon
from ..errors import CupolaError, IsolationError
from .connection import Connection, Lock, Soon


class Line:
    """Shared by a client and all that was made from it with `using`."""

    def __init__(self, path: str | None, introduction: Mapping[str, Any]) -> None:
        self._path = path
        self._introduction = introduction
        self._connection: Connection | None = None
        self._opening = Lock()
        self.soon = Soon()
        """What must be sent before the line is closed."""
        self._closed = False
        self.server: Mapping[str, Any] = {}
        """What the daemon last said of itself."""

    @property
    def is_bound(self) -> bool:
        """Is every connection of this line bound?"""
        return "bind" in self._introduction

    def connection(self) -> Connection:
        """The connection; a new one, introduced and bound as the first, if that was lost."""
        with self._opening:
            if self._closed:
                raise CupolaError("the client is closed", kind="closed")
            if self._connection is None or not self._connection.is_open:
                self._connection = self._open()
            return self._connection

    @property
    def open_connection(self) -> Connection | None:
        """The connection, if there is one now."""
        return self._connection if self._connection is not None and self._connection.is_open else None

    def call(self, method: str, params: Mapping[str, Any]) -> Any:
        """One call and its result. Whatever interrupts the wait cancels the call."""
        connection = self.connection()
        return _answer(connection, method, params)

    def close(self) -> None:
        """Closes it for good."""
        self.soon.done()
        with self._opening:
            self._closed = True
            if self._connection is not None:
                self._connection.close()

    def __del__(self) -> None:
        # No caller can close it any more, and the task that reads from the connection would keep it open forever.
        if self._connection is not None and self._connection.is_open:
            warnings.warn("a cupola client was dropped without being closed", ResourceWarning, source=self)
            self._connection.abandon()

    def _open(self) -> Connection:
        connection = Connection.open(self._path)
        try:
            self.server = _answer(connection, "initialize", self._introduction, _daemon.INTRODUCTION_LIMIT)
            if self.is_bound and not self.server.get("bound"):
                # A daemon that does not know the word would serve anything.
                raise IsolationError("the daemon did not bind the connection; it is too old for that", kind="notBound")
        except TimeoutError:
            connection.close()
            raise _daemon.mute() from None
        except BaseException:
            connection.close()
            raise
        return connection


def _answer(
    connection: Connection, method: str, params: Mapping[str, Any], limit: float | None = None
) -> Any:
    call = connection.start(method, params, stream=False)
    try:
        connection.next_event(call, limit)
    except BaseException:
        connection.cancel(call)
        raise
    return call.result
