"""`sessions/*`: the service's sandboxes. Sessions are in the service's own words; times are Unix seconds, UTC."""

from __future__ import annotations

from ..protocol import Order, Session, SessionDeleteResponse, SessionListResponse, SessionStopResponse
from .group import AsyncGroup


class AsyncSessions(AsyncGroup):
    """Where `session_id` may be left out, the isolation's current session is meant."""

    async def create(self, session_id: str | None = None) -> Session:
        """Makes a session, with this id if given, and the current one of the isolation.

        >>> session = await client.sessions.create()
        >>> (await client.invoke("hello").wait())["sessionId"] == session["agent_session_id"]
        True
        """
        result: Session = await self._call("sessions/create", session_id=session_id)
        return result

    async def list(
        self, *, limit: int | None = None, order: Order | None = None, after: str | None = None
    ) -> SessionListResponse:
        """The sessions this isolation can see: all, or at most `limit`, those after the session `after`.

        >>> session = await client.sessions.create()
        >>> [each["agent_session_id"] for each in (await client.sessions.list())["data"]] == [session["agent_session_id"]]
        True
        """
        result: SessionListResponse = await self._call("sessions/list", limit=limit, order=order, after=after)
        return result

    async def show(self, session_id: str | None = None, *, allow_shared_session: bool = False) -> Session:
        """One session.

        >>> session = await client.sessions.create()
        >>> (await client.sessions.show())["agent_session_id"] == session["agent_session_id"]
        True
        """
        result: Session = await self._call(
            "sessions/show", session_id=session_id, allow_shared_session=allow_shared_session
        )
        return result

    async def use(self, session_id: str, *, allow_shared_session: bool = False) -> Session:
        """Makes a session the current one, without calling the agent.

        >>> first = await client.sessions.create()
        >>> second = await client.sessions.create()
        >>> session = await client.sessions.use(first["agent_session_id"])
        >>> (await client.invoke("hello").wait())["sessionId"] == first["agent_session_id"]
        True
        """
        result: Session = await self._call(
            "sessions/use", session_id=session_id, allow_shared_session=allow_shared_session
        )
        return result

    async def stop(self, session_id: str | None = None, *, allow_shared_session: bool = False) -> SessionStopResponse:
        """Stops a session's compute. Its files stay, and the next invoke resumes it.

        >>> session = await client.sessions.create()
        >>> (await client.sessions.stop())["alreadyStopped"]
        False
        """
        result: SessionStopResponse = await self._call(
            "sessions/stop", session_id=session_id, allow_shared_session=allow_shared_session
        )
        return result

    async def delete(
        self, session_id: str | None = None, *, allow_shared_session: bool = False
    ) -> SessionDeleteResponse:
        """Deletes a session and its files. An ownership key it was made with is remembered.

        >>> session = await client.sessions.create()
        >>> (await client.sessions.delete())["sessionId"] == session["agent_session_id"]
        True
        """
        result: SessionDeleteResponse = await self._call(
            "sessions/delete", session_id=session_id, allow_shared_session=allow_shared_session
        )
        return result
