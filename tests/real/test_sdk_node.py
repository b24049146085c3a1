"""The published SDK for Node: runs `node/sdk.test.mjs` against an emulator."""

import os
import pathlib
import re
import subprocess
import unittest

from support import PATIENCE, Proof, agent_command


class Node(Proof):
    agents = (
        "echo=builtin:notes,protocol=2.0.0,version=2",
        "echo=builtin:notes,protocol=2.0.0,version=3",
        f"responder=exec:{agent_command('agentserver', 'responses.py')},protocol=2.0.0",
    )
    tls = True

    def test_all(self):
        directory = pathlib.Path(os.environ["CUPOLA_REAL_ENVIRONMENTS"]) / "node"
        variables = {
            **os.environ,
            "NODE_EXTRA_CA_CERTS": self.emulator.certificate,
            "CUPOLA_REAL_PROJECT": self.emulator.project,
            "CUPOLA_REAL_TOKEN": self.emulator.token,
        }
        done = subprocess.run(["node", "--test", "--test-reporter=tap", "sdk.test.mjs"], cwd=directory, env=variables,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=3 * PATIENCE)
        self.assertEqual(done.returncode, 0, done.stdout)
        counts = {name: int(number) for name, number in re.findall(r"^# (pass|skipped) (\d+)$", done.stdout, re.MULTILINE)}
        self.assertGreater(counts["pass"], 0)
        self.assertEqual(counts["skipped"], 0)


if __name__ == "__main__":
    unittest.main()
