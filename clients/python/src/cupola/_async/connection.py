"""One connection of the asyncio client: the core, a stream, and one task that reads."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from .. import _daemon
from .._core import TURN, Call, Core
from ..errors import ConnectionLost

READ_BYTES = 64 * 1024
"""Asked for at once."""

Lock = asyncio.Lock


class Soon:
    """Work that was begun where nothing can be awaited."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def do(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Begins it."""
        task = asyncio.get_running_loop().create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def done(self) -> None:
        """Returns when all of it is done, well or badly."""
        await asyncio.gather(*self._tasks, return_exceptions=True)


class AsyncConnection:
    """Open until the daemon leaves or `aclose` is called; never opened again."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._core = Core()
        self._moved: dict[Call, asyncio.Event] = {}
        self._task = asyncio.create_task(self._read(), name="cupola-reader")
        self.is_open = True

    @classmethod
    async def open(cls, path: str | None) -> AsyncConnection:
        """Connects, starting a daemon if none answers."""
        path = _daemon.named(path)
        if path:
            with contextlib.suppress(OSError):
                return cls(*await asyncio.open_unix_connection(path))
        # Runs a program and waits for it: not on the event loop.
        path = await asyncio.to_thread(_daemon.start, path)
        try:
            return cls(*await asyncio.open_unix_connection(path))
        except OSError as error:
            raise _daemon.silent(path, error) from None

    def start(self, method: str, params: Mapping[str, Any], *, stream: bool) -> Call:
        """Sends a call."""
        if not self.is_open:
            raise ConnectionLost("the connection to the daemon is closed", turn="notRun" if method == TURN else None)
        call, data = self._core.request(method, params, stream=stream)
        self._moved[call] = asyncio.Event()
        self._writer.write(data)
        return call

    async def next_event(self, call: Call, limit: float | None = None) -> Any:
        """The call's next event; `None` when it has ended. Raises its error, or `TimeoutError` after `limit` seconds."""
        while not call.events and not call.ended:
            moved = self._moved[call]
            moved.clear()
            try:
                await asyncio.wait_for(moved.wait(), limit)
            except asyncio.TimeoutError:
                # Not the same class before Python 3.11.
                raise TimeoutError from None
        if call.events:
            return call.events.popleft()
        if call.error is not None:
            raise call.error
        return None

    def cancel(self, call: Call) -> None:
        """Gives the call up, and lets the daemon know unless it has answered."""
        if (data := self._core.cancel(call)) and self.is_open:
            self._writer.write(data)
        self._wake([call])

    def forget(self, call: Call) -> None:
        """Ignores further messages of a call that continues at the daemon."""
        self._core.forget(call)
        self._wake([call])

    async def aclose(self) -> None:
        """Leaves. The daemon cancels what is under way."""
        self._lost("it was closed")
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def abandon(self) -> None:
        """Leaves without waiting; also when the event loop is gone."""
        with contextlib.suppress(RuntimeError):
            self._task.cancel()
            self._lost("it was dropped")

    async def _read(self) -> None:
        reason = "it ended"
        try:
            while data := await self._reader.read(READ_BYTES):
                self._wake(self._core.receive(data))
        except Exception as error:
            # Whatever it is, nothing more is read: no call may wait for it.
            reason = str(error) or type(error).__name__
        finally:
            self._lost(reason)

    def _lost(self, reason: str) -> None:
        self.is_open = False
        self._core.lose(reason)
        # Also calls that were answered with the last bytes.
        self._wake(list(self._moved))
        self._writer.close()

    def _wake(self, calls: list[Call]) -> None:
        for call in calls:
            moved = self._moved.pop(call, None) if call.ended else self._moved.get(call)
            if moved is not None:
                moved.set()
