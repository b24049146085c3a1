"""What travels on Cupola's socket.

Made by `cargo xtask schema` from the protocol's types: change those instead.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Final, Literal, Protocol, TypeAlias, TypedDict, Union, overload

AbsolutePath: TypeAlias = str
"""A directory or file on this machine, absolute: the daemon's working directory means nothing to a
caller. Must be an absolute path of at most 4096 bytes, without control characters.
"""

AgentEndpoint: TypeAlias = str
"""An agent's own endpoint:
`https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT/agents/AGENT/endpoint/protocols/PROTOCOL[?api-version=VERSION]`
with `invocations`, `invocations_ws`, `a2a`, `openai/responses` or `openai/v1/responses` for
PROTOCOL.

As with `ProjectEndpoint`, only the shape is checked here. Must look like
https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT/agents/AGENT/endpoint/protocols/PROTOCOL?api-version=v1,
where PROTOCOL is openai/responses, openai/v1/responses, invocations, invocations_ws or a2a: https,
no port, no user, no other query.
"""

AgentName: TypeAlias = str
"""An agent's name. Must be 1 to 63 characters of A-Z a-z 0-9 -, starting and ending with a letter or
digit.
"""

AgentProtocol: TypeAlias = Literal[
    # `openai/responses`.
    "responses",
    # `invocations`.
    "invocations",
    # `invocations_ws`: messages over a WebSocket.
    "invocationsWs",
    # `a2a`: version 0.3 of the agent-to-agent protocol.
    "a2a",
]
"""The protocol that an agent is called with."""

AgentVersion: TypeAlias = str
"""A concrete version of an agent. `latest` and the like are not versions: leave the field out instead.
Must be 1 to 128 characters of A-Z a-z 0-9 . _ -, and more than dots.
"""

CallId: TypeAlias = str
"""`x-agent-foundry-call-id`: what the gateway names each request for the agent's container. Only a
local agent, which has no gateway, takes the caller's. Must be 1 to 256 visible ASCII characters.
"""

ChatLabel: TypeAlias = str
"""A label that partitions Cupola's own saved state only; nothing of it is sent. Must be 1 to 128
characters, without control characters.
"""

ChatTitle: TypeAlias = str
"""What a chat is called in a list. Must be 1 to 200 characters, without control characters."""

CheckStatus: TypeAlias = Literal[
    # Nothing is wrong.
    "ok",
    # It works, but probably not as intended.
    "warning",
    # Calls will fail.
    "error",
    # Not checked; the message says why.
    "skipped",
]
"""The outcome of a check."""

ClientHeaderValue: TypeAlias = str
"""The value of such a header. Must have values of at most 4096 visible ASCII characters and blanks,
without blanks at either end.
"""

ConversationId: TypeAlias = str
"""A message history (`conversation` id). Not the session. Must be 1 to 256 characters of A-Z a-z 0-9 .
_ : -, and more than dots.
"""

EmulatorUrl: TypeAlias = str
"""Where a separately started `cupola emulator` listens, always on this machine. Must look like
http://127.0.0.1:PORT or https://localhost:PORT.
"""

EnvironmentName: TypeAlias = str
"""An azd environment: the name of a directory below `.azure`. Must be 1 to 128 characters of A-Z a-z
0-9 . _ - ( ), and more than dots.
"""

ErrorKind: TypeAlias = Literal[
    # The message was not valid JSON.
    "parseError",
    # The JSON was not a JSON-RPC request.
    "invalidRequest",
    # No such method.
    "methodNotFound",
    # A parameter is missing or breaks its rule.
    "invalidParams",
    # A defect in the daemon.
    "internalError",
    # The call was cancelled by its caller.
    "cancelled",
    # No credential gave a token, or the service refused the token.
    "authenticationFailed",
    # The service refused the call, for a reason that no other kind covers.
    "forbidden",
    # `x-ms-user-identity` needs a permission the caller does not have.
    "impersonationNotPermitted",
    # The agent requires isolation keys, but none were given.
    "isolationKeyRequired",
    # The session exists, but not for this isolation.
    "isolationMismatch",
    # Cupola knows that the session belongs to another partition, and refused without asking the
    # service.
    "foreignSession",
    # The session belongs to another ownership key.
    "notSessionOwner",
    # The agent's protocol version does not support the isolation that was given.
    "isolationNotSupported",
    # The session is one of a pool, which several users share: the call would reach what is not the
    # caller's alone.
    "pooledSession",
    # No such session for this caller.
    "sessionNotFound",
    # No such agent or version.
    "agentNotFound",
    # No such response, conversation, run or other resource.
    "notFound",
    # The resource's current state does not allow the call.
    "conflict",
    # Another turn is running in this conversation.
    "conversationLocked",
    # The service rejected a field of the request.
    "badRequest",
    # The sandbox did not become ready in time.
    "sessionNotReady",
    # The sandbox was idle and did not resume.
    "sandboxIdle",
    # The gateway gave up waiting for the agent; the turn may have run.
    "proxyTimeout",
    # The agent's version is still being deployed.
    "agentVersionNotReady",
    # The agent's version could not be deployed.
    "agentVersionFailed",
    # Too many sessions for the project or the region.
    "quotaExceeded",
    # Too many requests.
    "rateLimited",
    # The service is not available now.
    "serviceUnavailable",
    # The service failed.
    "serviceError",
    # The service's answer could not be understood.
    "unexpectedAnswer",
    # No connection to the service.
    "connectionFailed",
    # The call's own time limit passed.
    "timedOut",
    # The host's certificate was refused. Nothing was sent; the hint says which setting helps.
    "certificateNotTrusted",
    # Another version of the agent answered than the one that was asked for. The turn ran there.
    "versionMismatch",
    # The agent itself failed.
    "agentFailed",
    # Tokens may not be sent to the endpoint's host.
    "hostNotAllowed",
    # The connection is bound to something else.
    "outOfBounds",
    # Too many requests at once on this connection, or too many runs in the daemon.
    "overloaded",
    # Another call has been using the session for too long.
    "busy",
    # The daemon is stopping.
    "shuttingDown",
    # Saved state could not be read or written.
    "stateUnavailable",
    # The emulator could not be started.
    "emulatorFailed",
    # A setting of the configuration file, or a file it names, cannot be used.
    "configurationInvalid",
    # This client took nothing of what it was sent, so its connection ends; `lastEvents` says how
    # far it got.
    "clientStalled",
    # The daemon went away before it answered. Reported by clients that keep running, such as
    # `cupola attach`.
    "daemonGone",
    # The project has several agents and none was chosen; `choices` lists them.
    "agentNotChosen",
    # The project does not say which agent, or where it is.
    "projectNotResolved",
    # A file of the project, or of azd, cannot be read or understood, or it belongs to another user.
    "projectFileInvalid",
    # The file is larger than the service accepts.
    "fileTooLarge",
    # A file on this machine cannot be read or written.
    "localFile",
    # The service does not have this operation.
    "notOffered",
]
"""What went wrong, in one word that scripts can match on (`error.data.kind`)."""

Id: TypeAlias = Union[int, str]
"""A request id. Echoed with its value and its type."""

IfBusy: TypeAlias = Literal[
    # It waits for its turn. A `notice` says how many calls are ahead, and `runs/list` shows it.
    "queue",
    # It fails at once with `busy`. Nothing is sent.
    "reject",
    # It is sent beside the other call. An agent that locks its conversations refuses it with
    # `conversationLocked`.
    "parallel",
    # It is sent beside the other call, in the service's background mode: an agent that can be
    # steered ends the turn that is running and continues with this one. Any other agent treats it
    # as `parallel`. Applies to `responses` and `invocations` only.
    "steer",
]
"""What a call does when another call is using its session."""

ImportOutcome: TypeAlias = Literal[
    # It became the current one, or would have.
    "imported",
    # It already was the current one.
    "unchanged",
    # Another one is saved and was kept.
    "kept",
    # It is known to belong to another user, and was not imported.
    "foreign",
]
"""What happened to one id."""

Input: TypeAlias = Union[str, list[Any]]
"""What is sent to an agent."""

IsolationKey: TypeAlias = str
"""An isolation key of container protocol 1.0.0: opaque, passed through verbatim. Must be 1 to 1024
bytes, without control characters (CR, LF, NUL) and without blanks at either end.
"""

IsolationModel: TypeAlias = Literal[
    # Container protocol 1.0.0: the isolation-key headers.
    "keys",
    # Container protocol 2.0.0: the caller's token, or `x-ms-user-identity`.
    "identity",
    # Nothing is sent; Cupola alone keeps a session and a conversation per key.
    "local",
]
"""How a target isolates its users. Detected from the agent's definition when not given."""

LocalPath: TypeAlias = str
"""A file on this machine, absolute: the daemon's working directory means nothing to a caller. Must be
an absolute path of at most 4096 bytes, without NUL.
"""

LogKind: TypeAlias = Literal[
    # What the agent's container wrote.
    "console",
    # What happened to the container.
    "system",
]
"""The two logs of a session."""

MethodPattern: TypeAlias = str
"""A method's name, or all methods of one resource: `sessions/*`. Must each be a method's name, or a
resource and all its methods, such as sessions/*.
"""

NoticeCode: TypeAlias = Literal[
    # The saved session was gone and has been replaced; its files are gone with it.
    "sessionReplaced",
    # The saved conversation was gone and has been replaced.
    "conversationReplaced",
    # Isolation keys were mapped onto the agent's newer model.
    "isolationMapped",
    # The request was sent again after the service said "not now".
    "retried",
    # Isolation was requested, but nothing enforces it: local agents do not isolate.
    "isolationNotEnforced",
    # The local agent does not listen yet; the call waits for it to start.
    "waitingForAgent",
    # The agent's version is still being deployed; the call waits for it.
    "waitingForVersion",
    # Other calls are using the session, or wait for it; this one waits for its turn.
    "queued",
    # Another call is using the session, and this one was sent without waiting for it.
    "sentWhileBusy",
    # The agent took the message into the turn that is running. The reply is in that turn's answer.
    "delivered",
    # A parameter has no effect for this target.
    "ignored",
    # The connection to a log broke; it is being opened again.
    "disconnected",
    # The connection to a log is restored.
    "reconnected",
    # Lines of a log may be missing here.
    "gap",
    # An event of the answer could not be read, and some of the text may be missing.
    "textMissing",
    # The session has no sandbox, so it has no log at the moment.
    "noSandbox",
    # The log exists but has no lines.
    "noLines",
    # The session is gone, and its log with it.
    "sessionGone",
    # The agent left a dialogue open, which was then closed for it.
    "dialogueIdle",
    # The agent's sessions lose their files when they go idle.
    "filesNotKept",
    # A question of the agent is being answered: which tool is allowed or refused, and with which
    # arguments.
    "answering",
    # A question of the agent could not be saved, so it cannot be answered.
    "questionNotSaved",
    # Any other code, added by a newer daemon.
    "other",
]
"""All kinds of notices. Receivers show the message of a kind they do not know."""

OnDisconnect: TypeAlias = Literal[
    # It is cancelled, here and at the service.
    "cancel",
    # It continues, and its answer is kept for the next client. It still ends with the daemon,
    # unless `survive` is set.
    "keep",
]
"""What becomes of a run when its last client leaves."""

OpenRpcDocument: TypeAlias = dict[str, Any]
"""An OpenRPC document, see <https://spec.open-rpc.org>."""

Order: TypeAlias = Literal[
    # Oldest first.
    "asc",
    # Newest first.
    "desc",
]
"""Sort order by creation time."""

PartitionId: TypeAlias = str
"""A partition's saved state in this daemon: a fingerprint, from which no key can be read. Made by the
daemon. Must be 16 characters of 0-9 a-f.
"""

Piece: TypeAlias = str
"""Bytes of a file, at most 1 MiB (1,048,576), as base64 with the standard alphabet and padding."""

PieceId: TypeAlias = str
"""The id of a file that is read or written over several calls. The daemon makes the id. It is valid
only on the connection that opened the file. Must be an id that files/read or files/write answered
with.
"""

ProjectEndpoint: TypeAlias = str
"""A project endpoint: `https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT`.

Only the shape is checked here. Whether a token may be sent to the host is the daemon's decision,
from its own configuration. Must look like
https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT: https, no port, no user, no query, no
trailing path.
"""

QuestionKind: TypeAlias = Literal[
    # May the agent call this tool with these arguments? Answered with an approval or a denial; the
    # first answer counts.
    "approval",
    # The person signs in at a link, then sends the message again.
    "consent",
    # The agent needs more information. Answered with the next message.
    "input",
    # Any other kind, added by a newer daemon.
    "other",
]
"""What a question is about."""

RemotePath: TypeAlias = str
"""A path in a session's home: `data/in.csv`, or with a leading slash, which means the home too. Sent
as it is. Must be 1 to 4096 bytes without control characters.
"""

ResponseId: TypeAlias = str
"""A response of the responses protocol, or an invocation of the invocations protocol. Must be 1 to 256
characters of A-Z a-z 0-9 . _ : -, and more than dots.
"""

RunId: TypeAlias = str
"""One run in this daemon: one invoke from request to ending. Made by the daemon. Must be 1 to 256
characters of A-Z a-z 0-9 . _ : -, and more than dots.
"""

RunState: TypeAlias = Literal[
    # It is running.
    "running",
    # The agent finished its answer.
    "completed",
    # It could not begin, or the agent or the service failed.
    "failed",
    # The agent stopped early.
    "incomplete",
    # It was cancelled.
    "cancelled",
    # The stream ended without reporting how the run ended.
    "truncated",
]
"""Running, or how it ended."""

RunStatus: TypeAlias = Literal[
    # The agent finished its answer.
    "completed",
    # The agent or the service failed after the run had begun.
    "failed",
    # The agent stopped early, for example at a token limit.
    "incomplete",
    # It was cancelled, by a client or at the service.
    "cancelled",
    # The stream ended without reporting how the run ended.
    "truncated",
]
"""How a run ended."""

ServiceName: TypeAlias = str
"""What a caller calls an agent in a project: the service's name in `azure.yaml`, or the agent's own.
Must be 1 to 128 characters without control characters, / and \\.
"""

SessionId: TypeAlias = str
"""A sandbox of the service (`agent_session_id`): compute and `$HOME`. Must be 8 to 128 characters of
A-Z a-z 0-9 _ -.
"""

SessionStart: TypeAlias = Literal[
    # A sandbox was started.
    "cold",
    # It was running.
    "warm",
    # An idle session's sandbox was started again.
    "resume",
    # Any other word of the service.
    "other",
]
"""How a session's sandbox was ready for a call."""

Tail: TypeAlias = int
"""How many of the last lines: 1 to 300, 50 when left out."""

TokenState: TypeAlias = Literal[
    # No token is held.
    "missing",
    # The first one is being fetched.
    "fetching",
    # It is valid.
    "valid",
    # It has expired; the next call fetches another.
    "expired",
]
"""The state of a token."""

TraceParent: TypeAlias = str
"""`traceparent` of W3C Trace Context: the caller's own span, which the run's span becomes a child of.
Must look like 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01: version 00, 32, 16 and 2
lower-case hexadecimal digits.
"""

Turn: TypeAlias = Literal[
    # It did not run, and that is certain: it was not sent, or what refused it says so. Sending it
    # again is safe.
    "notRun",
    # It may have run, in part or to its end. Find out before you send it again.
    "mayHaveRun",
    # The agent ran it. The failure is how the turn ended or, as `isolationMismatch`, that it ran
    # under another isolation than the call's.
    "ran",
]
"""Whether a failed turn ran. The value tells a program what to do: send it again, find out, or leave
it.
"""

UserIdentity: TypeAlias = str
"""The end user on whose behalf the caller acts (`x-ms-user-identity`). Must be 1 to 256 characters of
A-Z a-z 0-9 . _ : - @.
"""

VersionOverride: TypeAlias = str
"""The version that answers a single call: a version, or `latest`. Must be a version, or `latest`: 1 to
128 characters of A-Z a-z 0-9 . _ -, and more than dots.
"""

WarmRequest: TypeAlias = Literal[
    # Show the session. The service answers this itself.
    "session",
    # List the files in the session's home.
    "files",
]
"""A request that may keep a session warm."""


class AgentListParams(TypedDict, total=False):
    """Which agents to list. The daemon follows the service's pages until it has `limit` agents."""

    target: Target
    """Any agent of the project, or a directory; its project may have several agents. Left out on a
    bound connection only, which has its own.
    """
    limit: int
    """How many at most; all when left out."""
    order: Order
    """Sort order by creation time; the service's own when left out."""
    debug: bool
    """Send each outgoing request as a `RequestEvent`."""
    partialResultToken: Id
    """Send events as `$/progress` with this token."""


class AgentListResponse(TypedDict):
    """A list in the service's own shape."""

    data: list[Any]
    """The service's agent objects, verbatim."""
    first_id: Union[str, None]
    """The first one's id."""
    last_id: Union[str, None]
    """The last one's id."""
    has_more: bool
    """Whether there are more agents than were asked for."""


class AgentShowParams(TypedDict, total=False):
    """Which agent to show."""

    target: Target
    """The agent. For a directory without a version, the version that azd deployed last is shown. Left
    out on a bound connection only, which has its own.
    """
    debug: bool
    """Send each outgoing request as a `RequestEvent`."""
    partialResultToken: Id
    """Send events as `$/progress` with this token."""


class _AgentShowResponse(TypedDict):
    agent: Any
    """The service's agent object, verbatim."""
    version: Any
    """The service's object for the requested version, or for the version that new sessions get,
    verbatim; null without either.
    """
    protocols: list[str]
    """The protocols of that version, each with its own version, such as `responses 2.0.0`."""
    url: str
    """The base URL of the agent's endpoints."""


class AgentShowResponse(_AgentShowResponse, total=False):
    """An agent."""

    isolationModel: IsolationModel
    """How that version isolates its users; left out when its definition does not say."""


class AuthClearResponse(TypedDict):
    """What was forgotten."""

    cleared: int
    """The number of tokens."""


class AuthStatusResponse(TypedDict):
    """The credential and its tokens."""

    credential: Credential
    """The configured credential."""
    tokens: list[Token]
    """The tokens held, sorted by credential and scope."""


class _Bind(TypedDict):
    target: Target
    """The only agent. A directory is resolved once, when the connection is bound."""


class Bind(_Bind, total=False):
    """What a connection is bound to. From the next message on, calls reach this agent under this
    isolation and nothing else: they may leave `target` and `isolation` out, or repeat them;
    anything else is refused as `outOfBounds`. A connection is bound once, before its first call,
    and never loosened. If binding fails, the connection refuses every call.

    A session or conversation can be named, and is listed, if Cupola knows that it belongs to this
    isolation. For one that was created elsewhere, call `sessions/use` on an unbound connection
    first. Everything else gets the same answer, whether it exists or not.

    Binding keeps a program from reaching anything it was not given. It is not a security boundary
    against unconfined programs of the same operating-system user: they can open their own
    connections.

    A bound connection reads and writes no files of this machine: `files/read` and `files/write`
    carry the bytes instead. `files/upload` and `files/download` work only if `methods` names them
    and `files` names a directory, and then below that directory alone. No link is followed there,
    and files that trust depends on (configuration, saved state, credentials, certificates, the log,
    the socket) stay out of reach, whatever path or hard link leads to them.
    """

    isolation: Isolation
    """The only isolation."""
    methods: list[MethodPattern]
    """The methods it may call; those that work on one agent when left out. `initialize`, `shutdown`,
    `daemon/status`, `rpc.discover` and cancelling are always allowed. `files/upload` and
    `files/download` must be named in full (`files/*` does not include them), together with `files`.
    """
    files: LocalPath
    """The directory of this machine that `files/upload` reads from and `files/download` writes to;
    none when left out. It must exist, and is opened once, when the connection is bound.
    """


class CancelParams(TypedDict):
    """`$/cancelRequest`."""

    id: Id
    """The call to cancel."""


class Capabilities(TypedDict):
    """The daemon's capabilities."""

    methods: list[str]
    """Every method that may be called on this connection."""
    framings: list[str]
    """The framings the socket accepts: `lsp`, `ndjson`, `http`."""
    handOver: bool
    """Whether a newer daemon can take over from this one: `daemon/stop` with `drain`. A service
    manager's socket stays where it is.
    """


class _ChatForgetParams(TypedDict):
    isolation: Isolation
    """Whose chat it is; `chat` is its label and must be given."""


class ChatForgetParams(_ChatForgetParams, total=False):
    """Which chat."""

    target: Target
    """Which agent. Left out on a bound connection only, which has its own."""


class ChatForgetResponse(TypedDict):
    """What was forgotten."""

    forgotten: bool
    """Whether anything had been saved about it."""


class _ChatInfo(TypedDict):
    chat: ChatLabel
    """Its label."""
    updatedAt: str
    """When it was saved last. RFC 3339, UTC."""


class ChatInfo(_ChatInfo, total=False):
    """A chat."""

    cwd: AbsolutePath
    """The directory the client works in."""
    title: ChatTitle
    """What it is called in a list."""
    agent: AgentName
    """The agent that the person chose, if it is another one than the target's."""
    version: AgentVersion
    """The version that the person chose."""


class ChatListResponse(TypedDict):
    """The chats."""

    chats: list[ChatInfo]
    """The most recently saved first; at most 1000."""


class ChatParams(TypedDict, total=False):
    """An agent, and whose chats."""

    target: Target
    """Which agent. Left out on a bound connection only, which has its own."""
    isolation: Isolation
    """Whose chats. With a `chat`, that one alone and those whose labels begin with it and a slash.
    """


class _ChatSaveParams(TypedDict):
    isolation: Isolation
    """Whose chat it is; `chat` is its label and must be given."""


class ChatSaveParams(_ChatSaveParams, total=False):
    """Which chat, and what to remember."""

    target: Target
    """Which agent. Left out on a bound connection only, which has its own."""
    cwd: AbsolutePath
    """The directory the client works in."""
    title: ChatTitle
    """What it is called in a list."""
    agent: AgentName
    """The agent that the person chose, if it is another one than the target's."""
    version: AgentVersion
    """The version that the person chose."""


class _Check(TypedDict):
    name: str
    """`daemon`, `socket`, `state`, `credential`, `network`, `telemetry`, `gateway`, `target` or
    `isolation`; others may be added.
    """
    status: CheckStatus
    """The outcome."""
    message: str
    """What was found, for people."""


class Check(_Check, total=False):
    """The result of one check."""

    hint: str
    """How to fix it."""


class _Credential(TypedDict):
    kind: str
    """For example `developerTools` or `managedIdentity`."""


class Credential(_Credential, total=False):
    """A credential, as the configuration names it. Nothing secret."""

    tenantId: str
    """The tenant, if the configuration names one."""


class DaemonStatusParams(TypedDict, total=False):
    """What to show."""

    details: bool
    """Also runs, sessions, tokens, connections to the service and recent errors. Left out on a bound
    connection, which knows only its own.
    """


class _DaemonStatusResponse(TypedDict):
    version: str
    """The daemon's version."""
    protocolVersion: int
    """The major protocol version it supports."""
    processId: int
    """Its process id."""
    stateDirectory: str
    """Where its saved state is."""
    startedAt: str
    """When it started."""
    uptimeMs: int
    """How long it has run."""
    connections: int
    """Open connections, this one included."""
    requests: int
    """Requests not yet answered, this one included."""
    runs: int
    """Runs under way."""


class DaemonStatusResponse(_DaemonStatusResponse, total=False):
    """The daemon's status. Durations are in ms; `startedAt` is RFC 3339, UTC."""

    socket: str
    """Where it listens."""
    idleExitMs: int
    """How long it runs without work before it stops; if missing, it does not stop by itself."""
    residentBytes: int
    """Resident memory in bytes, if the system reports it."""
    emulator: str
    """Where the embedded emulator listens, if it runs: `unix:` and the path of its socket, or a URL on
    Windows.
    """
    partitions: int
    """Partitions with saved state; missing when saved state cannot be read."""
    telemetry: TelemetryStatus
    """How traces and metrics leave the daemon; missing when telemetry is off."""
    details: StatusDetails
    """What it is doing, if that was asked for."""


class DaemonStopParams(TypedDict, total=False):
    """How to stop."""

    force: bool
    """Do not wait for active runs."""
    drain: bool
    """Leave the runs that survive to the next daemon at once: their clients get `shuttingDown` and
    continue there with `runs/attach`. The others are waited for, and finished answers stay
    available until somebody has had them.
    """
    deadlineMs: int
    """End the runs that are still active after this long, in ms."""


class DaemonStopResponse(TypedDict):
    """The daemon is stopping."""

    runs: int
    """The number of runs it waits for, or ends with `force`."""
    unreadAnswers: int
    """The number of answers of detached runs that nobody has read. Without `force` it keeps them for
    at most ten minutes. An older daemon leaves this out.
    """


class DoctorParams(TypedDict, total=False):
    """What to check."""

    target: Target
    """The agent to check as well."""
    isolation: Isolation
    """The isolation that calls to it would use."""


class DoctorResponse(TypedDict):
    """The results, in the order in which a call needs them."""

    checks: list[Check]
    """One entry per check."""


class _ErrorData(TypedDict):
    kind: ErrorKind
    """What went wrong, in one word."""
    retryable: bool
    """Can the same call succeed later? If the call is a turn, only when the turn did not run."""


class ErrorData(_ErrorData, total=False):
    """`error.data` of every error the daemon sends."""

    turn: Turn
    """Whether the turn ran. With every error of `invoke`, and only there; a daemon older than this
    field leaves it out.
    """
    retryAfterMs: int
    """When to try again, in ms, if the service said so."""
    httpStatus: int
    """The service's HTTP status."""
    serviceCode: str
    """The service's own code: `x-adc-response-details`, else `error.code`."""
    requestId: str
    """The service's request id, for its support."""
    hint: str
    """What to do next."""
    choices: list[str]
    """The values to choose from, if one must be named."""
    runId: RunId
    """The run, if it had begun before the failure."""
    lastEvents: list[LastEvent]
    """With `clientStalled`: the last event that the client was sent of each run it followed on the
    connection.
    """
    notices: list[Notice]
    """What the caller should know about the call up to the failure, for example that a saved session
    was replaced.
    """


class _ErrorObject(TypedDict):
    code: int
    """The number of `ErrorKind`."""
    message: str
    """What happened, for people."""


class ErrorObject(_ErrorObject, total=False):
    """Why a call failed."""

    data: ErrorData
    """Details for programs. Missing only in errors of a daemon that is not Cupola."""


class _FileDeleteParams(TypedDict):
    path: RemotePath
    """The file or directory."""


class FileDeleteParams(_FileDeleteParams, total=False):
    """What to delete."""

    target: Target
    """Which agent. Left out on a bound connection only, which has its own."""
    isolation: Isolation
    """Whose session."""
    sessionId: SessionId
    """Which session; the partition's current one when left out."""
    allowSharedSession: bool
    """Allow a session that Cupola knows to belong to another partition."""
    debug: bool
    """Send each outgoing request as a `RequestEvent`."""
    partialResultToken: Id
    """Send events as `$/progress` with this token."""
    recursive: bool
    """A directory and everything in it, not only an empty one."""


class _FileDownloadParams(TypedDict):
    path: RemotePath
    """The file to fetch."""
    localPath: LocalPath
    """The file to write; its directory must exist."""


class FileDownloadParams(_FileDownloadParams, total=False):
    """What to download, and where to."""

    target: Target
    """Which agent. Left out on a bound connection only, which has its own."""
    isolation: Isolation
    """Whose session."""
    sessionId: SessionId
    """Which session; the partition's current one when left out."""
    allowSharedSession: bool
    """Allow a session that Cupola knows to belong to another partition."""
    debug: bool
    """Send each outgoing request as a `RequestEvent`."""
    partialResultToken: Id
    """Send events as `$/progress` with this token."""
    recursive: bool
    """A directory and everything in it; its contents go into a directory of the target's name, beside
    what is there.
    """


class _FileEntry(TypedDict):
    name: str
    """Its name in its directory. The agent chose it: never use it as a local path unchecked."""
    path: str
    """Its path in the home."""
    is_directory: bool
    """Is it a directory?"""
    is_dir: bool
    """The same, in the spelling of the azd command line."""
    size: int
    """Bytes."""


class FileEntry(_FileEntry, total=False):
    """A file or directory, in the service's field names."""

    modified_time: int
    """When it was last changed, Unix seconds, UTC."""


class _FileEventRequest(TypedDict):
    type: Literal["request"]
    method: str
    """The method."""
    url: str
    """The whole URL."""
    headers: list[HttpHeader]
    """The headers; the token is redacted."""
    curl: str
    """A bash command that repeats it, with the token taken from `$TOKEN`."""


class FileEventRequest(_FileEventRequest, total=False):
    """An outgoing request, if `debug` was set."""

    body: str
    """The body, if it is text."""
    bodyFile: str
    """The local file whose bytes are the body."""


class _FileEventProgress(TypedDict):
    type: Literal["progress"]
    bytes: int
    """Bytes so far."""


class FileEventProgress(_FileEventProgress, total=False):
    """The progress so far. It goes back only if the service asks for the file again."""

    totalBytes: int
    """The total, if known."""


class FileListParams(TypedDict, total=False):
    """What to list."""

    target: Target
    """Which agent. Left out on a bound connection only, which has its own."""
    isolation: Isolation
    """Whose session."""
    sessionId: SessionId
    """Which session; the partition's current one when left out."""
    allowSharedSession: bool
    """Allow a session that Cupola knows to belong to another partition."""
    debug: bool
    """Send each outgoing request as a `RequestEvent`."""
    partialResultToken: Id
    """Send events as `$/progress` with this token."""
    path: RemotePath
    """The directory; the home when left out."""


class _FileListResponse(TypedDict):
    path: str
    """The directory; `.` is the home."""
    entries: list[FileEntry]
    """What is in it, in the service's order."""


class FileListResponse(_FileListResponse, total=False):
    """A directory, all pages of it."""

    has_more: bool
    """There are more than can be listed."""


class _FilePathParams(TypedDict):
    path: RemotePath
    """The file or directory."""


class FilePathParams(_FilePathParams, total=False):
    """Names one file or directory of the session's home."""

    target: Target
    """Which agent. Left out on a bound connection only, which has its own."""
    isolation: Isolation
    """Whose session."""
    sessionId: SessionId
    """Which session; the partition's current one when left out."""
    allowSharedSession: bool
    """Allow a session that Cupola knows to belong to another partition."""
    debug: bool
    """Send each outgoing request as a `RequestEvent`."""
    partialResultToken: Id
    """Send events as `$/progress` with this token."""


class FilePathResponse(TypedDict):
    """What was made or deleted."""

    sessionId: SessionId
    """The session."""
    path: RemotePath
    """The file or directory."""


class _FileReadParams(TypedDict):
    path: RemotePath
    """The file."""


class FileReadParams(_FileReadParams, total=False):
    """What to read."""

    target: Target
    """Which agent. Left out on a bound connection only, which has its own."""
    isolation: Isolation
    """Whose session."""
    sessionId: SessionId
    """Which session; the partition's current one when left out."""
    allowSharedSession: bool
    """Allow a session that Cupola knows to belong to another partition."""
    debug: bool
    """Send each outgoing request as a `RequestEvent`."""
    partialResultToken: Id
    """Send events as `$/progress` with this token."""
    offset: int
    """The first byte to read, counted from 0. With `readId` it is where the last piece ended, and can
    be left out.
    """
    length: int
    """How many bytes to read: at most 1 MiB, which is also the default."""
    readId: PieceId
    """Continues the read that returned this id, with the same session and path."""
    keepOpen: bool
    """Keep the file open for the next piece, if there is one."""


class _FileReadResponse(TypedDict):
    sessionId: SessionId
    """The session."""
    path: RemotePath
    """The file."""
    offset: int
    """Where in the file the piece begins."""
    content: Piece
    """The piece. It is shorter than asked for only at the end of the file."""
    isLast: bool
    """Does the file end with this piece?"""


class FileReadResponse(_FileReadResponse, total=False):
    """A piece of a file."""

    totalBytes: int
    """How many bytes the file has, if the service says so."""
    readId: PieceId
    """Gets the next piece, if the file was kept open."""


class _FileTransferResponse(TypedDict):
    sessionId: SessionId
    """The session."""
    path: RemotePath
    """The file in its home."""
    localPath: LocalPath
    """The local file."""
    bytes: int
    """Bytes."""


class FileTransferResponse(_FileTransferResponse, total=False):
    """What was transferred."""

    tree: Tree
    """The result for a directory. The call succeeds if the whole directory was traversed; failures on
    the way are listed here.
    """
    notices: list[Notice]
    """What the caller should know about what was written, for example that the session will not keep
    it.
    """


class _FileUploadParams(TypedDict):
    localPath: LocalPath
    """The file to read, at most 50 MiB long (`MAX_FILE_BYTES`)."""


class FileUploadParams(_FileUploadParams, total=False):
    """What to upload, and where to."""

    target: Target
    """Which agent. Left out on a bound connection only, which has its own."""
    isolation: Isolation
    """Whose session."""
    sessionId: SessionId
    """Which session; the partition's current one when left out."""
    allowSharedSession: bool
    """Allow a session that Cupola knows to belong to another partition."""
    debug: bool
    """Send each outgoing request as a `RequestEvent`."""
    partialResultToken: Id
    """Send events as `$/progress` with this token."""
    recursive: bool
    """A directory and everything in it; its contents go into a directory of the target's name, beside
    what is there.
    """
    path: RemotePath
    """Where to put it; its own name in the home when left out."""


class _FileWriteParams(TypedDict):
    path: RemotePath
    """The file."""
    content: Piece
    """The next piece."""
    isLast: bool
    """Is it the last piece? Only then is the file sent to the service."""


class FileWriteParams(_FileWriteParams, total=False):
    """What to write."""

    target: Target
    """Which agent. Left out on a bound connection only, which has its own."""
    isolation: Isolation
    """Whose session."""
    sessionId: SessionId
    """Which session; the partition's current one when left out."""
    allowSharedSession: bool
    """Allow a session that Cupola knows to belong to another partition."""
    debug: bool
    """Send each outgoing request as a `RequestEvent`."""
    partialResultToken: Id
    """Send events as `$/progress` with this token."""
    writeId: PieceId
    """Continues the write that returned this id, with the same session and path."""
    offset: int
    """Where in the file the piece begins. Pieces must arrive in order: any number other than the bytes
    so far is refused, and the writing can continue with the right piece.
    """


class _FileWriteResponse(TypedDict):
    sessionId: SessionId
    """The session."""
    path: RemotePath
    """The file."""
    bytes: int
    """The bytes of all pieces so far."""
    isWritten: bool
    """Is the file in the session's home now?"""


class FileWriteResponse(_FileWriteResponse, total=False):
    """What was written, or collected so far."""

    writeId: PieceId
    """Adds the next piece, as long as the file is not written."""
    notices: list[Notice]
    """What the caller should know about what was written, for example that the session will not keep
    it.
    """


class HttpHeader(TypedDict):
    """One HTTP header."""

    name: str
    """Its name."""
    value: str
    """Its value."""


class _ImportEntry(TypedDict):
    target: Target
    """Which agent."""


class ImportEntry(_ImportEntry, total=False):
    """What one user last used with one agent."""

    isolation: Isolation
    """Whose it is."""
    sessionId: SessionId
    """The session to continue."""
    conversationId: ConversationId
    """The conversation to continue."""


class _ImportParams(TypedDict):
    entries: list[ImportEntry]
    """One per agent, version and user. At most 1000."""


class ImportParams(_ImportParams, total=False):
    """What to import."""

    force: bool
    """Replace existing saved state."""
    dryRun: bool
    """Report what would happen, without changing anything."""


class ImportResponse(TypedDict):
    """What was imported."""

    entries: list[Imported]
    """One per entry, in their order."""


class Imported(TypedDict, total=False):
    """What happened to one entry."""

    session: ImportOutcome
    """What happened to its session, if it had one."""
    conversation: ImportOutcome
    """What happened to its conversation, if it had one."""
    refused: str
    """Why the entry was refused, if it was."""


class InitializeParams(TypedDict, total=False):
    """Who is calling."""

    clientInfo: ProgramInfo
    """The client program. Hints for the clients that belong to Cupola are in their own words; for
    others they name flags and commands of the command line.
    """
    protocolVersions: list[int]
    """The major protocol versions the client supports; any when left out."""
    bind: Bind
    """Binds this connection to one agent and one isolation, permanently."""


class InitializeResponse(TypedDict):
    """The daemon's identity and capabilities."""

    protocolVersion: int
    """The major protocol version of this connection."""
    serverInfo: ProgramInfo
    """The daemon."""
    processId: int
    """The daemon's process id."""
    capabilities: Capabilities
    """Its capabilities."""
    bound: bool
    """Whether this connection is bound."""


class _InvokeEventStarted(TypedDict):
    type: Literal["started"]
    runId: RunId
    """The run's id."""
    number: int
    """Rises within a run, by 1 unless the run was to survive the daemon; a client that asked for
    `textOnly` does not see every number. A `gap` and the `snapshot` after it have the number of the
    last event they stand for. In a run that was to survive, an event keeps its number whichever
    daemon reads it from the service, and numbers are skipped. What the daemon itself says there
    (`notice`, `request`) has the number of the event before it, 0 at first, and is not repeated.
    """
    isolationModel: IsolationModel
    """How the target isolates its users."""


class InvokeEventStarted(_InvokeEventStarted, total=False):
    """The service accepted the request; the session id is saved."""

    sessionId: SessionId
    """The session that answers."""
    conversationId: ConversationId
    """The conversation of this turn."""
    agentVersion: AgentVersion
    """The version of the agent that answers, if the service says which."""
    selectedVersion: AgentVersion
    """The version that the agent selects for new sessions, if another one answers: a session stays at
    the version that it was created with.
    """
    latency: Latency
    """How long the parts of the call took up to here, if the service measured it."""
    requestId: str
    """The service's request id."""
    survives: bool
    """The run outlives the daemon: if the daemon ends, the next one continues it under the same id.
    """


class _InvokeEventRequest(TypedDict):
    type: Literal["request"]
    runId: RunId
    """The run's id."""
    number: int
    """Rises within a run, by 1 unless the run was to survive the daemon; a client that asked for
    `textOnly` does not see every number. A `gap` and the `snapshot` after it have the number of the
    last event they stand for. In a run that was to survive, an event keeps its number whichever
    daemon reads it from the service, and numbers are skipped. What the daemon itself says there
    (`notice`, `request`) has the number of the event before it, 0 at first, and is not repeated.
    """
    method: str
    """The method."""
    url: str
    """The whole URL."""
    headers: list[HttpHeader]
    """The headers; the token is redacted."""
    curl: str
    """A bash command that repeats it, with the token taken from `$TOKEN`."""


class InvokeEventRequest(_InvokeEventRequest, total=False):
    """An outgoing request, if `debug` was set. May come before `started`."""

    body: str
    """The body, if it is text."""
    bodyFile: str
    """The local file whose bytes are the body."""


class InvokeEventHttpHead(TypedDict):
    """The start of an answer, if `raw` was set. A second one belongs to the final answer of a
    long-running invocation.
    """

    type: Literal["httpHead"]
    runId: RunId
    """The run's id."""
    number: int
    """Rises within a run, by 1 unless the run was to survive the daemon; a client that asked for
    `textOnly` does not see every number. A `gap` and the `snapshot` after it have the number of the
    last event they stand for. In a run that was to survive, an event keeps its number whichever
    daemon reads it from the service, and numbers are skipped. What the daemon itself says there
    (`notice`, `request`) has the number of the event before it, 0 at first, and is not repeated.
    """
    statusLine: str
    """For example `HTTP/1.1 200 OK`."""
    headers: list[HttpHeader]
    """The headers, in the order of their arrival."""


class _InvokeEventHttpBody(TypedDict):
    type: Literal["httpBody"]
    runId: RunId
    """The run's id."""
    number: int
    """Rises within a run, by 1 unless the run was to survive the daemon; a client that asked for
    `textOnly` does not see every number. A `gap` and the `snapshot` after it have the number of the
    last event they stand for. In a run that was to survive, an event keeps its number whichever
    daemon reads it from the service, and numbers are skipped. What the daemon itself says there
    (`notice`, `request`) has the number of the event before it, 0 at first, and is not repeated.
    """


class InvokeEventHttpBody(_InvokeEventHttpBody, total=False):
    """The next bytes of that answer's body."""

    text: str
    """The bytes, if they are UTF-8."""
    base64: str
    """The bytes in base64, if they are not."""


class InvokeEventTextDelta(TypedDict):
    """More text of the answer."""

    type: Literal["textDelta"]
    runId: RunId
    """The run's id."""
    number: int
    """Rises within a run, by 1 unless the run was to survive the daemon; a client that asked for
    `textOnly` does not see every number. A `gap` and the `snapshot` after it have the number of the
    last event they stand for. In a run that was to survive, an event keeps its number whichever
    daemon reads it from the service, and numbers are skipped. What the daemon itself says there
    (`notice`, `request`) has the number of the event before it, 0 at first, and is not repeated.
    """
    delta: str
    """The text, to be appended."""


class InvokeEventQuestion(TypedDict):
    """The agent asks the person. The run ends after it; `invoke` answers it."""

    type: Literal["question"]
    runId: RunId
    """The run's id."""
    number: int
    """Rises within a run, by 1 unless the run was to survive the daemon; a client that asked for
    `textOnly` does not see every number. A `gap` and the `snapshot` after it have the number of the
    last event they stand for. In a run that was to survive, an event keeps its number whichever
    daemon reads it from the service, and numbers are skipped. What the daemon itself says there
    (`notice`, `request`) has the number of the event before it, 0 at first, and is not repeated.
    """
    question: Question
    """What is asked."""


class InvokeEventOutput(TypedDict):
    """Any other event of the service, verbatim."""

    type: Literal["output"]
    runId: RunId
    """The run's id."""
    number: int
    """Rises within a run, by 1 unless the run was to survive the daemon; a client that asked for
    `textOnly` does not see every number. A `gap` and the `snapshot` after it have the number of the
    last event they stand for. In a run that was to survive, an event keeps its number whichever
    daemon reads it from the service, and numbers are skipped. What the daemon itself says there
    (`notice`, `request`) has the number of the event before it, 0 at first, and is not repeated.
    """
    name: str
    """The service's event name."""
    data: Any
    """Its data, verbatim; a JSON string if it was not JSON."""


class InvokeEventNotice(TypedDict):
    """Something the caller should know. The run continues."""

    type: Literal["notice"]
    runId: RunId
    """The run's id."""
    number: int
    """Rises within a run, by 1 unless the run was to survive the daemon; a client that asked for
    `textOnly` does not see every number. A `gap` and the `snapshot` after it have the number of the
    last event they stand for. In a run that was to survive, an event keeps its number whichever
    daemon reads it from the service, and numbers are skipped. What the daemon itself says there
    (`notice`, `request`) has the number of the event before it, 0 at first, and is not repeated.
    """
    code: NoticeCode
    """A stable code."""
    message: str
    """For people."""


class InvokeEventGap(TypedDict):
    """Events are missing here; the next snapshot or the response is complete again."""

    type: Literal["gap"]
    runId: RunId
    """The run's id."""
    number: int
    """Rises within a run, by 1 unless the run was to survive the daemon; a client that asked for
    `textOnly` does not see every number. A `gap` and the `snapshot` after it have the number of the
    last event they stand for. In a run that was to survive, an event keeps its number whichever
    daemon reads it from the service, and numbers are skipped. What the daemon itself says there
    (`notice`, `request`) has the number of the event before it, 0 at first, and is not repeated.
    """
    after: int
    """The last event number before the gap."""


class InvokeEventSnapshot(TypedDict):
    """The run restarted at the service, or events were lost: replace all text so far with this."""

    type: Literal["snapshot"]
    runId: RunId
    """The run's id."""
    number: int
    """Rises within a run, by 1 unless the run was to survive the daemon; a client that asked for
    `textOnly` does not see every number. A `gap` and the `snapshot` after it have the number of the
    last event they stand for. In a run that was to survive, an event keeps its number whichever
    daemon reads it from the service, and numbers are skipped. What the daemon itself says there
    (`notice`, `request`) has the number of the event before it, 0 at first, and is not repeated.
    """
    text: str
    """The whole text up to now."""


class InvokeEventCompleted(TypedDict):
    """Ending: the agent finished its answer."""

    type: Literal["completed"]
    runId: RunId
    """The run's id."""
    number: int
    """Rises within a run, by 1 unless the run was to survive the daemon; a client that asked for
    `textOnly` does not see every number. A `gap` and the `snapshot` after it have the number of the
    last event they stand for. In a run that was to survive, an event keeps its number whichever
    daemon reads it from the service, and numbers are skipped. What the daemon itself says there
    (`notice`, `request`) has the number of the event before it, 0 at first, and is not repeated.
    """


class InvokeEventFailed(TypedDict):
    """Ending: the agent or the service failed."""

    type: Literal["failed"]
    runId: RunId
    """The run's id."""
    number: int
    """Rises within a run, by 1 unless the run was to survive the daemon; a client that asked for
    `textOnly` does not see every number. A `gap` and the `snapshot` after it have the number of the
    last event they stand for. In a run that was to survive, an event keeps its number whichever
    daemon reads it from the service, and numbers are skipped. What the daemon itself says there
    (`notice`, `request`) has the number of the event before it, 0 at first, and is not repeated.
    """
    failure: RunFailure
    """Why."""


class _InvokeEventIncomplete(TypedDict):
    type: Literal["incomplete"]
    runId: RunId
    """The run's id."""
    number: int
    """Rises within a run, by 1 unless the run was to survive the daemon; a client that asked for
    `textOnly` does not see every number. A `gap` and the `snapshot` after it have the number of the
    last event they stand for. In a run that was to survive, an event keeps its number whichever
    daemon reads it from the service, and numbers are skipped. What the daemon itself says there
    (`notice`, `request`) has the number of the event before it, 0 at first, and is not repeated.
    """


class InvokeEventIncomplete(_InvokeEventIncomplete, total=False):
    """Ending: the agent stopped early."""

    reason: str
    """The service's reason, for example `max_output_tokens`."""


class InvokeEventCancelled(TypedDict):
    """Ending: the run was cancelled."""

    type: Literal["cancelled"]
    runId: RunId
    """The run's id."""
    number: int
    """Rises within a run, by 1 unless the run was to survive the daemon; a client that asked for
    `textOnly` does not see every number. A `gap` and the `snapshot` after it have the number of the
    last event they stand for. In a run that was to survive, an event keeps its number whichever
    daemon reads it from the service, and numbers are skipped. What the daemon itself says there
    (`notice`, `request`) has the number of the event before it, 0 at first, and is not repeated.
    """


class _InvokeEventTruncated(TypedDict):
    type: Literal["truncated"]
    runId: RunId
    """The run's id."""
    number: int
    """Rises within a run, by 1 unless the run was to survive the daemon; a client that asked for
    `textOnly` does not see every number. A `gap` and the `snapshot` after it have the number of the
    last event they stand for. In a run that was to survive, an event keeps its number whichever
    daemon reads it from the service, and numbers are skipped. What the daemon itself says there
    (`notice`, `request`) has the number of the event before it, 0 at first, and is not repeated.
    """


class InvokeEventTruncated(_InvokeEventTruncated, total=False):
    """Ending: the stream ended without reporting how the run ended."""

    reason: str
    """The reason, as far as it is known."""


class _InvokeParams(TypedDict):
    input: Input
    """The text to send, at most 16 MiB. With `invocations` it is the request's body, as JSON if it
    parses as JSON. With `responses` it may be a list of input items, which also answers questions
    (`Question`): each approval must answer one that is open in this partition, and the first answer
    counts.
    """


class InvokeParams(_InvokeParams, total=False):
    """What to send and to whom."""

    target: Target
    """Which agent. Left out on a bound connection only, which has its own."""
    isolation: Isolation
    """Whose state."""
    inputIsRequest: bool
    """`input` is a complete request of the protocol and is sent unchanged. Applies to `a2a` only,
    whose requests are JSON-RPC. The request itself names the context, so `conversationId` is not
    allowed with it.
    """
    messagePerLine: bool
    """Send each line of `input` as a separate message, one after the other; empty lines are skipped.
    Applies to `invocationsWs` only.
    """
    idleTimeoutMs: int
    """With `invocationsWs`: the dialogue ends when the agent has sent something and is then silent for
    this long, in ms. The default is 10 s; with 0 only the agent ends it.
    """
    protocol: AgentProtocol
    """The protocol to use. When left out, it is taken from the agent's definition: `responses` if the
    agent supports both.
    """
    sessionId: SessionId
    """Use this session instead of the saved one, and save it."""
    newSession: bool
    """Start a session instead of using the saved one."""
    conversationId: ConversationId
    """Use this conversation instead of the saved one, and save it. With `a2a` it is the context, which
    is saved apart from the conversation of `responses`, once the agent has answered in it.
    """
    newConversation: bool
    """Start a conversation, or a context, instead of using the saved one."""
    previousResponseId: ResponseId
    """Continue from this response instead of a conversation: a branch, which the next call does not
    continue by itself. Applies to `responses` only. Not with `conversationId` or `newConversation`.
    """
    allowSharedSession: bool
    """Allow a session that Cupola knows to belong to another partition."""
    versionOverride: VersionOverride
    """Let this version of the agent answer, or the `latest`, whichever version the agent selects for
    its callers. The turn runs in a session and a conversation of its own, and nothing is saved. The
    call fails with `versionMismatch` if another version answers. Not with a target's `version`,
    `sessionId`, `conversationId`, `a2a` or a local agent.
    """
    clientHeaders: dict[str, ClientHeaderValue]
    """Headers for the agent's own code. Not with `a2a`."""
    callId: CallId
    """The `x-agent-foundry-call-id` for a local agent; the service generates its own."""
    traceparent: TraceParent
    """The caller's own span, as W3C Trace Context writes it. The daemon's span of this run becomes its
    child, and the agent's spans join the same trace. Not used when the daemon's telemetry is off.
    """
    raw: bool
    """Send the service's answer unmodified, as `httpHead` and `httpBody` events, in place of
    `textDelta`, `snapshot` and `output`. This includes refusals, which come before the call's
    error.
    """
    debug: bool
    """Send each outgoing request as a `request` event."""
    textOnly: bool
    """Leave out `output` events, for clients that show only the text. Their event numbers are then
    missing.
    """
    detach: bool
    """Keep running after the client leaves, even with no client attached. A client that stays still
    gets the response last.
    """
    survive: bool
    """Let the run outlive the daemon, too: it runs in the service's background mode, and the next
    daemon continues it. `detach` asks for this as well. Whether the run can is in its `started`
    event: only `responses`, and `invocations` that the agent accepts with 202, can. Not with `raw`,
    and not with the embedded emulator, which ends with the daemon.
    """
    ifBusy: IfBusy
    """What to do when another call is using the session: wait for it, unless something else is chosen.
    """
    onDisconnect: OnDisconnect
    """What becomes of the run when its last client leaves. The default is `cancel`; `detach` means
    `keep`, and is not allowed with `cancel`.
    """
    warm: Warm
    """Keep the session ready for the next turn. Experimental."""
    timeoutMs: int
    """Give up after this long, in ms; the default is 30 min, 0 means never."""
    partialResultToken: Id
    """Send events as `$/progress` with this token."""


class _InvokeResponse(TypedDict):
    runId: RunId
    """The run's id in this daemon."""
    status: RunStatus
    """How it ended."""
    text: str
    """The answer's text: all text of the response in order, or the invocation's text."""
    isolationModel: IsolationModel
    """How the target isolates its users."""
    durationMs: int
    """From the request's arrival to the ending, in ms."""


class InvokeResponse(_InvokeResponse, total=False):
    """The whole answer."""

    sessionId: SessionId
    """The session that answered, now saved for the partition."""
    conversationId: ConversationId
    """The conversation this turn belongs to, now saved for the partition."""
    responseId: ResponseId
    """The response's or the invocation's id at the service."""
    agentVersion: AgentVersion
    """The version of the agent that answered, if the service says which."""
    latency: Latency
    """How long the parts of the call took, if the service measured it."""
    requestId: str
    """The service's request id, for its support."""
    output: Any
    """The service's final object (a response, or an invocation's JSON), verbatim."""
    failure: RunFailure
    """Why it did not complete."""
    questions: list[Question]
    """What the agent asks the person; it waits for the answers."""
    notices: list[Notice]
    """What the caller should know about how the call was carried out."""


class Isolation(TypedDict, total=False):
    """Whose state a call may see. Every field is optional; none at all means the caller's own."""

    userKey: IsolationKey
    """`x-agent-user-isolation-key`: partitions by user."""
    chatKey: IsolationKey
    """`x-agent-chat-isolation-key`: partitions by chat."""
    ownershipKey: IsolationKey
    """`x-session-isolation-key`: who may delete a session. Only sessions create and delete send it.
    """
    userIdentity: UserIdentity
    """`x-ms-user-identity`: the delegated end user of a 2.0.0 agent."""
    chat: ChatLabel
    """A label that partitions Cupola's saved state; never sent."""
    model: IsolationModel
    """Forces a model instead of detecting it."""


class ItemsParams(TypedDict, total=False):
    """Whose conversation, and which part of it."""

    target: Target
    """Which agent. Left out on a bound connection only, which has its own."""
    isolation: Isolation
    """Whose conversation."""
    after: str
    """Only the items after the one with this id."""
    limit: int
    """How many at most; 100 when left out, and never more than 1000."""


class ItemsResponse(TypedDict):
    """A part of a conversation, in the service's own shape."""

    data: list[Any]
    """The service's items, verbatim. Empty if the isolation continues no conversation."""
    last_id: Union[str, None]
    """The last one's id: pass it as `after` for more."""
    has_more: bool
    """Whether there are more after `last_id`."""


class KeepWarm(TypedDict):
    """With what a session is kept warm, and for how long."""

    request: WarmRequest
    """What is asked for. Never a turn."""
    everyMs: int
    """How often, in ms: 10 s at least."""
    forMs: int
    """For how long after the last turn, in ms: 24 h at most."""


class LastEvent(TypedDict):
    """How far a client got in a run: `runs/attach` continues after it."""

    runId: RunId
    """The run."""
    number: int
    """The event's number."""


class Latency(TypedDict, total=False):
    """Where a call's time went, up to the beginning of its answer, as the service measured it. All
    times are in ms; what the service does not report is left out.
    """

    sessionStart: SessionStart
    """Whether a sandbox had to be started."""
    platformPreprocessingMs: int
    """The service's own work before the sandbox was asked for."""
    infraSetupMs: int
    """Setting up the sandbox; left out when one was running."""
    containerReadinessMs: int
    """Waiting until the agent in it was ready; left out when one was running."""
    containerResponseMs: int
    """From the request to the agent until its answer began."""
    responseBeginMs: int
    """All of it: from the request's arrival until the answer began."""


class _MonitorEventRequest(TypedDict):
    type: Literal["request"]
    method: str
    """The method."""
    url: str
    """The whole URL."""
    headers: list[HttpHeader]
    """The headers; the token is redacted."""
    curl: str
    """A bash command that repeats it, with the token taken from `$TOKEN`."""


class MonitorEventRequest(_MonitorEventRequest, total=False):
    """An outgoing request, if `debug` was set. May come before `started`."""

    body: str
    """The body, if it is text."""
    bodyFile: str
    """The local file whose bytes are the body."""


class _MonitorEventStarted(TypedDict):
    type: Literal["started"]
    sessionId: SessionId
    """The session."""


class MonitorEventStarted(_MonitorEventStarted, total=False):
    """The first event: which session is read."""

    agent: AgentName
    """The agent's name."""


class _MonitorEventSession(TypedDict):
    type: Literal["session"]
    state: str
    """For example `Running`."""


class MonitorEventSession(_MonitorEventSession, total=False):
    """The session's status: the stream's preamble."""

    timestamp: str
    """When it was reported."""
    agent: str
    """The agent."""
    version: str
    """Its version."""
    lastAccessed: str
    """When the session was last used."""


class _MonitorEventLine(TypedDict):
    type: Literal["line"]
    message: str
    """The text; may hold line feeds and any other character."""


class MonitorEventLine(_MonitorEventLine, total=False):
    """One message of the log."""

    timestamp: str
    """When it was written."""
    stream: str
    """`stdout`, `stderr`, or `status` for the stream's own remarks; left out when the service does not
    say.
    """


class _MonitorEventRaw(TypedDict):
    type: Literal["raw"]
    data: str
    """Its data."""


class MonitorEventRaw(_MonitorEventRaw, total=False):
    """Any other event of the service, verbatim; with `raw`, every event."""

    name: str
    """The service's event name."""


class MonitorEventNotice(TypedDict):
    """Something the caller should know. Reading continues."""

    type: Literal["notice"]
    code: NoticeCode
    """A stable code."""
    message: str
    """For people."""


class MonitorParams(TypedDict, total=False):
    """Which log, and how much of it."""

    target: Target
    """Which agent. Left out on a bound connection only, which has its own."""
    isolation: Isolation
    """Whose session."""
    sessionId: SessionId
    """Which session; the partition's current one when left out."""
    allowSharedSession: bool
    """Read a session that Cupola knows to belong to another partition."""
    follow: bool
    """Keep sending lines as they are written."""
    tail: Tail
    """How many of the last lines to begin with."""
    kind: LogKind
    """Which log: the agent's console or the container's events."""
    raw: bool
    """Send every event of the service as `raw`."""
    debug: bool
    """Send each outgoing request as a `RequestEvent`."""
    partialResultToken: Id
    """Send events as `$/progress` with this token."""


class _MonitorResponse(TypedDict):
    sessionId: SessionId
    """The session whose log it is."""
    count: int
    """How many events of the service were passed on."""


class MonitorResponse(_MonitorResponse, total=False):
    """How it ended."""

    events: list[MonitorEvent]
    """The events and notices, if no token was given to send them with."""


class NoParams(TypedDict):
    """No parameters: `{}`, `null` or left out."""


class Notice(TypedDict):
    """Something the caller should know. The call continues."""

    code: NoticeCode
    """A stable code."""
    message: str
    """For people."""


class PartitionForgetParams(TypedDict, total=False):
    """What to forget: one partition by its id, or those of an agent and an isolation."""

    id: PartitionId
    """From `partitions/list`. Not together with `target`."""
    target: Target
    """The agent; of all its versions if it names none."""
    isolation: Isolation
    """Whose state; the state without isolation when left out."""


class PartitionForgetResponse(TypedDict):
    """What was forgotten."""

    forgotten: int
    """The number of partitions."""


class _PartitionInfo(TypedDict):
    id: PartitionId
    """The id to forget it by."""
    agent: str
    """The agent, as saved state names it."""
    own: bool
    """Whether it belongs to the given isolation."""


class PartitionInfo(_PartitionInfo, total=False):
    """What one partition continues."""

    version: AgentVersion
    """The version that was asked for, if one was."""
    sessionId: SessionId
    """The session the next call continues."""
    conversationId: ConversationId
    """The conversation the next call continues."""
    contextId: ConversationId
    """The context the next call by A2A continues."""
    updatedAt: str
    """When it last changed. RFC 3339, UTC."""


class PartitionListParams(TypedDict, total=False):
    """Which partitions. All, when nothing is given."""

    target: Target
    """Only those of this agent."""
    isolation: Isolation
    """Mark those of this isolation as `own`; `{}` means calls without isolation. Needs `target`."""
    anyAgent: bool
    """Those of every agent that is in the same place as `target`: the same emulator, the same project,
    or this machine for a local agent. Needs `target`; cannot be combined with `isolation`, which
    belongs to one agent.
    """
    limit: int
    """The largest number of partitions to return, at least 1. It is 1000 if only `after` is given, and
    a larger number counts as 1000.
    """
    after: str
    """Only those after this place in the order of pages: `next` of the page before, which was read
    with the same `target`, `isolation` and `anyAgent`.
    """


class _PartitionListResponse(TypedDict):
    partitions: list[PartitionInfo]
    """The most recently used first; in a page, in the order of their keys. A bound connection sees
    only its own.
    """


class PartitionListResponse(_PartitionListResponse, total=False):
    """What is saved."""

    next: str
    """Pass this as `after` to get the next page. The last page does not have it."""


class _ProgramInfo(TypedDict):
    name: str
    """Its name."""


class ProgramInfo(_ProgramInfo, total=False):
    """A program's name and version."""

    version: str
    """Its version."""


class ProgressParams(TypedDict):
    """`$/progress`."""

    token: Id
    """The caller's token."""
    value: Any
    """What happened."""


class _Question(TypedDict):
    id: str
    """The agent's own id of the question. `items` with an item `mcp_approval_response` names it as
    `approval_request_id`.
    """
    kind: QuestionKind
    """What is asked."""


class Question(_Question, total=False):
    """The agent waits for the person. The run that asked has ended; the answer is another `invoke` in
    the same partition.
    """

    message: str
    """What the agent says about it, for people."""
    tool: str
    """The tool that the agent wants to call."""
    server: str
    """The server that has the tool, or that wants consent, by its label."""
    arguments: str
    """The arguments of the tool's call, as the agent wrote them: usually JSON."""
    url: str
    """Where the person gives consent. Always `https`; show it whole, and open it only if the person
    says so.
    """


class QueuePlace(TypedDict):
    """Where a call is in a queue."""

    ahead: int
    """How many calls of this daemon are ahead of it. 0 while only a call of another process is."""
    waitsFor: str
    """What it waits for, for people."""


class RecentError(TypedDict):
    """A call that failed."""

    at: str
    """When. RFC 3339, UTC."""
    method: str
    """The method that was called."""
    kind: ErrorKind
    """What went wrong, in one word."""
    message: str
    """What happened, for people: at most 300 characters."""


class _RequestEventRequest(TypedDict):
    type: Literal["request"]
    method: str
    """The method."""
    url: str
    """The whole URL."""
    headers: list[HttpHeader]
    """The headers; the token is redacted."""
    curl: str
    """A bash command that repeats it, with the token taken from `$TOKEN`."""


class RequestEventRequest(_RequestEventRequest, total=False):
    """An outgoing request."""

    body: str
    """The body, if it is text."""
    bodyFile: str
    """The local file whose bytes are the body."""


class _RunAttachParams(TypedDict):
    runId: RunId
    """The run."""


class RunAttachParams(_RunAttachParams, total=False):
    """Which run, and where to start."""

    isolation: Isolation
    """Whose run it is, on a bound connection: its own isolation, or on a gateway the label of the chat
    that the run belongs to.
    """
    after: int
    """The last event number this client has seen; everything when left out."""
    textOnly: bool
    """Leave out `output` events, as in `invoke`."""
    partialResultToken: Id
    """Send events as `$/progress` with this token."""


class _RunFailure(TypedDict):
    kind: ErrorKind
    """The kind of failure."""
    message: str
    """What happened, for people."""


class RunFailure(_RunFailure, total=False):
    """Why a run did not complete."""

    serviceCode: str
    """The service's or the agent's own code."""
    turn: Turn
    """Whether the turn ran. Never `notRun`: the service had accepted it. A daemon older than this
    field leaves it out.
    """
    hint: str
    """What to do next."""


class _RunInfo(TypedDict):
    runId: RunId
    """Its id."""
    agent: str
    """The agent, as saved state names it."""
    status: RunState
    """Running, or how it ended."""
    startedAt: str
    """When the request arrived."""
    lastEvent: int
    """Number of its newest event; 0 before the first."""
    detached: bool
    """Whether it keeps running without any client."""
    clients: int
    """The number of clients that follow it."""


class RunInfo(_RunInfo, total=False):
    """The status of a run. Times are RFC 3339, UTC."""

    partitionId: PartitionId
    """Whose it is: the id of its partition, as `partitions/list` shows it, once that is known."""
    question: str
    """The first words of what was asked. Not known of a run that an earlier daemon began: prompts are
    not saved.
    """
    questions: list[Question]
    """What the agent asked in this run and nobody has answered yet. Answer it with `invoke`.
    `runs/list` leaves it out.
    """
    queue: QueuePlace
    """Where it waits, until it is sent."""
    sessionId: SessionId
    """The session that answers, once that is known."""
    conversationId: ConversationId
    """The conversation of this turn, once that is known."""
    responseId: ResponseId
    """The response's or the invocation's id at the service, once that is known."""
    agentVersion: AgentVersion
    """The version of the agent that answers, once that is known."""
    latency: Latency
    """How long the parts of the call took up to the answer's beginning, if the service measured it.
    """
    endedAt: str
    """When it ended."""
    survives: bool
    """Whether it outlives the daemon: the next one continues it."""
    reason: str
    """Why a run that an earlier daemon left has no answer."""


class RunListParams(TypedDict, total=False):
    """Which runs. All, when nothing is given."""

    target: Target
    """Only those of this agent."""
    isolation: Isolation
    """Only those of this isolation; `{}` means calls without isolation. Needs `target`."""
    anyAgent: bool
    """Those of every agent that is in the same place as `target`: the same emulator, the same project,
    or this machine for a local agent. Needs `target`; cannot be combined with `isolation`, which
    belongs to one agent.
    """
    all: bool
    """Also runs that earlier daemons left when they ended, which are kept for a day, and those whose
    answer only the service still has.
    """


class RunListResponse(TypedDict):
    """The runs."""

    runs: list[RunInfo]
    """Newest first."""


class _RunParams(TypedDict):
    runId: RunId
    """From an event, from `runs/list`, or from a response."""


class RunParams(_RunParams, total=False):
    """Which run."""

    isolation: Isolation
    """Whose run it is, on a bound connection: its own isolation, or on a gateway the label of the chat
    that the run belongs to.
    """


class _SentRequest(TypedDict):
    method: str
    """The method."""
    url: str
    """The whole URL."""
    headers: list[HttpHeader]
    """The headers; the token is redacted."""
    curl: str
    """A bash command that repeats it, with the token taken from `$TOKEN`."""


class SentRequest(_SentRequest, total=False):
    """An outgoing request. Its `Debug` leaves out what may be private: keys and the prompt."""

    body: str
    """The body, if it is text."""
    bodyFile: str
    """The local file whose bytes are the body."""


class _Session(TypedDict):
    agent_session_id: str
    """The session's id."""


class Session(_Session, total=False):
    """A session as the service describes it, in the service's own field names. Times are Unix seconds,
    UTC. Fields a newer service adds are kept.
    """

    version_indicator: VersionIndicator
    """The version it is bound to."""
    status: str
    """`creating`, `active`, `idle`, `updating`, `failed`, `deleting`, `deleted` or `expired`."""
    created_at: int
    """When it was created."""
    last_accessed_at: int
    """When it was last used."""
    expires_at: int
    """When it expires if it is not used."""


class SessionCreateParams(TypedDict, total=False):
    """What to create."""

    target: Target
    """Which agent; its `version` is the one the session is bound to. Left out on a bound connection
    only, which has its own.
    """
    isolation: Isolation
    """Whose session. An ownership key given here is remembered for `sessions/delete`."""
    sessionId: SessionId
    """Its id; the service generates one when left out."""
    debug: bool
    """Send each outgoing request as a `RequestEvent`."""
    partialResultToken: Id
    """Send events as `$/progress` with this token."""


class SessionDeleteResponse(TypedDict):
    """What was deleted."""

    sessionId: SessionId
    """The session."""


class SessionListParams(TypedDict, total=False):
    """Which sessions to list. The daemon follows the service's pages until it has `limit` sessions.
    """

    target: Target
    """Which agent. Left out on a bound connection only, which has its own."""
    isolation: Isolation
    """Whose sessions."""
    limit: int
    """How many at most; all when left out."""
    order: Order
    """Sort order; the service's own when left out."""
    after: SessionId
    """Only those after this session in the order."""
    debug: bool
    """Send each outgoing request as a `RequestEvent`."""
    partialResultToken: Id
    """Send events as `$/progress` with this token."""


class SessionListResponse(TypedDict):
    """A list in the service's own shape."""

    data: list[Session]
    """The sessions."""
    first_id: Union[str, None]
    """The first one's id."""
    last_id: Union[str, None]
    """The last one's id: pass it as `after` for more."""
    has_more: bool
    """Whether there are more after `last_id`."""


class SessionParams(TypedDict, total=False):
    """Names one session. When `sessionId` is left out, the partition's current one is meant."""

    target: Target
    """Which agent. Left out on a bound connection only, which has its own."""
    isolation: Isolation
    """Whose session."""
    sessionId: SessionId
    """Which session; the partition's current one when left out."""
    allowSharedSession: bool
    """Allow a session that Cupola knows to belong to another partition."""
    debug: bool
    """Send each outgoing request as a `RequestEvent`."""
    partialResultToken: Id
    """Send events as `$/progress` with this token."""


class SessionStopResponse(TypedDict):
    """What stopping did."""

    sessionId: SessionId
    """The session."""
    alreadyStopped: bool
    """Whether it was already stopped."""


class _SessionUse(TypedDict):
    partition: PartitionId
    """The partition. The isolation keys themselves are not kept."""
    agent: str
    """The agent, as saved state names it."""
    runs: int
    """Runs under way in the partition."""
    updatedAt: str
    """When what is saved changed last. RFC 3339, UTC."""


class SessionUse(_SessionUse, total=False):
    """A session that a partition continues."""

    sessionId: SessionId
    """The session the next call continues."""


class _SessionUseParams(TypedDict):
    sessionId: SessionId
    """The session. It must exist for this isolation."""


class SessionUseParams(_SessionUseParams, total=False):
    """Which session to use from now on."""

    target: Target
    """Which agent. Left out on a bound connection only, which has its own."""
    isolation: Isolation
    """Whose session."""
    allowSharedSession: bool
    """Allow a session that Cupola knows to belong to another partition."""
    debug: bool
    """Send each outgoing request as a `RequestEvent`."""
    partialResultToken: Id
    """Send events as `$/progress` with this token."""


class _StatusDetails(TypedDict):
    runs: list[RunInfo]
    """Runs under way and those that ended recently, newest first."""
    sessions: list[SessionUse]
    """The sessions that partitions continue, the latest changed first: at most 100."""
    tokens: list[Token]
    """The tokens held, and when they expire."""
    warm: list[WarmSession]
    """The sessions that are kept ready (`warm` of `invoke`)."""
    errors: list[RecentError]
    """The latest calls that failed, newest first: at most 32."""


class StatusDetails(_StatusDetails, total=False):
    """What the daemon is doing. No isolation key and no token is in it."""

    upstream: list[UpstreamConnection]
    """The connections to services and to agents on this machine that are open; missing where the
    system does not tell.
    """


class _TargetEmulator(TypedDict):
    kind: Literal["emulator"]


class TargetEmulator(_TargetEmulator, total=False):
    """The emulator: the daemon's own, or one that listens at `url`."""

    agent: AgentName
    """The emulated agent; `notes` when left out."""
    version: AgentVersion
    """A concrete version of it; the agent's own selection when left out."""
    url: EmulatorUrl
    """A separately started emulator; the daemon's own when left out."""


class _TargetProject(TypedDict):
    kind: Literal["project"]
    endpoint: ProjectEndpoint
    """The project's endpoint."""
    agent: AgentName
    """The agent's name."""


class TargetProject(_TargetProject, total=False):
    """A deployed agent of a Foundry project."""

    version: AgentVersion
    """A concrete version of it; the agent's own selection when left out."""


class _TargetAgentEndpoint(TypedDict):
    kind: Literal["agentEndpoint"]
    url: AgentEndpoint
    """The agent's endpoint."""


class TargetAgentEndpoint(_TargetAgentEndpoint, total=False):
    """A deployed agent by its own URL, which also says which protocol to speak."""

    version: AgentVersion
    """A concrete version of it; the agent's own selection when left out."""


class _TargetLocal(TypedDict):
    kind: Literal["local"]


class TargetLocal(_TargetLocal, total=False):
    """An agent's container on this machine, as a developer runs it: no service in front of it, so no
    token, no sessions, files or logs, and no isolation.
    """

    port: int
    """Where it listens on 127.0.0.1; 8088 when left out."""
    agent: AgentName
    """What to call it; one agent answers at a port, whatever its name."""


class _TargetDirectory(TypedDict):
    kind: Literal["directory"]
    path: AbsolutePath
    """Where to look for `azure.yaml`, here and upwards."""


class TargetDirectory(_TargetDirectory, total=False):
    """The agent of an azd project on this machine."""

    agent: ServiceName
    """Which agent; the project's only one when left out."""
    version: AgentVersion
    """A concrete version of it; the agent's own selection when left out."""
    environment: EnvironmentName
    """The azd environment; the project's default one when left out."""
    endpoint: ProjectEndpoint
    """The project's endpoint, before what any file says."""
    fallbackEndpoint: ProjectEndpoint
    """The project's endpoint where no file names one: the caller's `FOUNDRY_PROJECT_ENDPOINT`."""
    azdConfigDirectory: AbsolutePath
    """azd's own directory with the user's `config.json`; not read when left out."""


class _TargetGateway(TypedDict):
    kind: Literal["gateway"]


class TargetGateway(_TargetGateway, total=False):
    """An agent that a gateway (`cupola gateway`) offers under a name of its own. Only a gateway knows
    such agents.
    """

    agent: AgentName
    """The name in the gateway's configuration; the only agent that the caller may use when left out.
    """


class _TelemetryStatus(TypedDict):
    sentSpans: int
    """Spans that the collector has taken."""
    droppedSpans: int
    """Spans that were dropped, because the collector did not take them in time or at all."""


class TelemetryStatus(_TelemetryStatus, total=False):
    """How traces and metrics leave the daemon."""

    collector: str
    """Where spans are sent."""
    metrics: str
    """Where Prometheus can read metrics; missing while nothing is served."""
    error: str
    """What does not work at the moment."""


class _Token(TypedDict):
    credential: str
    """Where it came from: a credential's kind, or `emulator`."""
    scope: str
    """What it is for."""
    state: TokenState
    """Its state."""


class Token(_Token, total=False):
    """The status of one token. Times are RFC 3339, UTC."""

    tenantId: str
    """The tenant, if the configuration names one."""
    expiresAt: str
    """When it expires. A token in use is replaced some minutes earlier."""
    error: str
    """Why the last attempt to get one failed, if it did."""


class _Tree(TypedDict):
    files: int
    """Files transferred."""
    directories: int
    """Directories traversed, including the first."""


class Tree(_Tree, total=False):
    """What was transferred of a directory, file by file."""

    failures: list[TreeFailure]
    """What could not be transferred, and why."""
    skipped: list[str]
    """What was left out on purpose: links that lead out of the directory or to a directory, devices
    and the like. On a bound connection no link is followed.
    """


class TreeFailure(TypedDict):
    """One file or directory that could not be transferred."""

    path: str
    """The file: the local one of an upload, the session's of a download."""
    kind: ErrorKind
    """In one word."""
    message: str
    """What happened, for people."""


class UpstreamConnection(TypedDict):
    """An open connection."""

    peer: str
    """The address and port at the other end."""


class VersionIndicator(TypedDict):
    """Which version a session is bound to."""

    type: str
    """Always `version_ref` so far."""
    agent_version: str
    """The concrete version."""


class Warm(TypedDict, total=False):
    """How a partition's session is kept ready after this turn. Experimental, and it costs: a sandbox
    that does not go idle is paid for.
    """

    keep: KeepWarm
    """Ask the service for something now and then, so that the session may not go idle."""
    preCreate: bool
    """Make the partition's next session ahead: the next call that needs a new one gets it. It counts
    among the project's sessions.
    """


class _WarmSession(TypedDict):
    partition: PartitionId
    """The partition."""
    agent: str
    """The agent, as saved state names it."""
    sessionId: SessionId
    """The session."""
    asked: int
    """How often the service was asked since the last turn."""


class WarmSession(_WarmSession, total=False):
    """A session that is kept ready."""

    keep: KeepWarm
    """How it is kept warm; missing if only the next one is made ahead."""
    askedAt: str
    """When it was asked last. RFC 3339, UTC."""
    error: str
    """Why that failed, if it did."""
    nextSessionId: SessionId
    """The session that was made ahead."""

FileEvent: TypeAlias = Union[
    FileEventRequest,
    FileEventProgress,
]
"""What one `$/progress` of a transfer says."""

InvokeEvent: TypeAlias = Union[
    InvokeEventStarted,
    InvokeEventRequest,
    InvokeEventHttpHead,
    InvokeEventHttpBody,
    InvokeEventTextDelta,
    InvokeEventQuestion,
    InvokeEventOutput,
    InvokeEventNotice,
    InvokeEventGap,
    InvokeEventSnapshot,
    InvokeEventCompleted,
    InvokeEventFailed,
    InvokeEventIncomplete,
    InvokeEventCancelled,
    InvokeEventTruncated,
]
"""The value of one `$/progress` notification of an `invoke`."""

MonitorEvent: TypeAlias = Union[
    MonitorEventRequest,
    MonitorEventStarted,
    MonitorEventSession,
    MonitorEventLine,
    MonitorEventRaw,
    MonitorEventNotice,
]
"""The value of one `$/progress` notification of a `monitor`. Receivers skip types they do not know.
Times are RFC 3339, as the service formats them.
"""

RequestEvent: TypeAlias = Union[
    RequestEventRequest,
]
"""The value of a `$/progress` notification with `debug`; it has the same shape for every method."""

Target: TypeAlias = Union[
    TargetEmulator,
    TargetProject,
    TargetAgentEndpoint,
    TargetLocal,
    TargetDirectory,
    TargetGateway,
]
"""Which agent a call goes to.

```json
{"kind": "emulator", "agent": "notes"}
{"kind": "project", "endpoint": "https://acct.services.ai.azure.com/api/projects/p", "agent": "my-agent", "version": "3"}
{"kind": "agentEndpoint", "url": "https://acct.services.ai.azure.com/api/projects/p/agents/my-agent/endpoint/protocols/a2a"}
{"kind": "local", "port": 8088}
{"kind": "directory", "path": "/home/ada/shop/src"}
{"kind": "gateway", "agent": "support"}
```
"""

ERROR_CODES: Final[Mapping[ErrorKind, int]] = {
    "parseError": -32700,
    "invalidRequest": -32600,
    "methodNotFound": -32601,
    "invalidParams": -32602,
    "internalError": -32603,
    "cancelled": -32800,
    "authenticationFailed": 1001,
    "forbidden": 1002,
    "impersonationNotPermitted": 1003,
    "isolationKeyRequired": 1004,
    "isolationMismatch": 1005,
    "foreignSession": 1006,
    "notSessionOwner": 1007,
    "isolationNotSupported": 1008,
    "pooledSession": 1009,
    "sessionNotFound": 1020,
    "agentNotFound": 1021,
    "notFound": 1022,
    "conflict": 1023,
    "conversationLocked": 1024,
    "badRequest": 1025,
    "sessionNotReady": 1040,
    "sandboxIdle": 1041,
    "proxyTimeout": 1042,
    "agentVersionNotReady": 1043,
    "agentVersionFailed": 1044,
    "quotaExceeded": 1045,
    "rateLimited": 1046,
    "serviceUnavailable": 1047,
    "serviceError": 1048,
    "unexpectedAnswer": 1049,
    "connectionFailed": 1050,
    "timedOut": 1051,
    "certificateNotTrusted": 1053,
    "versionMismatch": 1054,
    "agentFailed": 1052,
    "hostNotAllowed": 1060,
    "outOfBounds": 1061,
    "overloaded": 1062,
    "busy": 1063,
    "shuttingDown": 1064,
    "stateUnavailable": 1065,
    "emulatorFailed": 1066,
    "configurationInvalid": 1068,
    "clientStalled": 1069,
    "daemonGone": 1067,
    "agentNotChosen": 1080,
    "projectNotResolved": 1081,
    "projectFileInvalid": 1082,
    "fileTooLarge": 1090,
    "localFile": 1091,
    "notOffered": 1092,
}
"""The JSON-RPC error code of each kind of failure."""

RETRYABLE: Final[frozenset[ErrorKind]] = frozenset([
    "conversationLocked",
    "sessionNotReady",
    "sandboxIdle",
    "agentVersionNotReady",
    "quotaExceeded",
    "rateLimited",
    "serviceUnavailable",
    "connectionFailed",
    "timedOut",
    "overloaded",
    "busy",
    "shuttingDown",
    "daemonGone",
])
"""The kinds after which the same call can succeed later."""


class Call(Protocol):
    """A call that waits for its result: the method's name, then its parameters."""

    @overload
    def __call__(self, method: Literal["initialize"], params: InitializeParams, /) -> InitializeResponse: ...

    @overload
    def __call__(self, method: Literal["shutdown"], params: NoParams, /) -> None: ...

    @overload
    def __call__(self, method: Literal["rpc.discover"], params: NoParams, /) -> OpenRpcDocument: ...

    @overload
    def __call__(self, method: Literal["invoke"], params: InvokeParams, /) -> InvokeResponse: ...

    @overload
    def __call__(self, method: Literal["runs/list"], params: RunListParams, /) -> RunListResponse: ...

    @overload
    def __call__(self, method: Literal["runs/show"], params: RunParams, /) -> RunInfo: ...

    @overload
    def __call__(self, method: Literal["runs/attach"], params: RunAttachParams, /) -> InvokeResponse: ...

    @overload
    def __call__(self, method: Literal["runs/cancel"], params: RunParams, /) -> RunInfo: ...

    @overload
    def __call__(self, method: Literal["sessions/create"], params: SessionCreateParams, /) -> Session: ...

    @overload
    def __call__(self, method: Literal["sessions/list"], params: SessionListParams, /) -> SessionListResponse: ...

    @overload
    def __call__(self, method: Literal["sessions/show"], params: SessionParams, /) -> Session: ...

    @overload
    def __call__(self, method: Literal["sessions/use"], params: SessionUseParams, /) -> Session: ...

    @overload
    def __call__(self, method: Literal["sessions/stop"], params: SessionParams, /) -> SessionStopResponse: ...

    @overload
    def __call__(self, method: Literal["sessions/delete"], params: SessionParams, /) -> SessionDeleteResponse: ...

    @overload
    def __call__(self, method: Literal["files/read"], params: FileReadParams, /) -> FileReadResponse: ...

    @overload
    def __call__(self, method: Literal["files/write"], params: FileWriteParams, /) -> FileWriteResponse: ...

    @overload
    def __call__(self, method: Literal["files/upload"], params: FileUploadParams, /) -> FileTransferResponse: ...

    @overload
    def __call__(self, method: Literal["files/download"], params: FileDownloadParams, /) -> FileTransferResponse: ...

    @overload
    def __call__(self, method: Literal["files/list"], params: FileListParams, /) -> FileListResponse: ...

    @overload
    def __call__(self, method: Literal["files/stat"], params: FilePathParams, /) -> FileEntry: ...

    @overload
    def __call__(self, method: Literal["files/mkdir"], params: FilePathParams, /) -> FilePathResponse: ...

    @overload
    def __call__(self, method: Literal["files/delete"], params: FileDeleteParams, /) -> FilePathResponse: ...

    @overload
    def __call__(self, method: Literal["monitor"], params: MonitorParams, /) -> MonitorResponse: ...

    @overload
    def __call__(self, method: Literal["agents/list"], params: AgentListParams, /) -> AgentListResponse: ...

    @overload
    def __call__(self, method: Literal["agents/show"], params: AgentShowParams, /) -> AgentShowResponse: ...

    @overload
    def __call__(self, method: Literal["partitions/list"], params: PartitionListParams, /) -> PartitionListResponse: ...

    @overload
    def __call__(self, method: Literal["partitions/forget"], params: PartitionForgetParams, /) -> PartitionForgetResponse: ...

    @overload
    def __call__(self, method: Literal["partitions/import"], params: ImportParams, /) -> ImportResponse: ...

    @overload
    def __call__(self, method: Literal["chats/save"], params: ChatSaveParams, /) -> None: ...

    @overload
    def __call__(self, method: Literal["chats/list"], params: ChatParams, /) -> ChatListResponse: ...

    @overload
    def __call__(self, method: Literal["chats/forget"], params: ChatForgetParams, /) -> ChatForgetResponse: ...

    @overload
    def __call__(self, method: Literal["chats/items"], params: ItemsParams, /) -> ItemsResponse: ...

    @overload
    def __call__(self, method: Literal["daemon/status"], params: DaemonStatusParams, /) -> DaemonStatusResponse: ...

    @overload
    def __call__(self, method: Literal["daemon/doctor"], params: DoctorParams, /) -> DoctorResponse: ...

    @overload
    def __call__(self, method: Literal["daemon/stop"], params: DaemonStopParams, /) -> DaemonStopResponse: ...

    @overload
    def __call__(self, method: Literal["auth/status"], params: NoParams, /) -> AuthStatusResponse: ...

    @overload
    def __call__(self, method: Literal["auth/clear"], params: NoParams, /) -> AuthClearResponse: ...


class AsyncCall(Protocol):
    """The same call for asyncio."""

    @overload
    def __call__(self, method: Literal["initialize"], params: InitializeParams, /) -> Awaitable[InitializeResponse]: ...

    @overload
    def __call__(self, method: Literal["shutdown"], params: NoParams, /) -> Awaitable[None]: ...

    @overload
    def __call__(self, method: Literal["rpc.discover"], params: NoParams, /) -> Awaitable[OpenRpcDocument]: ...

    @overload
    def __call__(self, method: Literal["invoke"], params: InvokeParams, /) -> Awaitable[InvokeResponse]: ...

    @overload
    def __call__(self, method: Literal["runs/list"], params: RunListParams, /) -> Awaitable[RunListResponse]: ...

    @overload
    def __call__(self, method: Literal["runs/show"], params: RunParams, /) -> Awaitable[RunInfo]: ...

    @overload
    def __call__(self, method: Literal["runs/attach"], params: RunAttachParams, /) -> Awaitable[InvokeResponse]: ...

    @overload
    def __call__(self, method: Literal["runs/cancel"], params: RunParams, /) -> Awaitable[RunInfo]: ...

    @overload
    def __call__(self, method: Literal["sessions/create"], params: SessionCreateParams, /) -> Awaitable[Session]: ...

    @overload
    def __call__(self, method: Literal["sessions/list"], params: SessionListParams, /) -> Awaitable[SessionListResponse]: ...

    @overload
    def __call__(self, method: Literal["sessions/show"], params: SessionParams, /) -> Awaitable[Session]: ...

    @overload
    def __call__(self, method: Literal["sessions/use"], params: SessionUseParams, /) -> Awaitable[Session]: ...

    @overload
    def __call__(self, method: Literal["sessions/stop"], params: SessionParams, /) -> Awaitable[SessionStopResponse]: ...

    @overload
    def __call__(self, method: Literal["sessions/delete"], params: SessionParams, /) -> Awaitable[SessionDeleteResponse]: ...

    @overload
    def __call__(self, method: Literal["files/read"], params: FileReadParams, /) -> Awaitable[FileReadResponse]: ...

    @overload
    def __call__(self, method: Literal["files/write"], params: FileWriteParams, /) -> Awaitable[FileWriteResponse]: ...

    @overload
    def __call__(self, method: Literal["files/upload"], params: FileUploadParams, /) -> Awaitable[FileTransferResponse]: ...

    @overload
    def __call__(self, method: Literal["files/download"], params: FileDownloadParams, /) -> Awaitable[FileTransferResponse]: ...

    @overload
    def __call__(self, method: Literal["files/list"], params: FileListParams, /) -> Awaitable[FileListResponse]: ...

    @overload
    def __call__(self, method: Literal["files/stat"], params: FilePathParams, /) -> Awaitable[FileEntry]: ...

    @overload
    def __call__(self, method: Literal["files/mkdir"], params: FilePathParams, /) -> Awaitable[FilePathResponse]: ...

    @overload
    def __call__(self, method: Literal["files/delete"], params: FileDeleteParams, /) -> Awaitable[FilePathResponse]: ...

    @overload
    def __call__(self, method: Literal["monitor"], params: MonitorParams, /) -> Awaitable[MonitorResponse]: ...

    @overload
    def __call__(self, method: Literal["agents/list"], params: AgentListParams, /) -> Awaitable[AgentListResponse]: ...

    @overload
    def __call__(self, method: Literal["agents/show"], params: AgentShowParams, /) -> Awaitable[AgentShowResponse]: ...

    @overload
    def __call__(self, method: Literal["partitions/list"], params: PartitionListParams, /) -> Awaitable[PartitionListResponse]: ...

    @overload
    def __call__(self, method: Literal["partitions/forget"], params: PartitionForgetParams, /) -> Awaitable[PartitionForgetResponse]: ...

    @overload
    def __call__(self, method: Literal["partitions/import"], params: ImportParams, /) -> Awaitable[ImportResponse]: ...

    @overload
    def __call__(self, method: Literal["chats/save"], params: ChatSaveParams, /) -> Awaitable[None]: ...

    @overload
    def __call__(self, method: Literal["chats/list"], params: ChatParams, /) -> Awaitable[ChatListResponse]: ...

    @overload
    def __call__(self, method: Literal["chats/forget"], params: ChatForgetParams, /) -> Awaitable[ChatForgetResponse]: ...

    @overload
    def __call__(self, method: Literal["chats/items"], params: ItemsParams, /) -> Awaitable[ItemsResponse]: ...

    @overload
    def __call__(self, method: Literal["daemon/status"], params: DaemonStatusParams, /) -> Awaitable[DaemonStatusResponse]: ...

    @overload
    def __call__(self, method: Literal["daemon/doctor"], params: DoctorParams, /) -> Awaitable[DoctorResponse]: ...

    @overload
    def __call__(self, method: Literal["daemon/stop"], params: DaemonStopParams, /) -> Awaitable[DaemonStopResponse]: ...

    @overload
    def __call__(self, method: Literal["auth/status"], params: NoParams, /) -> Awaitable[AuthStatusResponse]: ...

    @overload
    def __call__(self, method: Literal["auth/clear"], params: NoParams, /) -> Awaitable[AuthClearResponse]: ...
