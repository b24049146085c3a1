"""Where the daemon listens, and how one is started: by asking the `cupola` command, which has the one rule."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sysconfig

from .errors import DaemonNotFound

START_LIMIT = 30.0
"""Seconds for `cupola socket`; it gives its daemon 15 s to get ready and then says why it did not."""


INTRODUCTION_LIMIT = 20.0
"""Seconds for a daemon to answer `initialize`, which takes it milliseconds; one that does not is suspended or broken."""


def named(path: str | None) -> str | None:
    """Where to look first: at `path`, else at `CUPOLA_SOCKET`."""
    if not hasattr(socket, "AF_UNIX"):
        raise DaemonNotFound("this Python has no Unix sockets", "use the `cupola` command instead")
    path = path or os.environ.get("CUPOLA_SOCKET")
    return os.path.abspath(path) if path else None


def program() -> str | None:
    """The `cupola` command: `CUPOLA_BINARY`, else the one that the package `cupola-bin` put among this environment's
    scripts, else the one on the `PATH`."""
    own = os.path.join(sysconfig.get_path("scripts"), "cupola")
    return os.environ.get("CUPOLA_BINARY") or shutil.which(own) or shutil.which("cupola")


def start(path: str | None) -> str:
    """Starts a daemon if none answers, and returns where it listens. Blocks until it is ready."""
    binary = program()
    if not binary:
        raise DaemonNotFound(
            "no daemon answers, and there is no `cupola` command to start one",
            "put `cupola` on the PATH, or its path into CUPOLA_BINARY",
        )
    command = [binary, "socket", *(["--socket", path] if path else [])]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=START_LIMIT, check=False
        )
    except OSError as error:
        what = f"{binary} does not start: {error.strerror}"
        raise DaemonNotFound(what, "CUPOLA_BINARY names the `cupola` command") from None
    except subprocess.TimeoutExpired:
        what = f"`cupola socket` said nothing within {START_LIMIT:.0f} s"
        raise DaemonNotFound(what, "run `cupola serve` to see why") from None
    if done.returncode != 0:
        said, _, hint = done.stderr.strip().removeprefix("error: ").partition("\nhint: ")
        raise DaemonNotFound(said or f"`cupola socket` ended with {done.returncode}", hint or None)
    return done.stdout.rstrip("\n")


def mute() -> DaemonNotFound:
    """For a daemon that takes the connection and answers nothing."""
    said = f"the daemon took the connection and said nothing for {INTRODUCTION_LIMIT:.0f} s"
    return DaemonNotFound(said, "it may be suspended: `cupola status` names its process and says what helps")


def silent(path: str, error: OSError) -> DaemonNotFound:
    """For a socket that `start` named and that still cannot be reached."""
    return DaemonNotFound(f"nothing answers at {path}: {error.strerror or error}", "run `cupola serve` to see why")
