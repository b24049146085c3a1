"""`auth/*`: the tokens the daemon holds. They themselves are never shown."""

from __future__ import annotations

from ..protocol import AuthClearResponse, AuthStatusResponse
from .group import AsyncGroup


class AsyncAuth(AsyncGroup):
    """Not tied to an agent."""

    async def status(self) -> AuthStatusResponse:
        """Which credential is used, and until when the tokens hold.

        >>> (await client.auth.status())["credential"]["kind"]
        'developerTools'
        """
        result: AuthStatusResponse = await self._line.call("auth/status", {})
        return result

    async def clear(self) -> AuthClearResponse:
        """Forgets every token; the next call fetches its own.

        >>> (await client.auth.clear())["cleared"] >= 0
        True
        """
        result: AuthClearResponse = await self._line.call("auth/clear", {})
        return result
