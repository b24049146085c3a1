"""`cupola mcp` with the published Python client of the Model Context Protocol, in both eras of the protocol."""

import asyncio
import os
import unittest

from mcp import Client, StdioServerParameters
from mcp.shared.exceptions import MCPError

from support import PATIENCE, CommandLine, Proof, agent_command

# The one begins with `initialize`, the other asks `server/discover`.
ERAS = {"legacy": "2025-11-25", "auto": "2026-07-28"}


class Mcp(Proof):
    agents = (
        "notes=builtin:notes",
        f"responder=exec:{agent_command('agentserver', 'responses.py')},protocol=2.0.0",
    )

    def setUp(self):
        self.user = CommandLine(self.emulator.url, self.emulator.token)
        self.addCleanup(self.user.stop)

    def in_each_era(self, proof, *flags):
        """Runs a proof with a client of a new server, once for each era."""
        async def prove(mode, version):
            arguments = ["mcp", f"--emulator={self.emulator.url}", *flags]
            server = StdioServerParameters(command=os.environ["CUPOLA_REAL_BINARY"], args=arguments,
                                           env=self.user.variables)
            async with Client(server, mode=mode) as client:
                self.assertEqual(client.protocol_version, version)
                await proof(client)
        for mode, version in ERAS.items():
            with self.subTest(era=version):
                asyncio.run(asyncio.wait_for(prove(mode, version), 2 * PATIENCE))

    def test_an_agent_is_asked_and_what_it_wrote_is_read(self):
        async def proof(client):
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            self.assertTrue(tools["files_read"].annotations.read_only_hint)
            self.assertNotIn("files_delete", tools)
            # The client itself holds each result against the tool's schema.
            said = await client.call_tool("agent_invoke", {"message": "remember the milk", "newSession": True})
            self.assertFalse(said.is_error, said)
            read = await client.call_tool("files_read", {"path": "notes.txt"})
            self.assertEqual(read.structured_content["text"], "the milk\n")
            session = said.structured_content["sessionId"]
            resource = await client.read_resource(f"cupola://notes/{session}/files/notes.txt")
            self.assertEqual(resource.contents[0].text, "the milk\n")
            templates = (await client.list_resource_templates()).resource_templates
            self.assertEqual(templates[0].uri_template, "cupola://{agent}/{session}/files{/path*}")
            for name, arguments in {"agents_list": {}, "sessions_list": {}, "files_list": {}, "logs_tail": {},
                                    "run_show": {"runId": said.structured_content["runId"]}}.items():
                self.assertFalse((await client.call_tool(name, arguments)).is_error, name)
            wrong = await client.call_tool("files_read", {"path": "notes.txt", "isolation": {"userKey": "other"}})
            self.assertTrue(wrong.is_error)
            self.assertIn("unknown field", wrong.content[0].text)
            with self.assertRaises(MCPError):
                await client.call_tool("files_delete", {"sessionId": session, "path": "notes.txt"})
        self.in_each_era(proof, "--user-isolation-key", "tenant-acme")

    def test_an_agent_on_the_agent_server_answers_with_progress_and_is_cancelled(self):
        async def proof(client):
            told = []

            async def progress(number, total, message):
                told.append(message)
            said = await client.call_tool("responder", {"message": "say one two three"}, progress_callback=progress)
            self.assertEqual(said.structured_content["text"], "one two three")
            self.assertEqual("".join(told), "one two three")
            has_begun = asyncio.Event()

            async def begins(number, total, message):
                has_begun.set()
            call = asyncio.create_task(
                client.call_tool("responder", {"message": "tick 10000"}, progress_callback=begins))
            await has_begun.wait()
            call.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await call
            while '"running"' in self.user.run("runs", "list", "-o", "json").stdout:
                await asyncio.sleep(0.05)
            self.assertIn('"cancelled"', self.user.run("runs", "list", "-o", "json").stdout)
        self.in_each_era(proof, "--agent", "responder")

    def test_what_destroys_is_there_when_the_operator_says_so(self):
        async def proof(client):
            created = await client.call_tool("sessions_create", {})
            session = created.structured_content["session"]["sessionId"]
            written = await client.call_tool("files_write", {"path": "a/b.txt", "text": "one"})
            self.assertEqual(written.structured_content["bytes"], 3)
            for name, arguments in (("files_delete", {"path": "a", "recursive": True}), ("sessions_stop", {}),
                                    ("sessions_delete", {})):
                done = await client.call_tool(name, {"sessionId": session, **arguments})
                self.assertFalse(done.is_error, done)
        self.in_each_era(proof, "--allow-destructive")


if __name__ == "__main__":
    unittest.main()
