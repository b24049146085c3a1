"""`cupola acp` with the Python SDK of the Agent Client Protocol, which reads every message by the protocol's own models."""

import asyncio
import collections
import contextlib

from acp import PROTOCOL_VERSION, RequestError, spawn_agent_process, text_block
from acp.schema import AllowedOutcome, RequestPermissionResponse

from editor import BINARY, Editor
from support import PATIENCE


class Client:
    """An editor: it keeps what it is told."""

    def __init__(self):
        self.updates = []
        self.came = asyncio.Event()

    def on_connect(self, agent):
        pass

    async def session_update(self, session_id, update, **_):
        self.updates.append(update)
        self.came.set()

    async def request_permission(self, session_id, tool_call, options, **_):
        """Allows what it is asked."""
        self.asked = tool_call
        allowed = next(option for option in options if option.kind == "allow_once")
        return RequestPermissionResponse(outcome=AllowedOutcome(outcome="selected", option_id=allowed.option_id))

    async def until(self, kind):
        """Waits for an update of this kind."""
        while not any(update.session_update == kind for update in self.updates):
            self.came.clear()
            await asyncio.wait_for(self.came.wait(), PATIENCE)

    def said(self, kind="agent_message_chunk"):
        """The text of a kind of chunks, by message; forgets the updates."""
        texts = collections.defaultdict(str)
        for update in self.updates:
            if update.session_update == kind:
                texts[update.message_id] += update.content.text
        self.updates.clear()
        return dict(texts)


class PythonSdk(Editor):
    @contextlib.asynccontextmanager
    async def agent(self, command):
        client = Client()
        async with spawn_agent_process(client, BINARY, *command, env=self.variables) as (agent, process):
            greeted = await agent.initialize(protocol_version=PROTOCOL_VERSION)
            self.assertEqual(greeted.protocol_version, PROTOCOL_VERSION)
            self.assertTrue(greeted.agent_capabilities.load_session)
            yield client, agent

    async def prompt(self, agent, session, text):
        return await agent.prompt(session_id=session, prompt=[text_block(text)])

    def both(self, proof):
        """Proves it of the emulator's own agent, and of the one on the agent server."""
        for name, command in (("notes", self.notes()), ("agent server", self.real_agent())):
            with self.subTest(name):
                asyncio.run(asyncio.wait_for(proof(command), 4 * PATIENCE))

    def test_a_session_outlives_the_daemon_and_the_editor(self):
        async def proof(command):
            async with self.agent(command) as (client, agent):
                session = (await agent.new_session(cwd=self.work)).session_id
                ended = await self.prompt(agent, session, "remember the milk")
                self.assertEqual(ended.stop_reason, "end_turn")
                first = client.said()
                self.assertEqual(len(first), 1, "one message, one id")
                self.stop_daemon()
                await self.prompt(agent, session, "remember the bread")
                second = client.said()
            async with self.agent(command) as (client, agent):
                listed = await agent.list_sessions(cwd=self.work)
                self.assertIn((session, "remember the milk"), [(each.session_id, each.title) for each in listed.sessions])
                await agent.load_session(cwd=self.work, session_id=session)
                asked = [update.content.text for update in client.updates if update.session_update == "user_message_chunk"]
                self.assertEqual(asked, ["remember the milk", "remember the bread"])
                self.assertEqual(client.said(), {**first, **second}, "the ids and texts of the turns")
                await self.prompt(agent, session, "what do you remember?" if "--agent-name" not in command else "recall")
                self.assertIn("bread", "".join(client.said().values()))
                await agent.close_session(session_id=session)
                with self.assertRaises(RequestError) as refused:
                    await self.prompt(agent, session, "hello")
                self.assertEqual(refused.exception.code, -32002)
                await agent.resume_session(cwd=self.work, session_id=session)
                self.assertEqual(client.updates, [])

        self.both(proof)

    def test_another_tenant_finds_nothing(self):
        async def proof():
            async with self.agent(self.real_agent("acme")) as (_, agent):
                session = (await agent.new_session(cwd=self.work)).session_id
                await self.prompt(agent, session, "say hello")
            async with self.agent(self.real_agent("contoso")) as (_, agent):
                self.assertEqual((await agent.list_sessions()).sessions, [])
                for reopen in (agent.load_session, agent.resume_session):
                    with self.assertRaises(RequestError) as refused:
                        await reopen(cwd=self.work, session_id=session)
                    self.assertEqual(refused.exception.code, -32002)

        asyncio.run(asyncio.wait_for(proof(), 4 * PATIENCE))

    def test_a_turn_is_cancelled_and_the_next_one_works(self):
        async def proof(command):
            async with self.agent(command) as (client, agent):
                session = (await agent.new_session(cwd=self.work)).session_id
                await agent.cancel(session_id=session)
                endless = "tick 1000" if "--agent-name" in command else "slow 1000 50"
                turn = asyncio.create_task(self.prompt(agent, session, endless))
                await client.until("agent_message_chunk")
                await agent.cancel(session_id=session)
                self.assertEqual((await turn).stop_reason, "cancelled")
                self.assertEqual((await self.prompt(agent, session, "say hello")).stop_reason, "end_turn")

        self.both(proof)

    def test_a_failure_says_whether_the_turn_ran(self):
        async def proof(command):
            async with self.agent(command) as (_, agent):
                session = (await agent.new_session(cwd=self.work)).session_id
                with self.assertRaises(RequestError) as failed:
                    await self.prompt(agent, session, "fail")
                self.assertEqual(failed.exception.data["turn"], "ran")
                self.assertTrue(failed.exception.data["kind"])

        self.both(proof)

    def test_the_person_allows_a_tool(self):
        async def proof():
            async with self.agent(self.notes()) as (client, agent):
                session = (await agent.new_session(cwd=self.work)).session_id
                ended = await self.prompt(agent, session, "ask delete_file")
                self.assertEqual(ended.stop_reason, "end_turn")
                self.assertEqual(client.asked.title, "notes: delete_file")
                self.assertIn("Called: delete_file", client.said().values())

        asyncio.run(asyncio.wait_for(proof(), 4 * PATIENCE))

    def test_the_person_chooses_the_agent(self):
        async def proof():
            async with self.agent(self.notes()) as (client, agent):
                opened = await agent.new_session(cwd=self.work)
                self.assertEqual([option.id for option in opened.config_options], ["agent", "version"])
                chosen = await agent.set_config_option(config_id="agent", session_id=opened.session_id,
                                                       value="notes-required")
                self.assertEqual(chosen.config_options[0].current_value, "notes-required")
                await self.prompt(agent, opened.session_id, "tool")
                kinds = [update.session_update for update in client.updates]
                self.assertIn("tool_call", kinds)
                self.assertIn("tool_call_update", kinds)

        asyncio.run(asyncio.wait_for(proof(), 4 * PATIENCE))
