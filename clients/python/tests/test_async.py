"""The asyncio client where it is more than the blocking one: tasks, and how they are cancelled."""

import asyncio
import os
from unittest import mock

import cupola
from support import Daemon, WithDaemonAsync


class Tasks(WithDaemonAsync):
    async def idle(self):
        async with cupola.AsyncClient(socket=self.daemon.socket) as other:
            status = await other.daemon.status()
            return status["runs"] == 0

    async def begun(self, client, number=1):
        async def enough():
            return (await client.daemon.status())["runs"] >= number

        await self.eventually(f"{number} runs are under way", enough)

    async def test_events_come_one_by_one_and_the_result_is_complete(self):
        client = await self.connect()
        async with client.invoke("stream one two three") as run:
            text = "".join([event.get("delta", "") async for event in run])
        self.assertEqual((text, run.result["status"]), ("one two three", "completed"))

    async def test_leaving_early_cancels(self):
        client = await self.connect()
        async with client.invoke("slow 500") as run:
            async for event in run:
                if event["type"] == "textDelta":
                    break
        await self.eventually("the run ends", self.idle)

    async def test_a_cancelled_task_cancels_its_call_and_the_line_stays(self):
        client = await self.connect()
        connection = await client._line.connection()
        task = asyncio.create_task(client.invoke("slow 500").text())
        await self.begun(client)
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task
        await self.eventually("the run ends", self.idle)
        self.assertEqual(await client.invoke("hello").text(), "echo: hello")
        self.assertIs(await client._line.connection(), connection)

    async def test_a_time_limit_of_the_program_cancels_too(self):
        client = await self.connect()
        with self.assertRaises(asyncio.TimeoutError):
            await asyncio.wait_for(client.invoke("slow 500").wait(), 0.2)
        await self.eventually("the run ends", self.idle)

    async def test_waiting_for_one_event_only_so_long_harms_nothing(self):
        client = await self.connect()
        async with client.invoke("slow 500 300", text_only=True) as run:
            kept_waiting, text = 0, ""
            while kept_waiting < 4 or "tick3" not in text:
                try:
                    event = await asyncio.wait_for(run.__anext__(), 0.05)
                except asyncio.TimeoutError:
                    kept_waiting += 1
                else:
                    text += event.get("delta", "")
        # No word was lost to a wait in vain.
        self.assertTrue(text.startswith("tick0 tick1 tick2 tick3"), text)

    async def test_many_calls_at_once_share_one_connection(self):
        client = await self.connect()
        users = [client.using(isolation=cupola.Isolation(user_key=f"{self.id()}-{number}")) for number in range(16)]
        answers = await asyncio.gather(*(user.invoke(f"hello {at}").text() for at, user in enumerate(users)))
        self.assertEqual(answers, [f"echo: hello {number}" for number in range(16)])

    async def test_the_first_calls_of_many_tasks_open_one_connection(self):
        client = cupola.AsyncClient(**self.options)
        self.addAsyncCleanup(client.aclose)
        await asyncio.gather(*(client.daemon.status() for _ in range(8)))

        async def alone():
            return (await client.daemon.status())["connections"] == 1

        # Those of other tests may just be leaving; one too many would stay.
        await self.eventually("one connection is left", alone)

    async def test_the_event_loop_is_free_while_a_daemon_is_started(self):
        slow, begun, enough = (self.daemon.directory / name for name in ("slow-cupola", "begun", "enough"))
        # It ends when the event loop lets it.
        slow.write_text(f"#!/bin/sh\n>{begun}\nuntil [ -e {enough} ]; do sleep 0.01; done\necho /nowhere.sock\n")
        slow.chmod(0o700)
        with mock.patch.dict(os.environ, {"CUPOLA_BINARY": str(slow)}):
            opening = asyncio.create_task(cupola.AsyncClient(socket=f"{self.daemon.directory}/absent.sock").open())
            await self.eventually("the program runs", lambda: asyncio.to_thread(begun.exists))
            enough.touch()
        with self.assertRaises(cupola.DaemonNotFound) as caught:
            await opening
        self.assertIn("/nowhere.sock", caught.exception.message)


class Losing(WithDaemonAsync):
    async def test_a_killed_daemon_ends_the_stream_and_the_next_call_finds_the_next_daemon(self):
        daemon = await asyncio.to_thread(Daemon)
        self.addCleanup(daemon.remove)
        client = await self.connect(socket=daemon.socket)
        await client.invoke("remember the milk").text()
        with self.assertRaises(cupola.ConnectionLost) as caught:
            async with client.invoke("slow 500") as run:
                async for event in run:
                    if event["type"] == "textDelta":
                        daemon.kill()
        self.assertEqual((caught.exception.turn, caught.exception.retryable), ("mayHaveRun", False))
        await asyncio.to_thread(daemon.start)
        self.assertIn("the milk", await client.invoke("what do you remember?").text())

    async def test_a_closed_client_stays_closed(self):
        client = await self.connect()
        await client.aclose()
        with self.assertRaises(cupola.CupolaError) as caught:
            await client.daemon.status()
        self.assertEqual(caught.exception.kind, "closed")
