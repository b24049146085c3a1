"""The published SDK for Node: runs `node/sdk.test.mjs` against an emulator."""

import unittest

from support import Proof, agent_command, run_node


class Node(Proof):
    agents = (
        "echo=builtin:notes,protocol=2.0.0,version=2",
        "echo=builtin:notes,protocol=2.0.0,version=3",
        f"responder=exec:{agent_command('agentserver', 'responses.py')},protocol=2.0.0",
    )
    tls = True

    def test_all(self):
        run_node(self, "sdk.test.mjs", {
            "NODE_EXTRA_CA_CERTS": self.emulator.certificate,
            "CUPOLA_REAL_PROJECT": self.emulator.project,
            "CUPOLA_REAL_TOKEN": self.emulator.token,
        })


if __name__ == "__main__":
    unittest.main()
