"""What groups of methods have in common."""

from __future__ import annotations

from typing import Any

from .._params import Scope, given
from .line import AsyncLine


class AsyncGroup:
    """Methods for one agent and isolation."""

    def __init__(self, line: AsyncLine, scope: Scope) -> None:
        self._line = line
        self._scope = scope

    async def _call(self, method: str, **fields: Any) -> Any:
        return await self._line.call(method, {**self._scope.params(), **given(**fields)})
