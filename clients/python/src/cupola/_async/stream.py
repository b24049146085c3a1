"""Calls whose events are taken one by one: a run of an agent, a session's log."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Generic, TypeVar

from .._core import Call
from .._display import harmless
from .._known import FILE_EVENTS, INVOKE_EVENTS, MONITOR_EVENTS
from ..errors import AgentAsks, CallCancelled, ConnectionLost, CupolaError, RunFailed
from ..protocol import FileEvent, FileTransferResponse, InvokeEvent, InvokeResponse, MonitorEvent, MonitorResponse
from .connection import AsyncConnection, Lock
from .line import AsyncLine

_LOG = logging.getLogger("cupola")
_LONG_WAITS = ("waitingForAgent", "waitingForVersion")
"""Notices of waits that only the person may be able to end, of up to a minute and more."""

MAX_TRIES = 5
"""Daemons in a row that may go away before anything new came of a run."""

Event = TypeVar("Event")
Result = TypeVar("Result")
Self = TypeVar("Self", bound="AsyncStream[Any, Any]")


class AsyncStream(Generic[Event, Result]):
    """A call under way: a context manager, and an iterator of its events. Leaving the `with` early cancels the call.

    It is sent when the `with` is entered or the first event is asked for; with `detach` it has been sent by then. Event types
    that are not known are skipped.
    """

    _known: frozenset[str] = frozenset()

    def __init__(self, line: AsyncLine, method: str, params: Mapping[str, Any], *, leave_running: bool = False) -> None:
        self._line = line
        self._method = method
        self._params = params
        self._leave_running = leave_running
        self._starting = Lock()
        self._under_way: tuple[AsyncConnection, Call] | None = None
        self._lost: CupolaError | None = None
        self._has_failed = False

    @property
    def result(self) -> Result:
        """The call's own answer, complete in itself, once the events are over."""
        call = self._under_way and self._under_way[1]
        if call is None or not call.ended:
            raise RuntimeError("there is no result yet: take every event, or call wait()")
        if call.error is not None:
            raise self._told(call.error)
        result: Result = call.result
        return result

    async def wait(self) -> Result:
        """Takes what events there still are, and returns the result. An interrupted wait cancels the call.

        >>> (await client.invoke("hello").wait())["status"]
        'completed'
        """
        try:
            async for _ in self:
                pass
        except BaseException:
            self.cancel()
            raise
        return self.result

    def cancel(self) -> None:
        """Gives the call up; the daemon ends it. Nothing happens when it has ended.

        >>> async with client.invoke("slow 50") as run:
        ...     run.cancel()
        """
        if self._under_way is not None:
            connection, call = self._under_way
            connection.cancel(call)

    async def __aenter__(self: Self) -> Self:
        await self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._leave_running:
            self.cancel()
        elif self._under_way is not None:
            connection, call = self._under_way
            connection.forget(call)

    def __aiter__(self: Self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while True:
            try:
                connection, call = await self._start()
                while (event := await connection.next_event(call)) is not None:
                    self._saw(event)
                    if event.get("type") in self._known:
                        known: Event = event
                        return known
                raise StopAsyncIteration
            except CupolaError as error:
                again = self._again() if isinstance(error, ConnectionLost) else None
                if again is None:
                    self._has_failed = True
                    if (told := self._told(error)) is error:
                        raise
                    raise told from error
                if error.turn is not None:
                    self._lost = self._lost or error
                self._method, self._params = again
                self._under_way = None

    def _again(self) -> tuple[str, Mapping[str, Any]] | None:
        """What continues the call on the next daemon, after this one has gone."""
        return None

    def _told(self, error: CupolaError) -> CupolaError:
        """What the caller is told. Why a run cannot be followed says nothing about its turn, which was sent."""
        if self._lost is None or error.turn is not None or isinstance(error, CallCancelled):
            return error
        return self._lost

    def _saw(self, event: Mapping[str, Any]) -> None:
        """Every event passes here, known or not."""

    def _send(self: Self) -> Self:
        """Sends the call now, whether or not anybody asks for its events."""
        connection = self._line.open_connection
        if connection is None:
            self._line.soon.do(self._start)
        else:
            self._under_way = connection, connection.start(self._method, self._params, stream=True)
        return self

    async def _start(self) -> tuple[AsyncConnection, Call]:
        async with self._starting:
            if self._under_way is None:
                connection = await self._line.connection()
                self._under_way = connection, connection.start(self._method, self._params, stream=True)
            return self._under_way


class AsyncRun(AsyncStream[InvokeEvent, InvokeResponse]):
    """One invoke, or another client's that was attached to.

    >>> async with client.invoke("hello") as run:
    ...     async for event in run:
    ...         if event["type"] == "textDelta":
    ...             print(cupola.harmless(event["delta"]), end="")
    echo: hello
    >>> run.result["status"]
    'completed'
    """

    _known = INVOKE_EVENTS
    id: str | None = None
    """The run's id, from the first event on."""
    _number = 0
    _survives = False
    _tries = 0

    def __init__(self, line: AsyncLine, method: str, params: Mapping[str, Any], *, leave_running: bool = False) -> None:
        super().__init__(line, method, params, leave_running=leave_running)
        self._is_attached = method == "runs/attach"

    def cancel(self) -> None:
        """Gives the call up; the daemon ends the run, unless it was only attached to. Nothing happens when it has ended.

        >>> async with client.invoke("slow 50") as run:
        ...     run.cancel()
        """
        is_elsewhere = self._is_elsewhere
        super().cancel()
        if is_elsewhere:
            self._line.soon.do(self._end)

    @property
    def _is_elsewhere(self) -> bool:
        """Is it under way, and not on the daemon that this program began it on? Giving up what follows it there only
        detaches."""
        if self._is_attached or not self._survives or self._has_failed:
            return False
        if self._under_way is None:
            return True
        call = self._under_way[1]
        return isinstance(call.error, ConnectionLost) if call.ended else call.method == "runs/attach"

    async def _end(self) -> None:
        """Has the next daemon end the run. It answers once the run has ended, which nobody here waits for."""
        with contextlib.suppress(CupolaError):
            connection = await self._line.connection()
            connection.start("runs/cancel", {"runId": self.id}, stream=False)

    def _saw(self, event: Mapping[str, Any]) -> None:
        self.id = event.get("runId", self.id)
        self._number = max(self._number, event.get("number", 0))
        self._survives = self._survives or event.get("survives", False)
        self._tries = 0
        if event.get("type") == "notice" and event.get("code") in _LONG_WAITS:
            _LOG.warning(harmless(event.get("message", "")))

    def _again(self) -> tuple[str, Mapping[str, Any]] | None:
        run = self._params.get("runId", self.id)
        if run is None or not (self._survives or self._is_attached) or self._tries == MAX_TRIES:
            return None
        self._tries += 1
        after = max(self._number, self._params.get("after") or 0)
        return "runs/attach", {"runId": run, "after": after, "textOnly": self._params.get("textOnly", False)}

    async def text(self) -> str:
        """The whole answer. Raises `RunFailed` unless the agent completed it, and `AgentAsks` if it waits for an approval or
        for consent.

        >>> await client.invoke("hello").text()
        'echo: hello'
        """
        result = await self.wait()
        if result["status"] != "completed":
            raise RunFailed(result["status"], result["text"], result["runId"], result.get("failure"))
        asked = [asked for asked in result.get("questions", ()) if asked["kind"] in ("approval", "consent")]
        if asked:
            raise AgentAsks(result["text"], result["runId"], asked)
        text: str = result["text"]
        return text


class AsyncLog(AsyncStream[MonitorEvent, MonitorResponse]):
    """A session's log.

    >>> text = await client.invoke("hello").text()
    >>> async with client.monitor() as log:
    ...     async for event in log:
    ...         if event["type"] == "line" and event.get("stream") == "stdout":
    ...             print(cupola.harmless(event["message"]).partition(",")[0])
    notes agent ready
    POST /responses 200
    """

    _known = MONITOR_EVENTS


class AsyncTransfer(AsyncStream[FileEvent, FileTransferResponse]):
    """A file on its way."""

    _known = FILE_EVENTS
