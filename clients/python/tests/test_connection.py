"""Finding the daemon, losing it, and finding it again."""

import asyncio
import contextlib
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
        listed = [{each["runId"] for each in self.client.runs.list(all=all)["runs"]} for all in (False, True)]
        self.assertEqual([run.id in each for each in listed], [False, True])

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

    def test_a_run_that_cannot_be_followed_may_have_run_whatever_prevents_it(self):
        target = cupola.emulator(url=self.emulator())
        for options, is_started in [({}, False), ({"bind": True, "methods": ["invoke"]}, True)]:
            client = cupola.connect(target=target, socket=self.daemon.socket, **options)
            self.addCleanup(client.close)
            with client.invoke("slow 30 20", survive=True) as run:
                next(run)
                self.daemon.kill()
                if is_started:
                    self.daemon.start()
                with mock.patch.dict(os.environ, {"CUPOLA_BINARY": "/nowhere/cupola"}):
                    with self.assertRaises(cupola.ConnectionLost) as caught:
                        run.wait()
            self.assertEqual((caught.exception.turn, caught.exception.retryable), ("mayHaveRun", False))
            if is_started:
                with self.assertRaises(cupola.ConnectionLost):
                    run.result
            else:
                self.daemon.start()

    def next_daemon(self):
        """Only while nobody waits for the daemon, who would start one, too."""
        self.daemon.kill()
        self.daemon.start()

    def take(self, run):
        """Takes all events of a run, in a thread, until it is given up."""

        def take():
            with contextlib.suppress(cupola.CallCancelled):
                for _ in run:
                    pass

        taker = threading.Thread(target=take)
        taker.start()
        self.addCleanup(taker.join)

    def until_followed(self, others, run_id):
        until("the run is followed", lambda: others.runs.show(run_id)["clients"] == 1)

    def assert_cancelled(self, others, run_id):
        until("the run ends", lambda: others.runs.show(run_id)["status"] != "running")
        self.assertEqual(others.runs.show(run_id)["status"], "cancelled")

    def test_leaving_or_cancelling_a_run_that_continued_on_the_next_daemon_ends_it_there(self):
        target = cupola.emulator(url=self.emulator())
        others = cupola.connect(target=target, socket=self.daemon.socket)
        self.addCleanup(others.close)
        for how in ["leave", "cancel", "close", "unnoticed"]:
            with self.subTest(how), cupola.connect(target=target, socket=self.daemon.socket) as client:
                with client.invoke("slow 1000 20", survive=True) as run:
                    run_id = next(run)["runId"]
                    self.next_daemon()
                    # Who takes nothing more does not follow the run.
                    if how == "unnoticed":
                        until("the connection is lost", lambda: client._line.open_connection is None)
                    else:
                        self.take(run)
                        self.until_followed(others, run_id)
                    if how == "cancel":
                        run.cancel()
                        self.assert_cancelled(others, run_id)
                if how == "close":
                    client.close()
                self.assert_cancelled(others, run_id)

    def test_a_task_that_leaves_a_run_that_continued_ends_it_too(self):
        target = cupola.emulator(url=self.emulator())
        others = cupola.connect(target=target, socket=self.daemon.socket)
        self.addCleanup(others.close)

        async def leave():
            async with cupola.AsyncClient(target=target, socket=self.daemon.socket) as client:
                async with client.invoke("slow 1000 20", survive=True) as run:
                    run_id = (await run.__anext__())["runId"]
                    await asyncio.to_thread(self.next_daemon)
                    taker = asyncio.create_task(run.wait())
                    await asyncio.to_thread(self.until_followed, others, run_id)
                    taker.cancel()
                    await asyncio.gather(taker, return_exceptions=True)
            return run_id

        self.assert_cancelled(others, asyncio.run(leave()))

    def test_a_run_that_was_attached_to_is_left_alone_after_it_continued_on_the_next_daemon(self):
        client = cupola.connect(target=cupola.emulator(url=self.emulator()), socket=self.daemon.socket)
        self.addCleanup(client.close)
        with client.invoke("slow 30 20", survive=True, detach=True) as run:
            run_id = next(run)["runId"]
        with client.runs.attach(run_id) as attached:
            next(attached)
            self.next_daemon()
            self.take(attached)
            self.until_followed(client, run_id)
        self.assertEqual(client.runs.attach(run_id).wait()["status"], "completed")

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
