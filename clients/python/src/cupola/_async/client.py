"""The client: one line to the daemon, an agent and an isolation, and everything that can be asked."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

from .. import __version__
from .._params import Scope, given, initialize, milliseconds
from ..isolation import Isolation
from ..protocol import AgentProtocol, AsyncCall, IfBusy, LogKind, OnDisconnect, Target, Warm
from .agents import AsyncAgents
from .auth import AsyncAuth
from .daemon import AsyncDaemon
from .files import AsyncFiles
from .line import AsyncLine
from .partitions import AsyncPartitions
from .runs import AsyncRuns
from .sessions import AsyncSessions
from .stream import AsyncLog, AsyncRun

Self = TypeVar("Self", bound="AsyncClient")


class AsyncClient:
    """Connects when the first call is made, and again when the connection was lost: calls under way then raise
    `ConnectionLost`, the next one goes to a new connection.

    >>> async with cupola.AsyncClient(target=cupola.emulator()) as client:
    ...     await client.invoke("hello").text()
    'echo: hello'
    """

    def __init__(
        self,
        *,
        target: Target | None = None,
        isolation: Isolation | None = None,
        bind: bool = False,
        methods: Sequence[str] | None = None,
        files: str | os.PathLike[str] | None = None,
        socket: str | os.PathLike[str] | None = None,
    ) -> None:
        """`target` and `isolation` are for every call. With `bind` the daemon holds the connection to them, and to
        `methods` (names, or `sessions/*`) if given: nothing done with it can reach another user's state. A bound client
        uploads and downloads no files of this machine, unless `methods` names `files/upload` or `files/download` and
        `files` a directory: then those below it. `socket` is where the daemon listens, if not where the `cupola` command
        looks."""
        if bind and target is None:
            raise ValueError("bind needs a target to bind to")
        if methods is not None and not bind:
            raise ValueError("methods are what a connection is bound to: they need bind=True")
        if files is not None and not bind:
            raise ValueError("files is the directory that a bound connection may use: it needs bind=True")
        scope = Scope(target, isolation)
        named = list(methods) if methods is not None else None
        directory = os.path.abspath(files) if files is not None else None
        introduction = initialize(__version__, scope, bind, named, directory)
        self._connect(
            AsyncLine(os.fspath(socket) if socket else None, introduction), Scope(None, None) if bind else scope
        )

    def _connect(self, line: AsyncLine, scope: Scope) -> None:
        self._line = line
        self._scope = scope
        self.sessions = AsyncSessions(line, scope)
        """The service's sandboxes."""
        self.files = AsyncFiles(line, scope)
        """The files in a session's home."""
        self.runs = AsyncRuns(line, scope)
        """Invokes under way and those that ended recently."""
        self.agents = AsyncAgents(line, scope)
        """The project's agents."""
        self.partitions = AsyncPartitions(line, scope)
        """What the daemon has saved."""
        self.auth = AsyncAuth(line, scope)
        """The tokens it holds."""
        self.daemon = AsyncDaemon(line, scope)
        """The daemon itself."""

    def invoke(
        self,
        input: str | Sequence[Mapping[str, Any]],
        *,
        protocol: AgentProtocol | None = None,
        session_id: str | None = None,
        new_session: bool = False,
        conversation_id: str | None = None,
        new_conversation: bool = False,
        previous_response_id: str | None = None,
        allow_shared_session: bool = False,
        version_override: str | None = None,
        client_headers: Mapping[str, str] | None = None,
        call_id: str | None = None,
        raw: bool = False,
        debug: bool = False,
        text_only: bool = False,
        timeout: float | None = None,
        idle_timeout: float | None = None,
        message_per_line: bool = False,
        input_is_request: bool = False,
        detach: bool = False,
        survive: bool = False,
        if_busy: IfBusy | None = None,
        on_disconnect: OnDisconnect | None = None,
        warm: Warm | None = None,
        traceparent: str | None = None,
    ) -> AsyncRun:
        """Sends one input to the agent: text, or a list of the service's own input items. What comes back is an iterator of
        events; leaving its `with` early cancels.

        The saved session and conversation are continued unless others are named. `previous_response_id` branches off at an
        earlier response. `version_override` tries a version of the agent, or the `latest`, in a new session, and saves
        nothing. `text_only` leaves out the service's own events. `timeout` is in seconds, 0 for none; the daemon's own is 30
        min. `idle_timeout`, in seconds too, and `message_per_line` are for dialogues over WebSockets, `input_is_request` for
        A2A. With `detach` the run outlives this client, and leaving early only stops listening; the input is sent in this
        call, even if nothing of the run is read. With `survive`, and with `detach`, it outlives the daemon, too, if the
        `started` event says so; the next daemon continues it.
        `if_busy` says what to do when another call is using the session: `queue` waits and is the default. With
        `on_disconnect="keep"` the run continues when this client is disconnected. `warm`, which is experimental, keeps the
        session ready after the call. `traceparent` (W3C Trace Context) is the caller's own span, which the run's span then
        belongs to.

        >>> async with client.invoke("remember the code is 4711") as run:
        ...     async for event in run:
        ...         if event["type"] == "textDelta":
        ...             print(cupola.harmless(event["delta"]), end="")
        Remembered: the code is 4711
        >>> await client.invoke("what do you remember?").text()
        'I remember:\\n- the code is 4711'
        """
        more = given(
            protocol=protocol,
            session_id=session_id,
            new_session=new_session,
            conversation_id=conversation_id,
            new_conversation=new_conversation,
            previous_response_id=previous_response_id,
            allow_shared_session=allow_shared_session,
            version_override=version_override,
            client_headers=client_headers,
            call_id=call_id,
            raw=raw,
            debug=debug,
            text_only=text_only,
            timeout_ms=milliseconds(timeout),
            idle_timeout_ms=milliseconds(idle_timeout),
            message_per_line=message_per_line,
            input_is_request=input_is_request,
            detach=detach,
            survive=survive,
            if_busy=if_busy,
            on_disconnect=on_disconnect,
            warm=warm,
            traceparent=traceparent,
        )
        params = {**self._scope.params(), "input": input, **more}
        run = AsyncRun(self._line, "invoke", params, leave_running=detach or on_disconnect == "keep")
        return run._send() if detach else run

    def monitor(
        self,
        session_id: str | None = None,
        *,
        follow: bool = False,
        tail: int | None = None,
        kind: LogKind | None = None,
        raw: bool = False,
        debug: bool = False,
        allow_shared_session: bool = False,
    ) -> AsyncLog:
        """A session's log: its last lines (`tail`, 1 to 300), or with `follow` all that come from then on, over broken
        connections, until the `with` is left or the session is gone.

        >>> text = await client.invoke("hello").text()
        >>> async with client.monitor(follow=True) as log:
        ...     async for event in log:
        ...         if event["type"] == "line" and event.get("stream") == "stdout":
        ...             break
        >>> print(cupola.harmless(event["message"]).partition(",")[0])
        notes agent ready
        """
        more = given(
            session_id=session_id,
            follow=follow,
            tail=tail,
            kind=kind,
            raw=raw,
            debug=debug,
            allow_shared_session=allow_shared_session,
        )
        return AsyncLog(self._line, "monitor", {**self._scope.params(), **more})

    def using(self: Self, *, target: Target | None = None, isolation: Isolation | None = None) -> Self:
        """The same line for another agent or isolation. On a bound connection the daemon refuses what differs.

        >>> contoso = client.using(isolation=cupola.Isolation(user_key="contoso"))
        >>> await contoso.invoke("what do you remember?").text()
        'Nothing yet. Tell me: remember that ...'
        """
        other = object.__new__(type(self))
        other._connect(self._line, Scope(target or self._scope.target, isolation or self._scope.isolation))
        return other

    @property
    def call(self) -> AsyncCall:
        """Any method by its name, with exactly these parameters: for what this class has no word for.

        >>> (await client.call("daemon/status", {}))["protocolVersion"]
        1
        """
        return self._line.call

    async def open(self: Self) -> Self:
        """Connects now instead of at the first call, to learn early that there is no daemon.

        >>> (await client.open()) is client
        True
        """
        await self._line.connection()
        return self

    async def aclose(self) -> None:
        """Leaves, and with it everything made by `using`. Calls under way raise `ConnectionLost`.

        >>> await client.aclose()
        """
        await self._line.aclose()

    @property
    def bound(self) -> bool:
        """Does the daemon hold this client to one agent and isolation?"""
        return self._line.is_bound

    async def __aenter__(self: Self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} target={self._scope.target!r} isolation={self._scope.isolation!r}>"


async def connect_async(
    *,
    target: Target | None = None,
    isolation: Isolation | None = None,
    bind: bool = False,
    methods: Sequence[str] | None = None,
    files: str | os.PathLike[str] | None = None,
    socket: str | os.PathLike[str] | None = None,
) -> AsyncClient:
    """Connects, starting a daemon if none answers. The parameters are those of `AsyncClient`.

    >>> client = await cupola.connect_async(target=cupola.emulator())
    >>> await client.invoke("hello").text()
    'echo: hello'
    >>> await client.aclose()
    """
    client = AsyncClient(
        target=target, isolation=isolation, bind=bind, methods=methods, files=files, socket=socket
    )
    return await client.open()
