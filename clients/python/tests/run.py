"""Runs the package's tests: `python3 clients/python/tests/run.py [TEST]...`, as unittest names them. Standard library
only; `CUPOLA_BINARY` names the `cupola` to test with, else the debug build's. Ends with `N passed, M failed`."""

import os
import pathlib
import sys
import unittest

TESTS = pathlib.Path(__file__).resolve().parent
PACKAGE = TESTS.parent


class Result(unittest.TextTestResult):
    """Counts the tests that passed."""

    passed = 0

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1


def main():
    sys.path[:0] = [str(PACKAGE / "src"), str(PACKAGE), str(TESTS)]
    os.environ.setdefault("CUPOLA_BINARY", str(PACKAGE.parents[1] / "target" / "debug" / "cupola"))
    loader = unittest.TestLoader()
    tests = loader.loadTestsFromNames(sys.argv[1:]) if sys.argv[1:] else loader.discover(str(TESTS))
    result = unittest.TextTestRunner(resultclass=Result, verbosity=1, warnings="error").run(tests)
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses) + len(result.skipped)
    print(f"{result.passed} passed, {failed} failed")
    sys.exit(0 if failed == 0 and result.passed else 1)


if __name__ == "__main__":
    main()
