"""`python -m cupola_bin`: runs the program."""

import os
import subprocess
import sys

from . import program

if __name__ == "__main__":
    command = [program(), *sys.argv[1:]]
    if sys.platform == "win32":
        # `execv` would return to the shell before the program has ended.
        sys.exit(subprocess.run(command, check=False).returncode)
    os.execv(command[0], command)
