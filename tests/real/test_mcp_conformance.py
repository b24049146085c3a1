"""`cupola mcp` with the official testers of the Model Context Protocol: its conformance suite and the inspector's command line.

The suite asks for tools of certain names, so it runs against an example that offers them beside the usual tools of the same server.
docs/mcp.md lists the checks that do not apply, and this test holds that table in both directions.
"""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

from support import HERE, PATIENCE, CommandLine, Proof

BINARY = pathlib.Path(os.environ["CUPOLA_REAL_BINARY"])
EXAMPLE = BINARY.parent / "examples" / "conformance"
PACKAGES = pathlib.Path(os.environ["CUPOLA_REAL_ENVIRONMENTS"]) / "mcp-node"
# The testers need a newer Node than the other suites do.
NODE = next(PACKAGES.glob("node_modules/node-linux-*/bin/node"), "node")
PAGE = HERE.parents[1] / "docs" / "mcp.md"


class Official(Proof):
    agents = ("notes=builtin:notes",)

    def setUp(self):
        self.user = CommandLine(self.emulator.url, self.emulator.token)
        self.addCleanup(self.user.stop)

    def listen(self, program, *flags):
        """A server over HTTP, and its URL."""
        server = subprocess.Popen([program, "mcp", f"--emulator={self.emulator.url}", "--listen", *flags],
                                  env=self.user.variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        return server.stdout.readline().strip()

    def node(self, script, *arguments):
        return subprocess.run([NODE, PACKAGES / "node_modules" / script, *arguments], env=self.user.variables,
                              cwd=self.user.home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=5 * PATIENCE)


class Conformance(Official):
    def failed(self, package, *flags):
        """The scenarios that did not pass, with the checks that failed in them; and how many passed."""
        # The example starts no daemon; it uses the one that runs.
        self.assertEqual(self.user.run("agents", "list", f"--emulator={self.emulator.url}").returncode, 0)
        url = self.listen(EXAMPLE)
        results = tempfile.mkdtemp(dir=self.user.home)
        ran = self.node(f"{package}/dist/index.js", "server", "--url", url, "--output-dir", results, *flags)
        failed, passed = {}, 0
        for checks in pathlib.Path(results).glob("*/checks.json"):
            scenario = re.sub(r"^server-(.*)-\d{4}-\d\d-\d\dT.*$", r"\1", checks.parent.name)
            found = json.loads(checks.read_text())
            passed += sum(check["status"] == "SUCCESS" for check in found)
            # A warning is what the protocol recommends, and a check that is skipped says why itself.
            bad = {check["id"]: check.get("errorMessage") for check in found if check["status"] == "FAILURE"}
            if bad:
                failed[scenario] = bad
        self.assertGreater(passed, 0, ran.stdout + ran.stderr)
        return failed, passed

    def test_only_what_does_not_apply_fails(self):
        table = PAGE.read_text().partition("| does not apply |")[2].partition("\n\n")[0]
        listed = {name for row in table.splitlines()[2:] for name in re.findall(r"`([\w-]+)`", row.split("|")[1])}
        self.assertGreater(len(listed), 30)
        needed = set()
        for package, flags, at_least in (("conformance-0.1", (), 12),
                                         ("@modelcontextprotocol/conformance", ("--requirements", "2026-07-28"), 90)):
            with self.subTest(package=package):
                failed, passed = self.failed(package, *flags)
                self.assertGreaterEqual(passed, at_least)
                for scenario, checks in failed.items():
                    named = {scenario} & listed or set(checks)
                    self.assertLessEqual(named, listed, f"{scenario}: {checks}")
                    needed |= named
        self.assertEqual(listed - needed, set(), "the page lists what passes")


class Inspector(Official):
    def inspect(self, era, *arguments, url=None):
        target = [url] if url else [str(BINARY), "mcp", f"--emulator={self.emulator.url}"]
        variables = [word for name, value in self.user.variables.items() for word in ("-e", f"{name}={value}")]
        ran = self.node("@modelcontextprotocol/inspector/clients/launcher/build/index.js", "--cli", *target,
                        *([] if url else variables), "--protocol-era", era, "--format", "json", "--quiet", *arguments)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)
        found = json.loads(ran.stdout)
        return found.get("result", found)

    def test_the_inspector_finds_no_fault_and_asks_the_agent(self):
        over_http = self.listen(BINARY)
        for era in ("legacy", "modern"):
            for url in (None, over_http):
                with self.subTest(era=era, url=url):
                    # With --strict, a schema that is an error for some programs ends it with another status.
                    tools = self.inspect(era, "--method", "tools/list", "--strict", url=url)["tools"]
                    self.assertIn("agent_invoke", {tool["name"] for tool in tools})
                    said = self.inspect(era, "--method", "tools/call", "--tool-name", "agent_invoke", "--tool-args-json",
                                        '{"message": "remember the milk", "newSession": true}', url=url)
                    session = said["structuredContent"]["sessionId"]
                    read = self.inspect(era, "--method", "resources/read", "--uri",
                                        f"cupola://notes/{session}/files/notes.txt", url=url)
                    self.assertEqual(read["contents"][0]["text"], "the milk\n")
                    templates = self.inspect(era, "--method", "resources/templates/list", url=url)
                    self.assertEqual(len(templates["resourceTemplates"]), 1)


if __name__ == "__main__":
    unittest.main()
