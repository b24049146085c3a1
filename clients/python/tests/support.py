"""What the tests share: a separate daemon, with its socket and its state in a directory that nothing else uses."""

import asyncio
import os
import pathlib
import select
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import cupola

PACKAGE = pathlib.Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parents[1]

# Far more than anything here takes; what waits this long has failed.
PATIENCE = 30


class Daemon:
    """`cupola serve`. It can be killed and started again: socket and state stay."""

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="cupola-py-"))
        self.socket = str(self.directory / "v1.sock")
        self.process = None
        self.start()

    @property
    def environment(self):
        """The variables of a shell in which this is the user's daemon."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CUPOLA_", "XDG_"))}
        own = {"HOME": self.directory, "CUPOLA_SOCKET": self.socket, "CUPOLA_STATE_DIR": self.directory / "state"}
        return {**kept, "CUPOLA_BINARY": binary(), **{name: str(value) for name, value in own.items()}}

    def start(self):
        command = [binary(), "serve", "--idle-exit", "never", "--log-file", str(self.directory / "log")]
        self.process = subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, text=True)
        readable, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        line = self.process.stdout.readline() if readable else "nothing"
        if not line.startswith("ready "):
            self.stop()
            raise AssertionError(f"the daemon said {line!r}")

    def kill(self):
        """As the system does when memory runs out."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)
        self.process.stdout.close()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE)
        self.process.stdout.close()

    def remove(self):
        self.stop()
        # A test may have had another one started at the same socket.
        subprocess.run([binary(), "stop", "--force"], env=self.environment, capture_output=True, timeout=PATIENCE)
        shutil.rmtree(self.directory, ignore_errors=True)


def binary():
    return os.environ["CUPOLA_BINARY"]


def until(what, condition):
    """Asks until `condition()` gives something true, and returns that."""
    deadline = time.monotonic() + PATIENCE
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"never happened: {what}")
        time.sleep(0.01)
    return result


class WithDaemon(unittest.TestCase):
    """A test case whose class holds one daemon. Each test has its own isolation, so that none sees another's."""

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon()
        cls.addClassCleanup(cls.daemon.remove)

    @property
    def options(self):
        """What this test's clients are made with."""
        return {
            "target": cupola.emulator(),
            "isolation": cupola.Isolation(user_key=self.id()),
            "socket": self.daemon.socket,
        }

    def client(self, **others):
        client = cupola.connect(**{**self.options, **others})
        self.addCleanup(client.close)
        return client

    def runs(self):
        """How many runs are under way, asked on a connection that has nothing to do with them."""
        with cupola.connect(socket=self.daemon.socket) as other:
            return other.daemon.status()["runs"]


class WithDaemonAsync(WithDaemon, unittest.IsolatedAsyncioTestCase):
    """The same for asyncio."""

    async def connect(self, **others):
        client = await cupola.connect_async(**{**self.options, **others})
        self.addAsyncCleanup(client.aclose)
        return client

    async def eventually(self, what, condition):
        """As `until`, with a condition that is awaited."""
        deadline = time.monotonic() + PATIENCE
        while not (result := await condition()):
            self.assertLess(time.monotonic(), deadline, f"never happened: {what}")
            await asyncio.sleep(0.01)
        return result
