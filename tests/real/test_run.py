"""What `run.py` makes of unittest's reports: nothing that did not run may look as if it had passed."""

import unittest

import run
from run import SUITES, count


class Reports(unittest.TestCase):
    def test_what_did_not_pass_is_counted(self):
        for ending, may_skip, expected in (
                ("Ran 3 tests in 1.0s\n\nOK\n", False, (3, 0)),
                ("Ran 3 tests in 1.0s\n\nFAILED (failures=1, errors=1)\n", False, (3, 2)),
                ("Ran 3 tests in 1.0s\n\nOK (skipped=2)\n", False, (3, 2)),
                ("Ran 3 tests in 1.0s\n\nOK (skipped=2)\n", True, (3, 0)),
                ("Ran 3 tests in 1.0s\n\nFAILED (unexpected successes=1)\n", False, (3, 1)),
                # A class that could not be set up, a module without tests, and a run that was killed.
                ("Ran 0 tests in 0.1s\n\nFAILED (errors=1)\n", False, (1, 1)),
                ("Ran 0 tests in 0.0s\n\nOK\n", False, (1, 1)),
                ("...", False, (1, 1))):
            self.assertEqual(count("....\n" + ending, may_skip), expected, ending)

    def test_every_module_of_tests_is_a_suite(self):
        modules = {suite.module for suite in SUITES.values()}
        found = {path.stem for path in run.HERE.glob("test_*.py")}
        self.assertEqual(found, modules)


if __name__ == "__main__":
    unittest.main()
