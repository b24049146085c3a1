# Made from _async/daemon.py by make_sync.py.
"""`daemon/*`: the daemon itself."""

from __future__ import annotations

from .._params import given, milliseconds
from ..protocol import DaemonStatusResponse, DaemonStopResponse, DoctorResponse
from .group import Group


class Daemon(Group):
    """Not tied to an agent."""

    def status(self, *, details: bool = False) -> DaemonStatusResponse:
        """How the daemon is, and with `details` what it is doing: runs, sessions, tokens, connections, recent errors.

        >>> client.daemon.status()["runs"]
        0
        """
        result: DaemonStatusResponse = self._line.call("daemon/status", given(details=details))
        return result

    def doctor(self) -> DoctorResponse:
        """Looks at everything a call needs, up to the client's agent and isolation; each `hint` says what to do.

        >>> [check["name"] for check in client.daemon.doctor()["checks"] if check["status"] == "error"]
        []
        """
        result: DoctorResponse = self._call("daemon/doctor")
        return result

    def stop(
        self, *, force: bool = False, drain: bool = False, deadline: float | None = None
    ) -> DaemonStopResponse:
        """Stops the daemon once what runs has ended, or at once with `force`. The next call starts another one. With `drain`, runs
        that survive move to the next daemon at once. `deadline`, in seconds, ends the runs that are still active then.

        >>> client.daemon.stop()["runs"]
        0
        """
        result: DaemonStopResponse = self._line.call("daemon/stop", given(force=force, drain=drain, deadline_ms=milliseconds(deadline)))
        return result
