"""Finding the daemon, losing it, and finding it again."""

import asyncio
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import threading
import unittest
from unittest import mock

import cupola
from cupola import _daemon
from support import Daemon, WithDaemon, binary, until


class Finding(WithDaemon):
    def environment(self, **others):
        return mock.patch.dict(os.environ, {**self.daemon.environment, **others}, clear=True)

    def test_the_variable_names_the_socket(self):
        with self.environment(CUPOLA_BINARY="/nowhere"), cupola.connect() as client:
            self.assertEqual(client.daemon.status()["socket"], self.daemon.socket)

    def test_the_command_is_asked_where_nothing_is_named(self):
        runtime = pathlib.Path(self.daemon.socket).parent / "run"
        with self.environment(XDG_RUNTIME_DIR=str(runtime), CUPOLA_STATE_DIR=str(runtime / "state")):
            del os.environ["CUPOLA_SOCKET"]
            with cupola.connect() as client:
                self.assertEqual(client.daemon.status()["socket"], str(runtime / "cupola" / "v1.sock"))
                client.daemon.stop(force=True)

    def test_without_daemon_and_command_the_error_says_what_to_do(self):
        with tempfile.TemporaryDirectory() as empty, mock.patch.dict(os.environ, {"PATH": empty}, clear=True):
            with self.assertRaises(cupola.DaemonNotFound) as caught:
                cupola.connect(socket=f"{empty}/v1.sock")
        self.assertIn("CUPOLA_BINARY", caught.exception.hint)

    def test_the_commands_own_reason_is_passed_on(self):
        with tempfile.TemporaryDirectory() as open_to_all:
            os.chmod(open_to_all, 0o755)
            with self.environment(), self.assertRaises(cupola.DaemonNotFound) as caught:
                cupola.connect(socket=f"{open_to_all}/v1.sock")
        self.assertIn("can be entered by others", caught.exception.message)

    def test_a_command_that_does_not_start_is_named(self):
        with self.environment(CUPOLA_BINARY="/nowhere/cupola"), self.assertRaises(cupola.DaemonNotFound) as caught:
            cupola.connect(socket=f"{self.daemon.directory}/other.sock")
        self.assertIn("/nowhere/cupola", str(caught.exception))


class Losing(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon()
        self.addCleanup(self.daemon.remove)
        self.client = cupola.connect(target=cupola.emulator(), socket=self.daemon.socket)
        self.addCleanup(self.client.close)

    def test_a_killed_daemon_ends_the_stream_with_an_error_and_the_next_call_finds_the_next_daemon(self):
        self.client.invoke("remember the milk").text()
        with self.assertRaises(cupola.ConnectionLost) as caught, self.client.invoke("slow 500") as run:
            for event in run:
                if event["type"] == "textDelta":
                    self.daemon.kill()
        # The turn may have run, so the caller must check before sending it again.
        self.assertEqual((caught.exception.turn, caught.exception.retryable), ("mayHaveRun", False))
        self.assertIn("may have run", caught.exception.hint)
        self.daemon.start()
        self.assertIn("the milk", self.client.invoke("what do you remember?").text())

    def test_a_run_that_survives_continues_on_the_next_daemon_and_nothing_comes_twice(self):
        client = cupola.connect(target=cupola.emulator(url=self.emulator()), socket=self.daemon.socket)
        self.addCleanup(client.close)
        text, numbers, endings = "", [], []
        with client.invoke("slow 30 20", survive=True) as run:
            for event in run:
                numbers.append(event["number"])
                if event["type"] == "textDelta":
                    if not text:
                        self.daemon.kill()
                        self.daemon.start()
                    text += event["delta"]
                elif event["type"] == "completed":
                    endings.append(event)
        expected = " ".join(f"tick{number}" for number in range(30))
        self.assertEqual((run.result["text"], text, len(endings)), (expected, expected, 1))
        self.assertEqual(numbers, sorted(set(numbers)))

    def emulator(self):
        """The URL of one that outlives the daemon."""
        command = [binary(), "emulator", "--listen", "127.0.0.1:0", "--json"]
        command += ["--data-dir", str(self.daemon.directory / "emulator")]
        process = subprocess.Popen(command, env=self.daemon.environment, stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        return json.loads(process.stdout.readline())["url"]

    def test_every_call_under_way_is_told(self):
        others = [self.client.using(isolation=cupola.Isolation(user_key=str(number))) for number in range(3)]
        failed = []

        def wait(client):
            try:
                client.invoke("slow 500").wait()
            except cupola.ConnectionLost as error:
                failed.append(error)

        threads = [threading.Thread(target=wait, args=[client]) for client in others]
        for thread in threads:
            thread.start()
        until("all runs are under way", lambda: self.client.daemon.status()["runs"] == 3)
        self.daemon.kill()
        for thread in threads:
            thread.join(30)
        self.assertEqual(len(failed), 3)

    def test_a_daemon_is_started_when_none_is_left(self):
        first = self.client.daemon.status()["processId"]
        self.daemon.stop()
        with mock.patch.dict(os.environ, self.daemon.environment, clear=True):
            until("the loss is noticed", lambda: not self.client._line._connection.is_open)
            self.assertNotEqual(self.client.daemon.status()["processId"], first)

    def test_a_daemon_that_is_suspended_is_not_waited_for_without_end(self):
        self.daemon.process.send_signal(signal.SIGSTOP)
        self.addCleanup(self.daemon.process.send_signal, signal.SIGCONT)
        with mock.patch.object(_daemon, "INTRODUCTION_LIMIT", 0.1):
            with self.assertRaises(cupola.DaemonNotFound) as caught:
                cupola.connect(socket=self.daemon.socket)
            with self.assertRaises(cupola.DaemonNotFound):
                asyncio.run(cupola.connect_async(socket=self.daemon.socket))
        self.assertIn("suspended", caught.exception.hint)

    def test_a_closed_client_stays_closed(self):
        self.client.close()
        with self.assertRaises(cupola.CupolaError) as caught:
            self.client.daemon.status()
        self.assertEqual(caught.exception.kind, "closed")

    def test_closing_ends_what_waits(self):
        run = self.client.invoke("slow 500")
        run.__enter__()
        threading.Timer(0.1, self.client.close).start()
        with self.assertRaises(cupola.ConnectionLost):
            run.wait()
