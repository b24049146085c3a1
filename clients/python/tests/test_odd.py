"""Answers that are hard to read, messages that are too long, and a daemon that speaks nonsense."""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

import cupola
from cupola import _core
from support import PATIENCE, ROOT, WithDaemon, WithDaemonAsync, until

TEXT_BYTES = 31_000_000


@contextlib.contextmanager
def odd_agent():
    """The port of `tests/fixtures/odd_agent.py`."""
    command = [sys.executable, str(ROOT / "tests" / "fixtures" / "odd_agent.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


class Odd(WithDaemonAsync):
    async def events(self, agent, text, **options):
        """What each of the two clients gets: its events and its result."""
        with self.client(target=cupola.local(agent)).invoke(text, **options) as run:
            events = list(run)
        yield events, run.result
        client = await self.connect(target=cupola.local(agent))
        async with client.invoke(text, **options) as run:
            events = [event async for event in run]
        yield events, run.result

    async def test_what_no_reader_could_read_arrives_as_text(self):
        digits = "9" * 6000
        with odd_agent() as agent:
            for text, expected in (("digits 6000", digits), ("half", "\ufffd")):
                async for events, result in self.events(agent, text, protocol="responses"):
                    [odd] = [event["data"] for event in events if event.get("name") == "response.odd"]
                    self.assertEqual((odd["value"], result["text"]), (expected, "done"))
            async for events, result in self.events(agent, "deep 5000", protocol="responses"):
                [odd] = [event["data"] for event in events if event.get("name") == "response.odd"]
                level, depth = odd["value"], 0
                while isinstance(level, list):
                    level, depth = level[0], depth + 1
                self.assertEqual("[" * depth + level + "]" * depth, "[" * 5000 + "1" + "]" * 5000)
                self.assertEqual(result["text"], "done")

    async def test_a_long_answer_arrives_whole(self):
        with odd_agent() as agent:
            async for events, result in self.events(agent, f"long {TEXT_BYTES}", protocol="invocations"):
                whole = ("x" * 99 + "\n") * (TEXT_BYTES // 100) + "end"
                self.assertTrue(result["text"] == whole, len(result["text"]))
                self.assertTrue("".join(event.get("delta", "") for event in events) == whole)

    async def test_a_request_that_no_message_can_hold_is_refused_here_and_the_connection_lives(self):
        client, other = self.client(), await self.connect()
        too_long = "x" * _core.MAX_MESSAGE_BYTES
        with self.assertRaises(cupola.CupolaError) as caught:
            client.invoke(too_long).wait()
        self.assertEqual(caught.exception.kind, "messageTooLong")
        with self.assertRaises(cupola.CupolaError) as caught:
            await other.invoke(too_long).wait()
        self.assertEqual(caught.exception.kind, "messageTooLong")
        self.assertEqual(client.invoke("hello").text(), "echo: hello")
        self.assertEqual(await other.invoke("hello").text(), "echo: hello")

    async def test_an_input_that_is_too_long_is_refused_with_its_limit(self):
        with self.assertRaises(cupola.CupolaError) as caught:
            self.client().invoke("x" * 17_000_000).wait()
        self.assertEqual(caught.exception.kind, "invalidParams")
        self.assertIn("16 MiB", caught.exception.message)


class Nonsense(unittest.TestCase):
    """A daemon that introduces itself and then says what no JSON reader can read."""

    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.path = f"{self.directory.name}/v1.sock"
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(self.path)
        listener.listen()
        self.listener = listener

    def serve(self, nonsense):
        def answer():
            with self.listener.accept()[0] as connection, connection.makefile("rb") as lines:
                introduction = json.loads(lines.readline())
                connection.sendall(json.dumps({"id": introduction["id"], "result": {}}).encode() + b"\n")
                first, second = json.loads(lines.readline()), json.loads(lines.readline())
                # One answer that is fine, and nonsense in the same write.
                connection.sendall(json.dumps({"id": first["id"], "result": {"runs": 1}}).encode() + b"\n" + nonsense + b"\n")
                while connection.recv(1024):
                    pass
                self.assertTrue(second)

        thread = threading.Thread(target=answer)
        thread.start()
        self.addCleanup(thread.join, PATIENCE)

    def test_every_call_ends_when_the_reader_does(self):
        for nonsense in (b"[" * 200_000, b'{"id":2,"result":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b"\xff\xfe", b"{"):
            self.serve(nonsense)
            with cupola.Client(socket=self.path) as client:
                client.open()
                connection = client._line.open_connection
                first = connection.start("daemon/status", {}, stream=False)
                second = connection.start("daemon/status", {}, stream=False)
                with self.assertRaises(cupola.ConnectionLost):
                    connection.next_event(second, PATIENCE)
                connection.next_event(first, PATIENCE)
                self.assertEqual(first.result, {"runs": 1})

    def test_every_call_ends_when_the_reader_does_with_asyncio(self):
        async def call(nonsense):
            self.serve(nonsense)
            async with cupola.AsyncClient(socket=self.path) as client:
                connection = client._line.open_connection
                first = connection.start("daemon/status", {}, stream=False)
                second = connection.start("daemon/status", {}, stream=False)
                waiting = asyncio.gather(connection.next_event(first, PATIENCE), connection.next_event(second, PATIENCE))
                with self.assertRaises(cupola.ConnectionLost):
                    await waiting
                self.assertEqual(first.result, {"runs": 1})

        for nonsense in (b'{"id":2,"result":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b"{"):
            asyncio.run(call(nonsense))


class Detached(WithDaemon):
    def test_a_detached_run_is_sent_in_the_call(self):
        client = self.client()
        client.invoke("remember the milk", detach=True)
        until("it has run", lambda: [run["status"] for run in client.runs.list()["runs"]] == ["completed"])
        self.assertIn("the milk", client.invoke("what do you remember?").text())

    def test_it_is_sent_even_when_the_client_leaves_at_once(self):
        for number in range(10):
            with cupola.connect(**self.options) as leaving:
                leaving.invoke(f"remember fact {number}", detach=True)
        runs = self.client().runs
        until("all have run", lambda: [run["status"] for run in runs.list()["runs"]] == ["completed"] * 10)

    def test_with_asyncio_too(self):
        async def leave(opened):
            client = cupola.AsyncClient(**self.options)
            if opened:
                await client.open()
            client.invoke(f"remember {opened}", detach=True)
            await client.aclose()

        asyncio.run(leave(True))
        asyncio.run(leave(False))
        runs = self.client().runs
        until("both have run", lambda: [run["status"] for run in runs.list()["runs"]] == ["completed"] * 2)

    def test_it_is_sent_once_and_can_be_read(self):
        async def read():
            async with cupola.AsyncClient(**self.options) as client:
                return await client.invoke("hello", detach=True).text()

        self.assertEqual(self.client().invoke("hello", detach=True).text(), "echo: hello")
        self.assertEqual(asyncio.run(read()), "echo: hello")
        self.assertEqual(len(self.client().runs.list()["runs"]), 2)
