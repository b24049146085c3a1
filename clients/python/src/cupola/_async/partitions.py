"""`partitions/*`: which session and conversation each agent and isolation continues."""

from __future__ import annotations

from .._params import given
from ..protocol import PartitionForgetResponse, PartitionListResponse
from .group import AsyncGroup


class AsyncPartitions(AsyncGroup):
    """What the daemon has saved. The service is not touched, and no key is shown."""

    async def list(
        self, *, any_agent: bool = False, limit: int | None = None, after: str | None = None
    ) -> PartitionListResponse:
        """What is saved for the client's agent; `own` are those of the client's isolation. With `any_agent`, what is saved for
        every agent in the same emulator or project, without marking any as `own`. With `limit` or `after`, a page of it in
        the order of keys; its `next`, if it has one, is `after` for the page behind it.

        >>> answer = await client.invoke("hello").wait()
        >>> partitions = (await client.partitions.list())["partitions"]
        >>> [each["sessionId"] for each in partitions if each["own"]] == [answer["sessionId"]]
        True
        """
        scope = self._scope.params()
        if any_agent:
            # An isolation belongs to one agent.
            scope.pop("isolation", None)
        elif "target" in scope:
            # Without it no partition is the client's own.
            scope.setdefault("isolation", {})
        params = {**scope, **given(any_agent=any_agent, limit=limit, after=after)}
        result: PartitionListResponse = await self._line.call("partitions/list", params)
        return result

    async def forget(self, id: str | None = None) -> PartitionForgetResponse:
        """Forgets what the client's agent and isolation continue, so that the next call starts fresh; or the partition
        with this `id`. Sessions and their files stay.

        >>> text = await client.invoke("remember the milk").text()
        >>> await client.partitions.forget()
        {'forgotten': 1}
        >>> await client.invoke("what do you remember?").text()
        'Nothing yet. Tell me: remember that ...'
        """
        params = self._scope.params() if id is None else {"id": id}
        result: PartitionForgetResponse = await self._line.call("partitions/forget", params)
        return result
