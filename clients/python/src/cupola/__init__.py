"""Client of Cupola, the per-user daemon that keeps one warm line to Microsoft Foundry hosted agents.

    import cupola

    with cupola.connect(target=cupola.emulator(), isolation=cupola.Isolation(user_key="acme")) as client:
        with client.invoke("hello") as run:
            for event in run:
                if event["type"] == "textDelta":
                    print(cupola.harmless(event["delta"]), end="")

`Client` blocks, `AsyncClient` is the same for asyncio. What is sent and received is in `cupola.protocol`. The examples
in this package's documentation assume a `client` that is connected like this, with an isolation that has not been used yet.
"""

# The project's own version. Before the imports, because the clients tell it to the daemon.
__version__ = "0.1.0"

from ._async.client import AsyncClient, connect_async
from ._async.stream import AsyncLog, AsyncRun
from ._display import harmless
from ._sync.client import Client, connect
from ._sync.stream import Log, Run
from ._params import approval
from .errors import (
    AgentAsks,
    AuthenticationError,
    CallCancelled,
    ConnectionLost,
    CupolaError,
    DaemonNotFound,
    InvalidParamsError,
    IsolationError,
    NotFoundError,
    RunFailed,
    TimedOut,
)
from .isolation import Isolation, Secret
from .targets import agent_endpoint, directory, emulator, local, project

__all__ = [
    "AgentAsks",
    "AsyncClient",
    "AsyncLog",
    "AsyncRun",
    "AuthenticationError",
    "CallCancelled",
    "Client",
    "ConnectionLost",
    "CupolaError",
    "DaemonNotFound",
    "InvalidParamsError",
    "Isolation",
    "IsolationError",
    "Log",
    "NotFoundError",
    "Run",
    "RunFailed",
    "Secret",
    "TimedOut",
    "agent_endpoint",
    "approval",
    "connect",
    "connect_async",
    "directory",
    "emulator",
    "harmless",
    "local",
    "project",
]
