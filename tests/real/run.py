"""Tests the emulator, and Cupola, with real counterparts: published packages that run unchanged.

    python3 tests/real/run.py --binary target/debug/cupola [--environments DIR] [--prepare] [SUITE[.CLASS[.TEST]]...]

Each requirements file becomes one virtual environment below DIR (default `target/real`), made again only when the
file changes; `--prepare` stops after that. Needs Python 3.10 or newer with `venv`, and a package index the first time.
`docs/emulator.md` lists the versions; `cargo xtask lint` compares that table with the requirements files.
"""

import argparse
import concurrent.futures
import dataclasses
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent

# Suites spend half of their time waiting for agents to import their packages. More of them at once would make a machine
# with two cores miss the deadlines of the tests.
AT_ONCE = 2


@dataclasses.dataclass(frozen=True)
class Suite:
    """A module of tests, and the environments it uses."""

    module: str
    # Whose Python runs the tests. Without one, the Python that runs this script, and only the standard library.
    client: str | None = None
    # Where the agents of agents/ that use Microsoft's current agent servers run.
    agentserver: str = "agentserver"
    # A counterpart must run. The other suites may skip a test that needs Chromium or root.
    may_skip: bool = False


# Those that take longest come first, so that no long one runs alone at the end.
SUITES = {
    "langchain": Suite("test_langchain", client="langchain"),
    "agent_framework": Suite("test_agent_framework", client="agent-framework", agentserver="agent-framework"),
    "field_matrix": Suite("test_field_matrix"),
    "agentserver": Suite("test_agentserver"),
    # agent-framework's hosting package requires the pre-releases.
    "agentserver_preview": Suite("test_agentserver", agentserver="agent-framework"),
    "acp_node": Suite("test_acp_node"),
    "acp_python": Suite("test_acp_python", client="acp"),
    "a2a": Suite("test_a2a", client="a2a"),
    "a2a_old": Suite("test_a2a", client="a2a-0.3"),
    "telemetry": Suite("test_telemetry", client="agentserver"),
    "local": Suite("test_local"),
    "local_preview": Suite("test_local", agentserver="agent-framework"),
    "sdk": Suite("test_sdk", client="sdk"),
    "sdk_async": Suite("test_sdk_async", client="sdk"),
    "sdk_old": Suite("test_sdk", client="agent-framework"),
    "sdk_node": Suite("test_sdk_node"),
    "mcp": Suite("test_mcp", client="mcp"),
    "mcp_node": Suite("test_mcp_node"),
    "mcp_conformance": Suite("test_mcp_conformance"),
    "strangers": Suite("test_strangers", may_skip=True),
    "isolation_keys": Suite("test_isolation_keys"),
    "runner": Suite("test_run"),
}

# Those that also need Node and its package manager.
ON_NODE = ["sdk_node", "acp_node", "mcp_node", "mcp_conformance"]


def make_environment(directory, requirements):
    """One virtual environment with exactly these packages; nothing to do when it is there."""
    stamp = directory / "requirements.sha256"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(directory, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", directory], check=True)
    # Every package is pinned, so nothing need be resolved.
    subprocess.run([directory / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile",
                    "--disable-pip-version-check", "--requirement", requirements], check=True)
    stamp.write_text(wanted)


def make_packages(directory, source):
    """The packages of a package-lock.json, and the scripts beside it."""
    lock = (source / "package-lock.json").read_text()
    stamp = directory / "installed.json"
    if not (stamp.exists() and stamp.read_text() == lock):
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(source, directory)
        # No package's script is run: nothing here needs one. Not `npm ci`: it refuses a lock that lacks optional packages of
        # systems that a registry does not serve.
        subprocess.run(["npm", "install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"],
                       cwd=directory, stdin=subprocess.DEVNULL, check=True)
        stamp.write_text(lock)
    for script in source.glob("*.mjs"):
        shutil.copy(script, directory)


def prepare(environments, has_node):
    """Makes all virtual environments, and the directories of Node packages."""
    def make(wanted):
        name, maker, source = wanted
        started = time.monotonic()
        maker(environments / name, source)
        # With its end of line in one piece, for those that run side by side.
        print(f"environment {name}: {time.monotonic() - started:.1f} s\n", end="", flush=True)
    all_wanted = [(path.stem.removeprefix("requirements-"), make_environment, path)
                  for path in sorted(HERE.glob("requirements-*.txt"))]
    if has_node:
        all_wanted.append(("node", make_packages, HERE / "node"))
        all_wanted.append(("acp-node", make_packages, HERE / "acp"))
        all_wanted.append(("mcp-node", make_packages, HERE / "mcp"))
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(make, all_wanted))


def run_suite(test, environments, binary):
    """Runs one suite, shows what it says, and returns how many tests ran and how many of them did not pass."""
    name, dot, part = test.partition(".")
    suite = SUITES[name]
    variables = {
        **os.environ,
        "CUPOLA_REAL_BINARY": str(binary),
        "CUPOLA_REAL_ENVIRONMENTS": str(environments),
        "CUPOLA_REAL_AGENTSERVER": suite.agentserver,
    }
    python = environments / suite.client / "bin" / "python" if suite.client else sys.executable
    started = time.monotonic()
    done = subprocess.run([python, "-m", "unittest", suite.module + dot + part], cwd=HERE, env=variables,
                          stderr=subprocess.PIPE, text=True)
    run, bad = count(done.stderr, suite.may_skip)
    if done.returncode != 0:
        # A module that does not even load, or a run that is killed, is one that did not pass.
        run, bad = max(run, 1), max(bad, 1)
    # In one piece, so that the lines of suites that run side by side stay together.
    print(f"{done.stderr}{test}: {run - bad} of {run}, {time.monotonic() - started:.1f} s\n", end="", flush=True)
    return run, bad


def count(report, may_skip):
    """How many tests unittest ran, and how many of them did not pass. A skipped test did not pass, unless it may be."""
    ran = re.search(r"^Ran (\d+) tests? in ", report, re.MULTILINE)
    run = int(ran[1]) if ran else 0
    result = report.rstrip().rpartition("\n")[2]
    kinds = "failures|errors|unexpected successes" + ("" if may_skip else "|skipped")
    bad = sum(int(number) for number in re.findall(rf"\b(?:{kinds})=(\d+)", result))
    # When a class cannot be set up, unittest reports one error and counts no test of it.
    run = max(run, bad)
    return (run, bad) if run else (1, 1)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--binary", type=pathlib.Path, required=True, help="the cupola binary")
    arguments.add_argument("--environments", type=pathlib.Path, default=HERE.parents[1] / "target" / "real")
    arguments.add_argument("--prepare", action="store_true", help="make the environments and stop")
    arguments.add_argument("tests", nargs="*", default=list(SUITES))
    arguments = arguments.parse_args()

    environments, binary = arguments.environments.resolve(), arguments.binary.resolve()
    # Not everybody has every tool. With CI set, as in .ci/run, nothing may be skipped.
    has_node = bool(shutil.which("npm")) or "CI" in os.environ
    prepare(environments, has_node)
    if arguments.prepare:
        return
    for suite in ON_NODE:
        if not has_node and suite in arguments.tests:
            print(f"skipped: {suite}: npm is not installed", flush=True)
            arguments.tests.remove(suite)
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(lambda test: run_suite(test, environments, binary), arguments.tests))
    run, bad = (sum(numbers) for numbers in zip(*results))
    print(f"{run - bad} passed, {bad} failed")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
