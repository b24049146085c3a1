"""`cupola acp` with the TypeScript SDK of the Agent Client Protocol, and with `acpx`, which drives agents from a terminal."""

import json
import os
import pathlib
import subprocess

from editor import BINARY, Editor
from support import PATIENCE

PACKAGES = pathlib.Path(os.environ["CUPOLA_REAL_ENVIRONMENTS"]) / "acp-node"
# acpx needs a newer Node than the other suites do.
NODE = next(PACKAGES.glob("node_modules/node-linux-*/bin/node"), "node")


class Node(Editor):
    def run_node(self, *arguments, cwd=None):
        done = subprocess.run([NODE, *arguments], env=self.variables, cwd=cwd or PACKAGES, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=4 * PATIENCE)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout


class TypeScriptSdk(Node):
    def proof(self, command, endless, recall):
        seen = json.loads(self.run_node("sdk.mjs", BINARY, self.work, endless, recall, *command[1:]))
        self.assertEqual(seen.pop("ended"), "end_turn")
        self.assertEqual(seen.pop("titles"), ["remember the milk"])
        self.assertTrue(seen.pop("isReplayed"))
        recalled = seen.pop("recalled")
        self.assertTrue("milk" in recalled and "bread" in recalled, recalled)
        self.assertEqual(seen.pop("cancelled"), "cancelled")
        self.assertEqual(seen.pop("failed")["turn"], "ran")
        self.assertEqual(seen.pop("elsewhere")["code"], -32602)
        self.assertEqual(seen.pop("gone")["code"], -32002)
        self.assertEqual(seen, {})

    def test_a_session_of_the_emulators_own_agent(self):
        self.proof(self.notes(), "slow 1000 50", "what do you remember?")

    def test_a_session_of_an_agent_on_the_agent_server(self):
        self.proof(self.real_agent(), "tick 1000", "recall")


class Acpx(Node):
    def acpx(self, command, *arguments):
        agent = " ".join([BINARY, *command])
        cli = PACKAGES / "node_modules" / "acpx" / "dist" / "cli.js"
        return self.run_node(str(cli), "--cwd", self.work, "--agent", agent, *arguments)

    def test_one_prompt(self):
        for command in (self.notes(), self.real_agent()):
            with self.subTest(command=command):
                said = self.acpx(command, "exec", "say hello there")
                self.assertIn("hello there", said)
                self.assertIn("end_turn", said)

    def test_a_session_is_continued_by_another_process(self):
        for command, recall in ((self.notes(), "what do you remember?"), (self.real_agent(), "recall")):
            with self.subTest(command=command):
                created = self.acpx(command, "sessions", "new")
                self.acpx(command, "prompt", "remember the milk")
                said = self.acpx(command, "--format", "json", "prompt", recall)
                messages = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
                sessions = {message["params"]["sessionId"] for message in messages
                            if message.get("method") == "session/update"}
                self.assertEqual(len(sessions), 1)
                self.assertIn(sessions.pop(), created, "the prompts came in the session that was made first")
                text = "".join(message["params"]["update"]["content"]["text"] for message in messages
                               if message.get("method") == "session/update"
                               and message["params"]["update"]["sessionUpdate"] == "agent_message_chunk")
                self.assertIn("milk", text)
                self.acpx(command, "sessions", "close")
