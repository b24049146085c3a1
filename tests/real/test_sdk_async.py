"""The asynchronous half of azure-ai-projects and its OpenAI client, over TLS, through the agent's endpoint and the project's."""

import asyncio
import logging
import ssl
import time
import unittest

from azure.ai.projects.aio import AIProjectClient
from azure.ai.projects.models import VersionRefIndicator
from azure.core.credentials import AccessToken
from azure.core.exceptions import ResourceNotFoundError
from openai import DefaultAsyncHttpxClient, NotFoundError

from support import PATIENCE, Emulator, agent_command

# unittest turns on asyncio's debug mode, which reports each step that takes 100 ms.
logging.getLogger("asyncio").setLevel(logging.ERROR)


class Credential:
    """Gives the emulator's token for the one scope the service has."""

    def __init__(self, token):
        self.token = token

    async def get_token(self, *scopes, **_):
        assert scopes == ("https://ai.azure.com/.default",), scopes
        return AccessToken(self.token, int(time.time()) + 3600)

    async def close(self):
        pass


class Async(unittest.IsolatedAsyncioTestCase):
    agents = (
        "echo=builtin:notes,protocol=2.0.0,version=3",
        f"responder=exec:{agent_command('agentserver', 'responses.py')},protocol=2.0.0",
    )

    @classmethod
    def setUpClass(cls):
        cls.emulator = Emulator(*cls.agents, tls=True)
        cls.addClassCleanup(cls.emulator.stop)

    async def asyncSetUp(self):
        self.client = AIProjectClient(self.emulator.project, Credential(self.emulator.token),
                                      connection_verify=self.emulator.certificate)
        self.addAsyncCleanup(self.client.close)
        self.agents = self.client.agents

    def openai(self, agent):
        trusted = ssl.create_default_context(cafile=self.emulator.certificate)
        opened = self.client.get_openai_client(agent_name=agent, http_client=DefaultAsyncHttpxClient(verify=trusted))
        self.addAsyncCleanup(opened.close)
        return opened

    def both_paths(self, name):
        """For each path the OpenAI client, and what its requests say of the agent."""
        return [(self.openai(name), {}),
                (self.openai(None), {"agent_reference": {"type": "agent_reference", "name": name}})]

    async def test_agents(self):
        self.assertEqual((await self.agents.get("echo")).versions.latest.version, "3")
        self.assertEqual({agent.name async for agent in self.agents.list()}, {"echo", "responder"})
        self.assertEqual([one.version async for one in self.agents.list_versions("echo")], ["3"])
        with self.assertRaises(ResourceNotFoundError):
            await self.agents.get("nobody")

    async def test_session_files_and_log(self):
        version = VersionRefIndicator(agent_version="3")
        session = (await self.agents.create_session("echo", version_indicator=version)).agent_session_id
        self.assertIn(session, [one.agent_session_id async for one in self.agents.list_sessions("echo")])
        await self.agents.upload_session_file("echo", session, b"hello file", path="data/in.txt")
        pieces = await self.agents.download_session_file("echo", session, path="data/in.txt")
        self.assertEqual(b"".join([piece async for piece in pieces]), b"hello file")
        listed = [entry.name async for entry in self.agents.list_session_files("echo", session, path="data")]
        self.assertEqual(listed, ["in.txt"])

        await self.openai("echo").responses.create(input="hello", extra_body={"agent_session_id": session})
        response, chunks = await self.agents.get_session_log_stream(
            "echo", "3", session, cls=lambda response, chunks, _: (response.http_response, chunks))

        async def read_to(wanted):
            text = ""
            async for chunk in chunks:
                text += chunk.decode()
                if wanted in text:
                    return
            raise AssertionError(f"the stream ended: {text}")
        await asyncio.wait_for(read_to("POST /responses 200"), PATIENCE)
        await response.close()

        await self.agents.stop_session("echo", session)
        self.assertEqual((await self.agents.get_session("echo", session)).status, "idle")
        await self.agents.delete_session("echo", session)
        with self.assertRaises(ResourceNotFoundError):
            await self.agents.get_session("echo", session)

    async def test_responses(self):
        for openai, extra in self.both_paths("responder"):
            response = await openai.responses.create(input="say hello there", extra_body=extra)
            self.assertEqual(response.output_text, "hello there")
            self.assertEqual((await openai.responses.retrieve(response.id)).output_text, "hello there")
            again = await openai.responses.create(input="history", previous_response_id=response.id, extra_body=extra)
            self.assertEqual(again.output_text, "history items: 2")
            self.assertEqual(len([item async for item in openai.responses.input_items.list(response.id)]), 1)
            started = await openai.responses.create(input="tick 1000", background=True, extra_body=extra)
            self.assertEqual((await openai.responses.cancel(started.id)).status, "cancelled")
            await openai.responses.delete(response.id)
            with self.assertRaises(NotFoundError):
                await openai.responses.retrieve(response.id)

    async def test_streams(self):
        for openai, extra in self.both_paths("responder"):
            async with await openai.responses.create(input="say a b c d", stream=True, background=True,
                                                     extra_body=extra) as events:
                seen = [event async for event in events]
            self.assertEqual((seen[0].type, seen[-1].type), ("response.created", "response.completed"))
            async with await openai.responses.retrieve(seen[0].response.id, stream=True, starting_after=3) as events:
                self.assertEqual([event.type async for event in events], [event.type for event in seen[4:]])
            async with openai.responses.stream(model="m", input="say one two", extra_body=extra) as stream:
                self.assertEqual((await stream.get_final_response()).output_text, "one two")

    async def test_twenty_calls_at_once_keep_their_answers_apart(self):
        openai, _ = self.both_paths("responder")[0]
        session = {"agent_session_id": (await self.agents.create_session("responder", {})).agent_session_id}
        answers = await asyncio.gather(*(
            openai.responses.create(input=f"say number {number}", extra_body=session) for number in range(20)))
        self.assertEqual([answer.output_text for answer in answers], [f"number {number}" for number in range(20)])

    async def test_conversations(self):
        for openai, extra in self.both_paths("responder"):
            made = await openai.conversations.create(metadata={"k": "v"})
            for items in (0, 2):
                response = await openai.responses.create(input="history", conversation=made.id, extra_body=extra)
                self.assertEqual(response.output_text, f"history items: {items}")
            self.assertEqual(len([item async for item in openai.conversations.items.list(made.id)]), 4)
            updated = await openai.conversations.update(made.id, metadata={"k": "w"})
            self.assertEqual(updated.metadata, {"k": "w"})
            self.assertTrue((await openai.conversations.delete(made.id)).deleted)
            with self.assertRaises(NotFoundError):
                await openai.conversations.retrieve(made.id)


if __name__ == "__main__":
    unittest.main()
