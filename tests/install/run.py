"""Installs the packages of a release as people do, each into an empty directory, and asks the README's first question there.

    python3 tests/install/run.py DIRECTORY [TEST]...

DIRECTORY is what `cargo xtask dist` filled. `CUPOLA_XTASK` names the program of the build tasks, which writes the manifests. Needs Python
3.10 or newer with `venv`, Node, lintian, and a package index the first time. Ends with `N passed, M failed`.
"""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ENVIRONMENT = ROOT / "target" / "install-environment"


class Result(unittest.TextTestResult):
    """Counts the tests that passed."""

    passed = 0

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1


def make_environment():
    """The virtual environment with what the manifests and the list of crates are checked with; nothing to do when it is there."""
    requirements = HERE / "requirements.txt"
    stamp = ENVIRONMENT / "requirements.sha256"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    if not (stamp.exists() and stamp.read_text() == wanted):
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
        # Every package is pinned, so nothing need be resolved.
        subprocess.run([ENVIRONMENT / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile",
                        "--disable-pip-version-check", "--requirement", requirements], check=True)
        stamp.write_text(wanted)
    return ENVIRONMENT / "bin" / "python"


def main():
    if sys.prefix == sys.base_prefix or pathlib.Path(sys.prefix) != ENVIRONMENT:
        python = make_environment()
        os.execv(python, [python, __file__, *sys.argv[1:]])
    os.environ["CUPOLA_PACKAGES"] = str(pathlib.Path(sys.argv[1]).resolve())
    # The tests run in other directories.
    if "CUPOLA_XTASK" in os.environ:
        os.environ["CUPOLA_XTASK"] = str(pathlib.Path(os.environ["CUPOLA_XTASK"]).resolve())
    sys.path.insert(0, str(HERE))
    loader = unittest.TestLoader()
    tests = loader.loadTestsFromNames(sys.argv[2:]) if sys.argv[2:] else loader.discover(str(HERE))
    result = unittest.TextTestRunner(resultclass=Result, verbosity=1, warnings="error").run(tests)
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses) + len(result.skipped)
    print(f"{result.passed} passed, {failed} failed")
    sys.exit(0 if failed == 0 and result.passed else 1)


if __name__ == "__main__":
    main()
