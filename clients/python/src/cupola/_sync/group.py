# Made from _async/group.py by make_sync.py.
"""What groups of methods have in common."""

from __future__ import annotations

from typing import Any

from .._params import Scope, given
from .line import Line


class Group:
    """Methods for one agent and isolation."""

    def __init__(self, line: Line, scope: Scope) -> None:
        self._line = line
        self._scope = scope

    def _call(self, method: str, **fields: Any) -> Any:
        return self._line.call(method, {**self._scope.params(), **given(**fields)})
