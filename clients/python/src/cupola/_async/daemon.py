"""`daemon/*`: the daemon itself."""

from __future__ import annotations

from .._params import given
from ..protocol import DaemonStatusResponse, DaemonStopResponse
from .line import AsyncLine


class AsyncDaemon:
    """Not tied to an agent."""

    def __init__(self, line: AsyncLine) -> None:
        self._line = line

    async def status(self) -> DaemonStatusResponse:
        """How the daemon is.

        >>> (await client.daemon.status())["runs"]
        0
        """
        result: DaemonStatusResponse = await self._line.call("daemon/status", {})
        return result

    async def stop(self, *, force: bool = False) -> DaemonStopResponse:
        """Stops the daemon once what runs has ended, or at once with `force`. The next call starts another one.

        >>> (await client.daemon.stop())["runs"]
        0
        """
        result: DaemonStopResponse = await self._line.call("daemon/stop", given(force=force))
        return result
