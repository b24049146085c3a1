"""One connection of the blocking client: the core, a socket, and one thread that reads.

The thread is there because the daemon cuts a client that reads nothing for ten seconds, and a program may well take
longer than that over one event.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any

from .. import _daemon
from .._core import TURN, Call, Core
from ..errors import ConnectionLost

READ_BYTES = 64 * 1024
"""Asked for at once."""

Lock = threading.Lock


class Soon:
    """Work that was begun where asyncio could not wait for it. Here it is done at once."""

    def do(self, work: Callable[[], Any]) -> None:
        """Does it."""
        work()

    def done(self) -> None:
        """All of it is done."""


class Connection:
    """Open until the daemon leaves or `close` is called; never opened again. Any thread may use it."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._core = Core()
        # Guards the core, and is notified when it has moved.
        self._moved = threading.Condition()
        # Sending may block until the daemon reads; the reader must be able to continue meanwhile.
        self._sending = threading.Lock()
        self.is_open = True
        threading.Thread(target=self._read, name="cupola-reader", daemon=True).start()

    @classmethod
    def open(cls, path: str | None) -> Connection:
        """Connects, starting a daemon if none answers."""
        path = _daemon.named(path)
        if path:
            with contextlib.suppress(OSError):
                return cls(_dial(path))
        path = _daemon.start(path)
        try:
            return cls(_dial(path))
        except OSError as error:
            raise _daemon.silent(path, error) from None

    def start(self, method: str, params: Mapping[str, Any], *, stream: bool) -> Call:
        """Sends a call."""
        with self._moved:
            if not self.is_open:
                raise ConnectionLost("the connection to the daemon is closed", turn="notRun" if method == TURN else None)
            call, data = self._core.request(method, params, stream=stream)
        self._send(data)
        return call

    def next_event(self, call: Call, limit: float | None = None) -> Any:
        """The call's next event; `None` when it has ended. Raises its error, or `TimeoutError` after `limit` seconds."""
        with self._moved:
            if not self._moved.wait_for(lambda: call.events or call.ended, limit):
                raise TimeoutError
            if call.events:
                return call.events.popleft()
        if call.error is not None:
            raise call.error
        return None

    def cancel(self, call: Call) -> None:
        """Gives the call up, and lets the daemon know unless it has answered."""
        with self._moved:
            data = self._core.cancel(call)
            self._moved.notify_all()
        if data:
            self._send(data)

    def forget(self, call: Call) -> None:
        """Ignores further messages of a call that continues at the daemon."""
        with self._moved:
            self._core.forget(call)
            self._moved.notify_all()

    def close(self) -> None:
        """Leaves. The daemon cancels what is under way."""
        self._lost("it was closed")

    def abandon(self) -> None:
        """Leaves without waiting."""
        self._lost("it was dropped")

    def _send(self, data: bytes) -> None:
        try:
            with self._sending:
                self._socket.sendall(data)
        except OSError as error:
            self._lost(str(error))

    def _read(self) -> None:
        reason = "it ended"
        try:
            while data := self._socket.recv(READ_BYTES):
                with self._moved:
                    if self._core.receive(data):
                        self._moved.notify_all()
        except Exception as error:
            # Whatever it is, nothing more is read: no call may wait for it.
            reason = str(error) or type(error).__name__
        self._lost(reason)
        self._socket.close()

    def _lost(self, reason: str) -> None:
        with self._moved:
            self.is_open = False
            self._core.lose(reason)
            self._moved.notify_all()
        try:
            # Wakes the reader, which alone closes the socket: its number is not given away while a read uses it.
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def _dial(path: str) -> socket.socket:
    connected = socket.socket(socket.AF_UNIX)
    try:
        connected.connect(path)
    except BaseException:
        connected.close()
        raise
    return connected
