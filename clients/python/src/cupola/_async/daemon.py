"""`daemon/*`: the daemon itself."""

from __future__ import annotations

from .._params import given, milliseconds
from ..protocol import DaemonStatusResponse, DaemonStopResponse, DoctorResponse
from .group import AsyncGroup


class AsyncDaemon(AsyncGroup):
    """Not tied to an agent."""

    async def status(self, *, details: bool = False) -> DaemonStatusResponse:
        """How the daemon is, and with `details` what it is doing: runs, sessions, tokens, connections, recent errors.

        >>> (await client.daemon.status())["runs"]
        0
        """
        result: DaemonStatusResponse = await self._line.call("daemon/status", given(details=details))
        return result

    async def doctor(self) -> DoctorResponse:
        """Looks at everything a call needs, up to the client's agent and isolation; each `hint` says what to do.

        >>> [check["name"] for check in (await client.daemon.doctor())["checks"] if check["status"] == "error"]
        []
        """
        result: DoctorResponse = await self._call("daemon/doctor")
        return result

    async def stop(
        self, *, force: bool = False, drain: bool = False, deadline: float | None = None
    ) -> DaemonStopResponse:
        """Stops the daemon once what runs has ended, or at once with `force`. The next call starts another one. With `drain`, runs
        that survive move to the next daemon at once. `deadline`, in seconds, ends the runs that are still active then.

        >>> (await client.daemon.stop())["runs"]
        0
        """
        result: DaemonStopResponse = await self._line.call("daemon/stop", given(force=force, drain=drain, deadline_ms=milliseconds(deadline)))
        return result
