"""`cupola mcp` with the published TypeScript clients of the Model Context Protocol: runs `node/mcp.test.mjs`."""

import json
import unittest

from support import CommandLine, Proof, run_node


class Node(Proof):
    agents = ("notes=builtin:notes",)

    def test_all(self):
        user = CommandLine(self.emulator.url, self.emulator.token)
        self.addCleanup(user.stop)
        run_node(self, "mcp.test.mjs", {
            "CUPOLA_REAL_URL": self.emulator.url,
            "CUPOLA_REAL_USER": json.dumps(user.variables),
        })


if __name__ == "__main__":
    unittest.main()
