"""Which agent a call goes to: one small function per kind of target."""

from __future__ import annotations

import os
from typing import cast

from .protocol import Target


def emulator(agent: str = "notes", *, version: str | None = None, url: str | None = None) -> Target:
    """The emulator inside the daemon, or the one that listens at `url`.

    >>> cupola.emulator()
    {'kind': 'emulator', 'agent': 'notes'}
    """
    return _target("emulator", agent=agent, version=version, url=url)


def project(endpoint: str, agent: str, *, version: str | None = None) -> Target:
    """A deployed agent of a Foundry project.

    >>> cupola.project("https://acct.services.ai.azure.com/api/projects/p", "my-agent")["kind"]
    'project'
    """
    return _target("project", endpoint=endpoint, agent=agent, version=version)


def agent_endpoint(url: str, *, version: str | None = None) -> Target:
    """A deployed agent by its own URL.

    >>> base = "https://acct.services.ai.azure.com/api/projects/p/agents/my-agent/endpoint"
    >>> cupola.agent_endpoint(f"{base}/protocols/invocations")["kind"]
    'agentEndpoint'
    """
    return _target("agentEndpoint", url=url, version=version)


def local(port: int = 8088, *, agent: str | None = None) -> Target:
    """An agent's container on this machine.

    >>> cupola.local()
    {'kind': 'local', 'port': 8088}
    """
    return _target("local", port=port, agent=agent)


def directory(
    path: str | os.PathLike[str] = ".",
    *,
    agent: str | None = None,
    version: str | None = None,
    environment: str | None = None,
) -> Target:
    """The agent of the azd project at or above `path`.

    >>> cupola.directory(".")["kind"]
    'directory'
    """
    return _target("directory", path=os.path.abspath(path), agent=agent, version=version, environment=environment)


def _target(kind: str, **fields: object) -> Target:
    return cast(Target, {"kind": kind, **{name: value for name, value in fields.items() if value is not None}})
