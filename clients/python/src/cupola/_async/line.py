"""A line to the daemon: one connection at a time, opened when it is needed and again when it was lost."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from .. import _daemon
from ..errors import CupolaError, IsolationError
from .connection import AsyncConnection, Lock, Soon


class AsyncLine:
    """Shared by a client and all that was made from it with `using`."""

    def __init__(self, path: str | None, introduction: Mapping[str, Any]) -> None:
        self._path = path
        self._introduction = introduction
        self._connection: AsyncConnection | None = None
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

    async def connection(self) -> AsyncConnection:
        """The connection; a new one, introduced and bound as the first, if that was lost."""
        async with self._opening:
            if self._closed:
                raise CupolaError("the client is closed", kind="closed")
            if self._connection is None or not self._connection.is_open:
                self._connection = await self._open()
            return self._connection

    @property
    def open_connection(self) -> AsyncConnection | None:
        """The connection, if there is one now."""
        return self._connection if self._connection is not None and self._connection.is_open else None

    async def call(self, method: str, params: Mapping[str, Any]) -> Any:
        """One call and its result. Whatever interrupts the wait cancels the call."""
        connection = await self.connection()
        return await _answer(connection, method, params)

    async def aclose(self) -> None:
        """Closes it for good."""
        await self.soon.done()
        async with self._opening:
            self._closed = True
            if self._connection is not None:
                await self._connection.aclose()

    def __del__(self) -> None:
        # No caller can close it any more, and the task that reads from the connection would keep it open forever.
        if self._connection is not None and self._connection.is_open:
            warnings.warn("a cupola client was dropped without being closed", ResourceWarning, source=self)
            self._connection.abandon()

    async def _open(self) -> AsyncConnection:
        connection = await AsyncConnection.open(self._path)
        try:
            self.server = await _answer(connection, "initialize", self._introduction, _daemon.INTRODUCTION_LIMIT)
            if self.is_bound and not self.server.get("bound"):
                # A daemon that does not know the word would serve anything.
                raise IsolationError("the daemon did not bind the connection; it is too old for that", kind="notBound")
        except TimeoutError:
            await connection.aclose()
            raise _daemon.mute() from None
        except BaseException:
            await connection.aclose()
            raise
        return connection


async def _answer(
    connection: AsyncConnection, method: str, params: Mapping[str, Any], limit: float | None = None
) -> Any:
    call = connection.start(method, params, stream=False)
    try:
        await connection.next_event(call, limit)
    except BaseException:
        connection.cancel(call)
        raise
    return call.result
