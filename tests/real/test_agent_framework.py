"""Microsoft's agent-framework: its FoundryAgent as the caller, and its hosting package as the agent."""

import json
import logging
import os
import time
import unittest

from agent_framework import AgentResponse
from agent_framework.exceptions import ChatClientException
from agent_framework.foundry import FoundryAgent
from azure.core.credentials import AccessToken

from support import Emulator, Endpoint, agent_command, text_of, until

RESPONSES = "/protocols/openai/responses"

# unittest turns on asyncio's debug mode, which reports each step that takes 100 ms.
logging.getLogger("asyncio").setLevel(logging.ERROR)


class Credential:
    """Gives the emulator's token."""

    def __init__(self, token):
        self.token = token

    async def get_token(self, *_, **__):
        return AccessToken(self.token, int(time.time()) + 3600)

    async def close(self):
        pass

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass


def framework(kind):
    return f"exec:{agent_command('agent-framework', 'framework.py', kind)},protocol=2.0.0"


def joined(updates):
    """The text of a streamed answer, put together as the framework's user would."""
    return AgentResponse.from_updates(updates).text


class Framework(unittest.IsolatedAsyncioTestCase):
    agents = (
        f"hosted={framework('responses')}",
        f"own={framework('own-history')}",
        f"invoked={framework('invocations')},protocols=invocations",
        f"responder=exec:{agent_command('agentserver', 'responses.py')},protocol=2.0.0,version=7",
        "notes=builtin:notes,protocol=2.0.0",
    )

    @classmethod
    def setUpClass(cls):
        cls.emulator = Emulator(*cls.agents, tls=True)
        cls.addClassCleanup(cls.emulator.stop)
        # The clients trust what the environment names.
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
            os.environ[name] = cls.emulator.certificate
            cls.addClassCleanup(os.environ.pop, name)

    def agent(self, name, is_preview, user=None, **options):
        """The agent as its caller sees it: through its own endpoint in the preview, else through the project's."""
        agent = FoundryAgent(
            project_endpoint=self.emulator.project, agent_name=name, credential=Credential(self.emulator.token),
            allow_preview=is_preview, default_headers={"x-ms-user-identity": user} if user else None, **options)
        # The framework leaves its connections open.
        self.addAsyncCleanup(agent.client.client.close)
        self.addAsyncCleanup(agent.__aexit__, None, None, None)
        return agent

    def both_paths(self, *arguments, **options):
        return [self.agent(*arguments, is_preview=is_preview, **options) for is_preview in (True, False)]


class Caller(Framework):
    async def test_an_answer_whole_and_in_pieces(self):
        for agent in self.both_paths("responder"):
            self.assertEqual((await agent.run("say hello there")).text, "hello there")
            updates = [update async for update in agent.run("say one two three", stream=True)]
            self.assertEqual(joined(updates), "one two three")
            self.assertGreaterEqual(sum(1 for update in updates if update.text), 3)

    async def test_a_session_continues_its_turns_in_one_sandbox(self):
        for agent in self.both_paths("responder"):
            session = agent.create_session()
            await agent.run("remember the launch code", session=session)
            first = json.loads((await agent.run("recall", session=session)).text)
            self.assertEqual(first["notes"], "the launch code\n")
            self.assertEqual((await agent.run("history", session=session)).text, "history items: 4")
            second = json.loads((await agent.run("recall", session=session)).text)
            self.assertEqual(first["process"], second["process"])
            other = agent.create_session()
            self.assertEqual((await agent.run("history", session=other)).text, "history items: 0")

    async def test_a_conversation_made_by_the_service(self):
        for agent in self.both_paths("responder"):
            session = await agent.create_conversation()
            for items in (0, 2):
                self.assertEqual((await agent.run("history", session=session)).text, f"history items: {items}")

    async def test_background(self):
        for agent in self.both_paths("responder"):
            response = await agent.run("tick 3", options={"background": True})
            while response.continuation_token:
                response = await agent.run(options={"continuation_token": response.continuation_token})
            self.assertEqual(response.text, "tick0 tick1 tick2")

    async def test_background_stream_is_resumed(self):
        for agent in self.both_paths("responder"):
            token = None
            stream = agent.run("tick 5", stream=True, options={"background": True})
            async for update in stream:
                token = update.continuation_token or token
                if "tick1" in update.text:
                    break
            await stream.close()
            # The framework reads the stream again from its beginning.
            updates = [update async for update in agent.run(stream=True, options={"continuation_token": token})]
            self.assertEqual(joined(updates), "tick0 tick1 tick2 tick3 tick4")

    async def test_each_user_has_their_own_turns(self):
        anns, bens = (self.both_paths("responder", user=f"{name}@contoso.com") for name in ("ann", "ben"))
        for ann, ben in zip(anns, bens):
            session = ann.create_session()
            await ann.run("remember this", session=session)
            self.assertEqual((await ann.run("history", session=session)).text, "history items: 2")
            with self.assertRaises(ChatClientException) as refused:
                await ben.run("history", session=session)
            self.assertIn("404", str(refused.exception))

    async def test_tools_stay_with_the_caller(self):
        def add(first: int, second: int) -> int:
            """Adds."""
            return first + second

        # The service refuses tools where an agent is named, so the framework must not send them.
        for agent in self.both_paths("responder", tools=[add]):
            with self.assertLogs("agent_framework.foundry", "WARNING"):
                self.assertEqual((await agent.run("say hi")).text, "hi")

    async def test_the_version_that_is_asked_for(self):
        agent = self.agent("responder", False, agent_version="7")
        self.assertEqual((await agent.run("say hi")).text, "hi")
        agent = self.agent("responder", False, agent_version="99")
        with self.assertRaises(ChatClientException) as refused:
            await agent.run("say hi")
        self.assertIn("404", str(refused.exception))


class Host(Framework):
    def setUp(self):
        self.hosted = Endpoint(self.emulator, "hosted")

    async def test_the_framework_calls_what_it_hosts(self):
        for name in ("hosted", "own"):
            for agent in self.both_paths(name):
                session = agent.create_session()
                self.assertEqual((await agent.run("one", session=session)).text, "heard: one")
                self.assertEqual((await agent.run("two", session=session)).text, "heard: one | two")
                updates = [update async for update in agent.run("three", session=session, stream=True)]
                self.assertEqual(joined(updates), "heard: one | two | three")

    def test_history_by_response_in_any_sandbox(self):
        first = self.hosted.respond("one")
        self.assertEqual(first.status, 200, first.body)
        again = self.hosted.respond("two", previous_response_id=first.json["id"])
        self.assertEqual((again.status, text_of(again.json)), (200, "heard: one | two"))
        elsewhere = self.hosted.respond("three", previous_response_id=again.json["id"],
                                        agent_session_id=self.hosted.new_session())
        self.assertEqual((elsewhere.status, text_of(elsewhere.json)), (200, "heard: one | two | three"))

    def test_a_conversation_is_history(self):
        conversation = self.hosted.call("POST", "/protocols/openai/conversations", {}).json["id"]
        self.hosted.respond("one", conversation=conversation)
        self.assertEqual(text_of(self.hosted.respond("two", conversation=conversation).json), "heard: one | two")

    def test_background(self):
        started = self.hosted.respond("later", background=True).json

        def ended():
            response = self.hosted.call("GET", f"{RESPONSES}/{started['id']}").json
            return response["status"] == "completed" and response
        self.assertEqual(text_of(until("the response ends", ended)), "heard: later")

    def test_invocations(self):
        agent = Endpoint(self.emulator, "invoked")
        session = agent.new_session()
        first = agent.invoke({"message": "one"}, session)
        self.assertEqual(first.status, 200, first.body)
        self.assertIn("heard: one", first.body.decode())
        with agent.stream("POST", "/protocols/invocations", {"message": "two", "stream": True},
                          query={"agent_session_id": session}) as stream:
            events = list(stream)
        self.assertEqual(events[-1][0], "done")
        text = "".join(data["text"] for name, data in events if name == "delta")
        self.assertEqual(text, "heard: one | two")


if __name__ == "__main__":
    unittest.main()
