"""Proves the emulator with real software: Microsoft's agent server packages run in it, Microsoft's SDK talks to it.

    python3 tests/real/run.py --binary target/debug/cupola [--environments DIR] [--prepare] [MODULE[.CLASS[.TEST]]...]

The clients of the Agent Client Protocol are among them: the Python SDK always, and those that run on Node if `test_acp_node` is named.

Each requirements file becomes one virtual environment below DIR (default `target/real`), made again only when the
file changes; `--prepare` stops after that. Needs Python 3.10 or newer with `venv`, and a package index the first time.
"""

import argparse
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent

# Which environment runs a module of tests: the SDK's needs the SDK, the others only the standard library.
MODULES = {"test_acp_python": "acp", "test_agentserver": None, "test_isolation_keys": None, "test_local": None, "test_sdk": "sdk",
           "test_strangers": None}

# Tests that also need Node and its package manager. They run when they are named.
NODE_MODULES = {"test_acp_node": None}


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


def run_tests(command, variables):
    """Runs unittest, shows what it says, and returns how many tests ran and how many of them did not pass."""
    process = subprocess.Popen(command, cwd=HERE, env=variables, stderr=subprocess.PIPE, text=True)
    run = bad = 0
    for line in process.stderr:
        print(line, end="", flush=True)
        if match := re.fullmatch(r"Ran (\d+) tests? in .*\n", line):
            run = int(match[1])
        elif line.startswith("FAILED ("):
            bad = sum(int(number) for number in re.findall(r"(?:failures|errors)=(\d+)", line))
    # A module that does not even load, or a run that is killed, is one that did not pass.
    return (run, bad) if process.wait() == 0 else (max(run, 1), max(bad, 1))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--binary", type=pathlib.Path, required=True, help="the cupola binary")
    arguments.add_argument("--environments", type=pathlib.Path, default=HERE.parents[1] / "target" / "real")
    arguments.add_argument("--prepare", action="store_true", help="make the environments and stop")
    arguments.add_argument("tests", nargs="*", default=list(MODULES))
    arguments = arguments.parse_args()

    environments = arguments.environments.resolve()
    for requirements in sorted(HERE.glob("requirements-*.txt")):
        name = requirements.stem.removeprefix("requirements-")
        started = time.monotonic()
        make_environment(environments / name, requirements)
        print(f"environment {name}: {time.monotonic() - started:.1f} s", flush=True)

    if arguments.prepare:
        return

    modules = {**MODULES, **NODE_MODULES}
    if any(test.partition(".")[0] in NODE_MODULES for test in arguments.tests):
        started = time.monotonic()
        make_packages(environments / "acp-node", HERE / "acp")
        print(f"environment acp-node: {time.monotonic() - started:.1f} s", flush=True)

    variables = {
        **os.environ,
        "CUPOLA_REAL_BINARY": str(arguments.binary.resolve()),
        "CUPOLA_REAL_ENVIRONMENTS": str(environments),
    }
    passed = failed = 0
    for test in arguments.tests:
        environment = modules[test.partition(".")[0]]
        python = environments / environment / "bin" / "python" if environment else sys.executable
        started = time.monotonic()
        run, bad = run_tests([python, "-m", "unittest", test], variables)
        print(f"{test}: {time.monotonic() - started:.1f} s", flush=True)
        passed, failed = passed + run - bad, failed + bad
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
