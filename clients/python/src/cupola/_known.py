"""The event types this client knows. A newer daemon may send others; they are skipped."""

from __future__ import annotations

INVOKE_EVENTS = frozenset(
    "started request httpHead httpBody textDelta output notice gap snapshot completed failed incomplete cancelled "
    "truncated".split()
)
MONITOR_EVENTS = frozenset("started session line raw notice".split())
