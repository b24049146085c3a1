# Made from _async/runs.py by make_sync.py.
"""`runs/*`: invokes under way and those that ended recently, for programs that did not begin them."""

from __future__ import annotations

from typing import Any

from .._params import given
from ..protocol import RunInfo, RunListResponse
from .group import Group
from .stream import Run


class Runs(Group):
    """A run has one id in the daemon: `run.id`, from its first event on."""

    def list(self, *, everyones: bool = False, any_agent: bool = False, all: bool = False) -> RunListResponse:
        """The runs of this client's agent and isolation, newest first; with `everyones` all that the daemon knows, and with
        `any_agent` those of every agent in the same emulator or project. With `all`, also those that earlier daemons left.

        >>> text = client.invoke("hello").text()
        >>> [run["status"] for run in client.runs.list()["runs"]]
        ['completed']
        """
        scope: dict[str, Any] = {} if everyones else self._scope.params()
        if any_agent:
            # An isolation belongs to one agent.
            scope.pop("isolation", None)
        elif "target" in scope:
            # Without it the runs of every isolation would be meant.
            scope.setdefault("isolation", {})
        result: RunListResponse = self._line.call("runs/list", {**scope, **given(any_agent=any_agent, all=all)})
        return result

    def show(self, run_id: str) -> RunInfo:
        """How a run is.

        >>> answer = client.invoke("hello").wait()
        >>> client.runs.show(answer["runId"])["status"]
        'completed'
        """
        result: RunInfo = self._line.call("runs/show", {"runId": run_id})
        return result

    def attach(self, run_id: str, *, after: int | None = None, text_only: bool = False) -> Run:
        """Follows a run: its events after number `after`, or all, then those to come, then its result. Where the daemon
        has lost events, a `gap` comes, then a `snapshot` of the text. Leaving the `with` early only stops listening.

        >>> answer = client.invoke("stream one two").wait()
        >>> with client.runs.attach(answer["runId"], text_only=True) as run:
        ...     for event in run:
        ...         if event["type"] == "textDelta":
        ...             print(cupola.harmless(event["delta"]), end="")
        one two
        """
        params = {"runId": run_id, **given(after=after, text_only=text_only)}
        return Run(self._line, "runs/attach", params)

    def cancel(self, run_id: str) -> RunInfo:
        """Ends a run, for everybody who follows it.

        >>> with client.invoke("slow 1000", detach=True) as run:
        ...     for event in run:
        ...         break
        >>> client.runs.cancel(event["runId"])["status"]
        'cancelled'
        """
        result: RunInfo = self._line.call("runs/cancel", {"runId": run_id})
        return result
