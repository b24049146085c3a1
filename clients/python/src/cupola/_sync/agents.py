# Made from _async/agents.py by make_sync.py.
"""`agents/*`: the project's agents, as the service describes them."""

from __future__ import annotations

from .._params import given
from ..protocol import AgentListResponse, AgentShowResponse, Order
from .group import Group


class Agents(Group):
    """These calls read no user's state, so no isolation is sent."""

    def list(self, *, limit: int | None = None, order: Order | None = None) -> AgentListResponse:
        """The agents of the project that the client's target is in.

        >>> sorted(agent["name"] for agent in client.agents.list()["data"])
        ['notes', 'notes-identity', 'notes-required']
        """
        params = {**self._scope.agent(), **given(limit=limit, order=order)}
        result: AgentListResponse = self._line.call("agents/list", params)
        return result

    def show(self) -> AgentShowResponse:
        """The client's agent, and the version that is meant.

        >>> client.agents.show()["protocols"][0]
        'responses 1.0.0'
        """
        result: AgentShowResponse = self._line.call("agents/show", self._scope.agent())
        return result
