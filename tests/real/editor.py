"""What the proofs of `cupola acp` share: a home with nothing in it, and an agent on Microsoft's agent server in an emulator."""

import os
import shutil
import subprocess
import tempfile
import unittest

from support import PATIENCE, Emulator, agent_command

BINARY = os.environ["CUPOLA_REAL_BINARY"]


class Editor(unittest.TestCase):
    """Each class has its own home, and with it its own daemon."""

    @classmethod
    def setUpClass(cls):
        cls.emulator = Emulator(f"responder=exec:{agent_command('agentserver', 'responses.py')}")
        cls.addClassCleanup(cls.emulator.stop)
        cls.home = tempfile.mkdtemp(prefix="cupola-acp-")
        cls.addClassCleanup(shutil.rmtree, cls.home, ignore_errors=True)
        cls.work = os.path.join(cls.home, "shop")
        os.mkdir(cls.work)
        cls.variables = {"PATH": os.environ["PATH"], "HOME": cls.home, "XDG_RUNTIME_DIR": f"{cls.home}/run",
                         "CUPOLA_EMULATOR_TOKEN": cls.emulator.token}
        cls.addClassCleanup(cls.stop_daemon)

    @classmethod
    def stop_daemon(cls):
        """Ends the daemon, as an update does. The next call starts another one."""
        subprocess.run([BINARY, "stop", "--force"], env=cls.variables, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=PATIENCE, check=True)

    @classmethod
    def real_agent(cls, key="acme"):
        """The command of an editor's settings, for the agent on the agent server."""
        return ["acp", f"--emulator={cls.emulator.url}", "--agent-name", "responder", "--user-isolation-key", key]

    @staticmethod
    def notes(key="acme"):
        """The same, for the emulator's own agent."""
        return ["acp", "--emulator", "--user-isolation-key", key]
