"""The event types this client knows, read off the protocol's types; others, of a newer daemon, are skipped."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

from .protocol import FileEvent, InvokeEvent, MonitorEvent


def _types(events: Any) -> frozenset[str]:
    """The `type` of each event of a union."""
    return frozenset(name for event in get_args(events) for name in get_args(get_type_hints(event)["type"]))


FILE_EVENTS = _types(FileEvent)
INVOKE_EVENTS = _types(InvokeEvent)
MONITOR_EVENTS = _types(MonitorEvent)
