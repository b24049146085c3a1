"""What the tests of packages share: the packages, an empty home, and the README's first question."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = pathlib.Path(os.environ["CUPOLA_PACKAGES"])

# More than anything here takes on a busy machine; what takes this long hangs.
LIMIT = 240

QUESTION = "remember the launch code is 4711"
ANSWER = "Remembered: the launch code is 4711"


def package(pattern):
    """The one package with this name."""
    found = sorted(PACKAGES.glob(pattern))
    assert len(found) == 1, f"{pattern}: {found}"
    return found[0]


class Fresh(unittest.TestCase):
    """A test with its own home, where nothing is installed, and a `PATH` without Cupola."""

    def setUp(self):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="cupola-install-"))
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)
        self.environment = {
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(self.home / "run"),
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
        }
        for place in os.environ["PATH"].split(os.pathsep):
            if (pathlib.Path(place) / "cupola").exists():
                self.environment["PATH"] = self.environment["PATH"].replace(place, "/nowhere")

    def run_program(self, *command, check=True, **options):
        """Runs a command in the home, and gives what came of it."""
        done = subprocess.run([str(word) for word in command], cwd=self.home, env={**self.environment, **options},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT)
        if check and done.returncode != 0:
            self.fail(f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def answers(self, *program):
        """Asks the README's first question, with a daemon that the program starts itself."""
        self.addCleanup(self.run_program, *program, "stop", "--force", check=False)
        readme = (ROOT / "README.md").read_text()
        self.assertTrue(re.search(rf'invoke --emulator "{QUESTION}"', readme), "the README asks something else")
        done = self.run_program(*program, "invoke", "--emulator", QUESTION)
        self.assertEqual(done.stdout.strip(), ANSWER)


def python(environment):
    """A new virtual environment's Python."""
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    return environment / "bin" / "python"
