# Made from _async/daemon.py by make_sync.py.
"""`daemon/*`: the daemon itself."""

from __future__ import annotations

from .._params import given
from ..protocol import DaemonStatusResponse, DaemonStopResponse
from .line import Line


class Daemon:
    """Not tied to an agent."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def status(self) -> DaemonStatusResponse:
        """How the daemon is.

        >>> client.daemon.status()["runs"]
        0
        """
        result: DaemonStatusResponse = self._line.call("daemon/status", {})
        return result

    def stop(self, *, force: bool = False) -> DaemonStopResponse:
        """Stops the daemon once what runs has ended, or at once with `force`. The next call starts another one.

        >>> client.daemon.stop()["runs"]
        0
        """
        result: DaemonStopResponse = self._line.call("daemon/stop", given(force=force))
        return result
