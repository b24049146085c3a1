# Made from _async/sessions.py by make_sync.py.
"""`sessions/*`: the service's sandboxes. Sessions are in the service's own words; times are Unix seconds, UTC."""

from __future__ import annotations

from ..protocol import Order, Session, SessionDeleteResponse, SessionListResponse, SessionStopResponse
from .group import Group


class Sessions(Group):
    """Where `session_id` may be left out, the isolation's current session is meant."""

    def create(self, session_id: str | None = None) -> Session:
        """Makes a session, with this id if given, and the current one of the isolation.

        >>> session = client.sessions.create()
        >>> client.invoke("hello").wait()["sessionId"] == session["agent_session_id"]
        True
        """
        result: Session = self._call("sessions/create", session_id=session_id)
        return result

    def list(
        self, *, limit: int | None = None, order: Order | None = None, after: str | None = None
    ) -> SessionListResponse:
        """The sessions this isolation can see: all, or at most `limit`, those after the session `after`.

        >>> session = client.sessions.create()
        >>> [each["agent_session_id"] for each in client.sessions.list()["data"]] == [session["agent_session_id"]]
        True
        """
        result: SessionListResponse = self._call("sessions/list", limit=limit, order=order, after=after)
        return result

    def show(self, session_id: str | None = None, *, allow_shared_session: bool = False) -> Session:
        """One session.

        >>> session = client.sessions.create()
        >>> client.sessions.show()["agent_session_id"] == session["agent_session_id"]
        True
        """
        result: Session = self._call(
            "sessions/show", session_id=session_id, allow_shared_session=allow_shared_session
        )
        return result

    def use(self, session_id: str, *, allow_shared_session: bool = False) -> Session:
        """Makes a session the current one, without calling the agent.

        >>> first = client.sessions.create()
        >>> second = client.sessions.create()
        >>> session = client.sessions.use(first["agent_session_id"])
        >>> client.invoke("hello").wait()["sessionId"] == first["agent_session_id"]
        True
        """
        result: Session = self._call(
            "sessions/use", session_id=session_id, allow_shared_session=allow_shared_session
        )
        return result

    def stop(self, session_id: str | None = None, *, allow_shared_session: bool = False) -> SessionStopResponse:
        """Stops a session's compute. Its files stay, and the next invoke resumes it.

        >>> session = client.sessions.create()
        >>> client.sessions.stop()["alreadyStopped"]
        False
        """
        result: SessionStopResponse = self._call(
            "sessions/stop", session_id=session_id, allow_shared_session=allow_shared_session
        )
        return result

    def delete(
        self, session_id: str | None = None, *, allow_shared_session: bool = False
    ) -> SessionDeleteResponse:
        """Deletes a session and its files. An ownership key it was made with is remembered.

        >>> session = client.sessions.create()
        >>> client.sessions.delete()["sessionId"] == session["agent_session_id"]
        True
        """
        result: SessionDeleteResponse = self._call(
            "sessions/delete", session_id=session_id, allow_shared_session=allow_shared_session
        )
        return result
