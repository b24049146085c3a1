# Made from _async/daemon.py by make_sync.py.
"""`daemon/*`: the daemon itself."""

from __future__ import annotations

from .._params import given
from ..protocol import DaemonStatusResponse, DaemonStopResponse, DoctorResponse
from .group import Group


class Daemon(Group):
    """Not tied to an agent."""

    def status(self) -> DaemonStatusResponse:
        """How the daemon is.

        >>> client.daemon.status()["runs"]
        0
        """
        result: DaemonStatusResponse = self._line.call("daemon/status", {})
        return result

    def doctor(self) -> DoctorResponse:
        """Looks at everything a call needs, up to the client's agent and isolation; each `hint` says what to do.

        >>> [check["name"] for check in client.daemon.doctor()["checks"] if check["status"] == "error"]
        []
        """
        result: DoctorResponse = self._call("daemon/doctor")
        return result

    def stop(self, *, force: bool = False) -> DaemonStopResponse:
        """Stops the daemon once what runs has ended, or at once with `force`. The next call starts another one.

        >>> client.daemon.stop()["runs"]
        0
        """
        result: DaemonStopResponse = self._line.call("daemon/stop", given(force=force))
        return result
