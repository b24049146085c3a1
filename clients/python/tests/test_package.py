"""The package as its users get it: built, installed into a fresh environment, type-checked, and used from there."""

import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest
import venv
import zipfile

from support import PACKAGE, PATIENCE, ROOT, Daemon

# Building and installing asks a package index, which may be far away.
INSTALL_PATIENCE = 20 * PATIENCE


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_PATIENCE, **options)
    if done.returncode != 0:
        raise AssertionError(f"{command} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def environment(directory, *arguments):
    """A new virtual environment in which `pip install` was given these arguments; its Python."""
    venv.create(directory, with_pip=True)
    python = directory / "bin" / "python"
    if arguments:
        run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments])
    return python


def tools():
    """The Python of an environment with the tools of requirements.txt, kept until that changes."""
    directory, requirements = ROOT / "target" / "python", PACKAGE / "tests" / "requirements.txt"
    wanted, stamp = f"{sys.version}\n{requirements.read_text()}", directory / "made-for"
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(directory, ignore_errors=True)
        environment(directory, "--no-deps", "--requirement", requirements)
        stamp.write_text(wanted)
    return directory / "bin" / "python"


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = pathlib.Path(tempfile.mkdtemp(prefix="cupola-package-"))
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        (cls.directory / "dist").mkdir()
        # What a build leaves behind stays out of the sources.
        source = cls.directory / "clients" / "python"
        shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__", ".mypy_cache"))
        cls.tools, cls.source = tools(), source
        build = "import sys; from flit_core.buildapi import *; build_wheel(sys.argv[1]); build_sdist(sys.argv[1])"
        run([cls.tools, "-c", build, cls.directory / "dist"], cwd=source)

    def only(self, pattern):
        [path] = (self.directory / "dist").glob(pattern)
        return path

    def test_the_wheel_holds_the_package_and_nothing_else(self):
        with zipfile.ZipFile(self.only("*.whl")) as wheel:
            names = [name for name in wheel.namelist() if ".dist-info/" not in name]
            metadata = wheel.read(next(name for name in wheel.namelist() if name.endswith("METADATA"))).decode()
        own = {str(path.relative_to(PACKAGE / "src")) for path in (PACKAGE / "src").rglob("*") if path.is_file()}
        self.assertEqual(set(names), {name for name in own if "__pycache__" not in name})
        self.assertIn("cupola/py.typed", names)
        self.assertNotIn("Requires-Dist", metadata)

    def test_the_source_distribution_can_be_built_from(self):
        with tarfile.open(self.only("*.tar.gz")) as sources:
            names = [name.partition("/")[2] for name in sources.getnames()]
        for needed in ("pyproject.toml", "README.md", "src/cupola/__init__.py", "src/cupola/py.typed"):
            self.assertIn(needed, names)

    def test_the_version_is_the_projects(self):
        own = re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
        self.assertIsNotNone(own)
        self.assertEqual(self.only("*.whl").name, f"cupola-{own[1]}-py3-none-any.whl")

    def test_the_readmes_example_runs_from_the_installed_wheel(self):
        python = environment(self.directory / "from-wheel", "--no-index", self.only("*.whl"))
        example = re.search(r"```python\n(.+?)```", (PACKAGE / "README.md").read_text(), re.DOTALL)[1]
        self.assertEqual(self.in_a_shell_of_its_own([python, "-c", example]), "echo: hello\n")

    def test_the_documented_command_installs_it(self):
        command = re.search(r"```sh\n(pip install .+)\n```", (ROOT / "docs" / "python.md").read_text())[1]
        python = environment(self.directory / "from-page")
        run(["bash", "-ec", f"PATH={python.parent}:$PATH\n{command}"], cwd=self.directory)
        where = self.in_a_shell_of_its_own([python, "-c", "import cupola; print(cupola.__file__)"])
        self.assertTrue(where.startswith(str(python.parent.parent)), where)

    def test_the_types_hold(self):
        for version in ("3.10", f"3.{sys.version_info.minor}"):
            run([self.tools, "-m", "mypy", "--strict", "--python-version", version], cwd=self.source)

    def test_a_wrong_use_is_found_by_the_type_checker(self):
        wrong = self.source / "wrong.py"
        wrong.write_text(
            "import cupola\nclient = cupola.connect(target=cupola.emulator())\nnumber: int = client.invoke(5)\n"
        )
        done = subprocess.run(
            [self.tools, "-m", "mypy", "--strict", "wrong.py"], cwd=self.source, capture_output=True, text=True
        )
        self.assertIn("arg-type", done.stdout)
        self.assertIn("assignment", done.stdout)

    def in_a_shell_of_its_own(self, command):
        daemon = Daemon()
        self.addCleanup(daemon.remove)
        return run(command, env=daemon.environment, cwd=daemon.directory)
