"""What goes into a call's `params`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .isolation import Isolation
from .protocol import Target


class Scope:
    """The agent and the isolation that calls are for; nothing on a bound connection, where the daemon knows both."""

    __slots__ = ("target", "isolation")

    def __init__(self, target: Target | None, isolation: Isolation | None) -> None:
        self.target = target
        self.isolation = isolation

    def params(self) -> dict[str, Any]:
        """As they travel."""
        isolation = {"isolation": self.isolation._wire()} if self.isolation is not None else {}
        return {**self.agent(), **isolation}

    def agent(self) -> dict[str, Any]:
        """The agent alone, for calls that read no user's state."""
        return {"target": self.target} if self.target is not None else {}


def approval(id: str, allow: bool) -> dict[str, Any]:
    """The input item that allows or refuses, once, the tool call of the question with this id.

    >>> cupola.approval("mcpr_1", True)["approve"]
    True
    """
    return {"type": "mcp_approval_response", "approval_request_id": id, "approve": allow}


def given(**fields: Any) -> dict[str, Any]:
    """The fields the caller gave, in the wire's spelling: `session_id` travels as `sessionId`."""
    return {_camel(name): value for name, value in fields.items() if value is not None and value is not False}


def milliseconds(seconds: float | None) -> int | None:
    """Times travel as whole milliseconds."""
    return None if seconds is None else round(seconds * 1000)


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def initialize(
    version: str, scope: Scope, bind: bool, methods: list[str] | None, files: str | None
) -> Mapping[str, Any]:
    """How a connection introduces itself."""
    bound = {"bind": {**scope.params(), **given(methods=methods, files=files)}} if bind else {}
    return {"clientInfo": {"name": "cupola-python", "version": version}, "protocolVersions": [1], **bound}
