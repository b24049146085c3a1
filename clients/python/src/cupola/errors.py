"""Every failure as an exception with a stable `kind`, the words of the daemon's own `error.data`.

Match on the class for what to do, on `kind` for which it was exactly. A kind that a newer daemon adds arrives as a
plain `CupolaError`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ._display import harmless
from .protocol import Notice, Question, Turn


class CupolaError(Exception):
    """A call that failed. Attributes the daemon did not send are `None`.

    >>> try:
    ...     client.invoke("hello", session_id="short").text()
    ... except cupola.CupolaError as error:
    ...     print(error.kind, error.retryable)
    invalidParams False
    """

    kind: str
    """What went wrong, in one word."""
    code: int | None
    """The JSON-RPC error code."""
    retryable: bool
    """Can the same call succeed later, with nothing changed? An invoke only if its turn did not run."""
    turn: Turn | None
    """Whether the turn ran, when an invoke failed: `notRun`, `mayHaveRun` (find out before you send it again; `hint` says
    where) or `ran`."""
    retry_after_ms: int | None
    """When to try again, in ms, if the service said so."""
    http_status: int | None
    """The service's HTTP status."""
    service_code: str | None
    """The service's own code."""
    request_id: str | None
    """The service's request id, for its support."""
    hint: str | None
    """What to do next."""
    choices: tuple[str, ...]
    """What could have been named, when nothing was."""
    run_id: str | None
    """The run, when the failure is one of a run that had begun."""
    notices: tuple[Notice, ...]
    """What happened before the failure, for example that a saved session was replaced."""

    def __init__(
        self, message: str, *, kind: str = "unknown", code: int | None = None, data: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        data = data or {}
        self.kind = data.get("kind", kind)
        self.code = code
        self.retryable = data.get("retryable", False)
        self.turn = data.get("turn")
        self.retry_after_ms = data.get("retryAfterMs")
        self.http_status = data.get("httpStatus")
        self.service_code = data.get("serviceCode")
        self.request_id = data.get("requestId")
        self.hint = data.get("hint")
        self.choices = tuple(data.get("choices", ()))
        self.run_id = data.get("runId")
        self.notices = tuple(data.get("notices", ()))

    @property
    def message(self) -> str:
        """What happened, for people, without the hint."""
        return str(self.args[0])

    def __str__(self) -> str:
        """The message and the hint for people. Nothing in it acts on a terminal, and no line of the message passes for
        the hint; `message` and `hint` are what the daemon said."""
        message = harmless(self.message).replace("\n", "\n  ")
        return f"{message}\nhint: {harmless(str(self.hint))}" if self.hint else message


class AuthenticationError(CupolaError):
    """No credential gave a token, or the service refused it."""


class IsolationError(CupolaError):
    """The isolation that was given, or the binding of the connection, does not allow this."""


class NotFoundError(CupolaError):
    """No such session, agent, run, file or other thing, for this caller."""


class InvalidParamsError(CupolaError):
    """A parameter is missing or breaks its rule."""


class CallCancelled(CupolaError):
    """The call was cancelled, by this client or by another one."""


class TimedOut(CupolaError):
    """The call's own time limit passed."""


class ConnectionLost(CupolaError):
    """The daemon went away during the call; what became of the call is not known. The next call connects again."""

    def __init__(self, message: str, *, turn: Turn | None = None) -> None:
        data: dict[str, Any] = {"retryable": turn is None or turn == "notRun", "turn": turn}
        if turn == "mayHaveRun":
            data["hint"] = (
                "the turn may have run; look before you send it again: `runs.list()` has the runs if the daemon is still "
                "there, `monitor()` shows what the agent did"
            )
        super().__init__(message, kind="connectionLost", data=data)


class DaemonNotFound(CupolaError):
    """There is no daemon, and none could be started."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, kind="daemonNotFound")
        self.hint = hint


class RunFailed(CupolaError):
    """A run took place and did not complete; `status` says how it ended, `text` how far the answer came."""

    def __init__(self, status: str, text: str, run_id: str, failure: Mapping[str, Any] | None) -> None:
        failure = failure or {}
        super().__init__(failure.get("message", f"the run ended as {status}"), kind=status, data=failure)
        self.status = status
        self.text = text
        self.run_id = run_id


class AgentAsks(CupolaError):
    """The agent waits for an answer: `questions` says what it asks, `text` is what it has said so far. A tool call that needs
    approval is answered with `client.invoke([cupola.approval(question["id"], True)])`; after a consent, send the input again.
    """

    def __init__(self, text: str, run_id: str, questions: Sequence[Question]) -> None:
        asked = ", ".join(
            f"to call the tool {question.get('tool', '')}" if question["kind"] == "approval" else "for consent"
            for question in questions
        )
        super().__init__(f"the agent asks {asked} and waits for the answer", kind="agentAsks")
        self.text = text
        self.run_id = run_id
        self.questions = tuple(questions)


_CLASSES: dict[str, type[CupolaError]] = {
    "authenticationFailed": AuthenticationError,
    "cancelled": CallCancelled,
    "timedOut": TimedOut,
    **dict.fromkeys(("invalidParams", "invalidRequest", "badRequest"), InvalidParamsError),
    **dict.fromkeys(("sessionNotFound", "agentNotFound", "notFound"), NotFoundError),
    **dict.fromkeys(
        (
            "impersonationNotPermitted",
            "isolationKeyRequired",
            "isolationMismatch",
            "foreignSession",
            "pooledSession",
            "notSessionOwner",
            "isolationNotSupported",
            "outOfBounds",
        ),
        IsolationError,
    ),
}


def from_wire(error: Mapping[str, Any]) -> CupolaError:
    """The exception for a JSON-RPC error object."""
    data = error.get("data")
    data = data if isinstance(data, Mapping) else {}
    made = _CLASSES.get(str(data.get("kind")), CupolaError)
    return made(str(error.get("message", "the daemon gave no reason")), code=error.get("code"), data=data)
