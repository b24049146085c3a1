"""The official a2a-sdk, 0.3 and 1.x: its client against the emulator's A2A endpoint, and cupola against its server."""

import asyncio
import importlib.metadata
import json
import logging
import os
import shlex
import socket
import subprocess
import unittest
import uuid

import httpx
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.types import Message, Part, Role

from support import PATIENCE, CommandLine, Emulator, agent_command, free_port, until

VERSION = importlib.metadata.version("a2a-sdk")
IS_OLD = VERSION.startswith("0.")

if IS_OLD:
    from a2a.types import Task, TextPart
else:
    from a2a.types import SendMessageRequest, TaskState

# unittest turns on asyncio's debug mode, which reports each step that takes 100 ms.
logging.getLogger("asyncio").setLevel(logging.ERROR)


class Answer:
    """What an SDK's client has put together from an answer."""

    def __init__(self):
        self.text, self.state, self.context, self.updates = "", None, None, 0


async def ask_old(client, text, context):
    message = Message(role=Role.user, message_id=str(uuid.uuid4()), parts=[Part(root=TextPart(text=text))],
                      context_id=context)
    answer = Answer()
    async for event in client.send_message(message):
        answer.updates += 1
        held = event if isinstance(event, Message) else event[0]
        answer.context = held.context_id
        if isinstance(held, Task):
            answer.state = held.status.state.value
            parts = [part for artifact in held.artifacts or [] for part in artifact.parts]
            failure = held.status.message
            if answer.state == "failed" and failure:
                parts = failure.parts
        else:
            parts = held.parts
        answer.text = "".join(part.root.text for part in parts)
    return answer


async def ask_new(client, text, context):
    message = Message(role=Role.ROLE_USER, message_id=str(uuid.uuid4()), parts=[Part(text=text)], context_id=context or "")
    answer = Answer()
    async for event in client.send_message(SendMessageRequest(message=message)):
        answer.updates += 1
        kind = event.WhichOneof("payload")
        held = getattr(event, kind)
        answer.context = held.context_id
        if kind in ("task", "status_update"):
            answer.state = TaskState.Name(held.status.state).removeprefix("TASK_STATE_").lower()
        if kind == "artifact_update":
            # An artifact that is not appended to takes the place of the one before.
            known = answer.text if held.append else ""
            answer.text = known + "".join(part.text for part in held.artifact.parts)
        elif kind == "message":
            answer.text = "".join(part.text for part in held.parts)
        elif answer.state == "failed":
            answer.text = "".join(part.text for part in held.status.message.parts)
    return answer


ask = ask_old if IS_OLD else ask_new


class Client(unittest.IsolatedAsyncioTestCase):
    """The SDK's client and the emulator."""

    agents = (
        f"responder=exec:{agent_command('agentserver', 'responses.py')},protocol=2.0.0",
        "notes=builtin:notes,protocol=2.0.0",
    )

    @classmethod
    def setUpClass(cls):
        cls.emulator = Emulator(*cls.agents)
        cls.addClassCleanup(cls.emulator.stop)

    async def client(self, agent, streams=True, user=None):
        headers = {"authorization": f"Bearer {self.emulator.token}", "a2a-version": "0.3"}
        if user:
            headers["x-ms-user-identity"] = user
        http = httpx.AsyncClient(headers=headers, params={"api-version": "v1"}, timeout=PATIENCE)
        self.addAsyncCleanup(http.aclose)
        base = f"{self.emulator.project}/agents/{agent}/endpoint/protocols/a2a"
        card = await A2ACardResolver(http, base, agent_card_path="agentCard/v0.3").get_agent_card()
        self.assertEqual(card.name, agent)
        self.assertTrue(card.capabilities.streaming)
        return ClientFactory(ClientConfig(streaming=streams, httpx_client=http)).create(card)

    async def test_a_whole_answer(self):
        client = await self.client("notes", streams=False)
        answer = await ask(client, "hello", None)
        self.assertEqual((answer.text, answer.updates), ("echo: hello", 1))
        self.assertTrue(answer.context)

    async def test_a_streamed_answer(self):
        client = await self.client("responder")
        answer = await ask(client, "say one two three", None)
        self.assertEqual((answer.text, answer.state), ("one two three", "completed"))
        self.assertGreater(answer.updates, 3)

    async def test_a_context_is_continued(self):
        for streams in (True, False):
            client = await self.client("responder", streams)
            first = await ask(client, "remember the code", None)
            again = await ask(client, "history", first.context)
            self.assertEqual((again.text, again.context), ("history items: 2", first.context))
            recalled = json.loads((await ask(client, "recall", first.context)).text)
            self.assertEqual(recalled["notes"], "the code\n")
            other = await ask(client, "history", None)
            self.assertEqual(other.text, "history items: 0")
            self.assertNotEqual(other.context, first.context)

    async def test_a_failure(self):
        client = await self.client("responder")
        answer = await ask(client, "fail", None)
        self.assertEqual(answer.state, "failed")
        self.assertTrue(answer.text)
        client = await self.client("responder", streams=False)
        with self.assertRaises(Exception) as failed:
            await ask(client, "fail", None)
        self.assertRegex(str(failed.exception), "-32603|[Ii]nternal")

    async def test_each_user_has_their_own_contexts(self):
        ann, ben = [await self.client("notes", user=f"{name}@contoso.com") for name in ("ann", "ben")]
        first = await ask(ann, "remember that it rains", None)
        self.assertIn("it rains", (await ask(ann, "what do you remember?", first.context)).text)
        with self.assertRaises(Exception) as refused:
            await ask(ben, "what do you remember?", first.context)
        self.assertIn("404", str(refused.exception))

    async def test_twenty_messages_at_once(self):
        client = await self.client("notes")
        answers = await asyncio.gather(*(ask(client, f"number {number}", None) for number in range(20)))
        self.assertEqual([answer.text for answer in answers], [f"echo: number {number}" for number in range(20)])


class Server(unittest.TestCase):
    """The SDK's server and cupola."""

    @classmethod
    def setUpClass(cls):
        cls.emulator = Emulator("stub=builtin:notes,protocol=2.0.0", "whole=builtin:notes,protocol=2.0.0")
        cls.addClassCleanup(cls.emulator.stop)
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        environment = "a2a-0.3" if IS_OLD else "a2a"
        command = shlex.split(agent_command(environment, "a2a_server.py", cls.emulator.url))
        process = subprocess.Popen(command, env={**os.environ, "PORT": str(port)}, stderr=subprocess.DEVNULL)
        cls.addClassCleanup(process.wait, PATIENCE)
        cls.addClassCleanup(process.terminate)

        def answers():
            if process.poll() is not None:
                raise AssertionError("the server has ended")
            with socket.socket() as attempt:
                return attempt.connect_ex(("127.0.0.1", port)) == 0
        until("the server listens", answers)
        cls.user = CommandLine(url, cls.emulator.new_token("--url", url))
        cls.addClassCleanup(cls.user.stop)

    def invoke(self, text, *arguments, agent="stub", status=0):
        done = self.user.invoke("--protocol", "a2a", "--agent-name", agent, *arguments, text)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done

    def test_every_form_of_an_answer(self):
        for text, expected in (("say hello there", "hello there"), ("stream one two three", "one two three"),
                               ("revise", "the final text"), ("two", "one \ntwo"), ("progress", "the result"),
                               ("finish", "done as asked"), ("ask", "which one?")):
            for agent in ("stub", "whole"):
                with self.subTest(text, agent=agent):
                    # An agent that asks something has an exit code of its own.
                    status = 9 if text == "ask" else 0
                    done = self.invoke(text, "-o", "json", "--new-conversation", agent=agent, status=status)
                    result = json.loads(done.stdout)
                    self.assertEqual((result["status"], result["text"]), ("completed", expected))

    def test_text_comes_in_pieces(self):
        events = [json.loads(line) for line in
                  self.invoke("stream one two three", "-o", "jsonl", "--new-conversation").stdout.splitlines()]
        deltas = [event["delta"] for event in events if event.get("type") == "textDelta"]
        self.assertEqual(deltas, ["one", " two", " three"])

    def test_failures(self):
        for agent in ("stub", "whole"):
            self.assertIn("out of paper", self.invoke("fail", "--new-conversation", agent=agent, status=1).stderr)
            # The older server breaks off a stream.
            self.invoke("crash", agent=agent, status=7 if IS_OLD and agent == "stub" else 1)

    def test_a_context_is_continued(self):
        for agent in ("stub", "whole"):
            counts = [self.invoke("context", *new, agent=agent).stdout.strip()
                      for new in (["--new-conversation"], [], [], ["--new-conversation"])]
            self.assertEqual(counts, ["1", "2", "3", "1"])


if __name__ == "__main__":
    unittest.main()
