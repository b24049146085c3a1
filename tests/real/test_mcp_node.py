"""`cupola mcp` with the published TypeScript clients of the Model Context Protocol: runs `node/mcp.test.mjs`."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import unittest

from support import HERE, PATIENCE, CommandLine, Proof


class Node(Proof):
    agents = ("notes=builtin:notes",)

    def test_all(self):
        user = CommandLine(self.emulator.url, self.emulator.token)
        self.addCleanup(user.stop)
        directory = pathlib.Path(os.environ["CUPOLA_REAL_ENVIRONMENTS"]) / "node"
        # Node looks for packages beside the file.
        shutil.copy(HERE / "node" / "mcp.test.mjs", directory)
        variables = {
            **os.environ,
            "CUPOLA_REAL_URL": self.emulator.url,
            "CUPOLA_REAL_USER": json.dumps(user.variables),
        }
        done = subprocess.run(["node", "--test", "--test-reporter=tap", "mcp.test.mjs"], cwd=directory, env=variables,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=3 * PATIENCE)
        self.assertEqual(done.returncode, 0, done.stdout)
        counts = {name: int(number) for name, number in re.findall(r"^# (pass|skipped) (\d+)$", done.stdout, re.MULTILINE)}
        self.assertGreater(counts["pass"], 0)
        self.assertEqual(counts["skipped"], 0)


if __name__ == "__main__":
    unittest.main()
