# Made from _async/auth.py by make_sync.py.
"""`auth/*`: the tokens the daemon holds. They themselves are never shown."""

from __future__ import annotations

from ..protocol import AuthClearResponse, AuthStatusResponse
from .group import Group


class Auth(Group):
    """Not tied to an agent."""

    def status(self) -> AuthStatusResponse:
        """Which credential is used, and until when the tokens hold.

        >>> client.auth.status()["credential"]["kind"]
        'developerTools'
        """
        result: AuthStatusResponse = self._line.call("auth/status", {})
        return result

    def clear(self) -> AuthClearResponse:
        """Forgets every token; the next call fetches its own.

        >>> client.auth.clear()["cleared"] >= 0
        True
        """
        result: AuthClearResponse = self._line.call("auth/clear", {})
        return result
