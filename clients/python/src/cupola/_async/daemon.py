"""`daemon/*`: the daemon itself."""

from __future__ import annotations

from .._params import given
from ..protocol import DaemonStatusResponse, DaemonStopResponse, DoctorResponse
from .group import AsyncGroup


class AsyncDaemon(AsyncGroup):
    """Not tied to an agent."""

    async def status(self) -> DaemonStatusResponse:
        """How the daemon is.

        >>> (await client.daemon.status())["runs"]
        0
        """
        result: DaemonStatusResponse = await self._line.call("daemon/status", {})
        return result

    async def doctor(self) -> DoctorResponse:
        """Looks at everything a call needs, up to the client's agent and isolation; each `hint` says what to do.

        >>> [check["name"] for check in (await client.daemon.doctor())["checks"] if check["status"] == "error"]
        []
        """
        result: DoctorResponse = await self._call("daemon/doctor")
        return result

    async def stop(self, *, force: bool = False) -> DaemonStopResponse:
        """Stops the daemon once what runs has ended, or at once with `force`. The next call starts another one.

        >>> (await client.daemon.stop())["runs"]
        0
        """
        result: DaemonStopResponse = await self._line.call("daemon/stop", given(force=force))
        return result
