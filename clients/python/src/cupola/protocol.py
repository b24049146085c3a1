"""What travels on the socket."""

from __future__ import annotations

from typing import Any, TypeAlias

Json: TypeAlias = "dict[str, Any]"
Target: TypeAlias = Json
InvokeEvent: TypeAlias = Json
InvokeResponse: TypeAlias = Json
MonitorEvent: TypeAlias = Json
MonitorResponse: TypeAlias = Json
Session: TypeAlias = Json
SessionListResponse: TypeAlias = Json
SessionStopResponse: TypeAlias = Json
SessionDeleteResponse: TypeAlias = Json
FileEntry: TypeAlias = Json
FileTransferResponse: TypeAlias = Json
FileListResponse: TypeAlias = Json
FilePathResponse: TypeAlias = Json
AgentListResponse: TypeAlias = Json
AgentShowResponse: TypeAlias = Json
DaemonStatusResponse: TypeAlias = Json
DaemonStopResponse: TypeAlias = Json
