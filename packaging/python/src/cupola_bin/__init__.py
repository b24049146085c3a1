"""The `cupola` program as a Python package: where it is."""

import os
import sys
import sysconfig

__all__ = ["program"]


def program() -> str:
    """The path of the program that this package installed.

    Raises `FileNotFoundError` if it is not among the scripts of this Python's environment, nor of the user's.
    """
    name = "cupola.exe" if sys.platform == "win32" else "cupola"
    schemes = [sysconfig.get_default_scheme(), sysconfig.get_preferred_scheme("user")]
    places = [os.path.join(sysconfig.get_path("scripts", scheme), name) for scheme in schemes]
    for path in places:
        if os.path.isfile(path):
            return path
    raise FileNotFoundError(f"the program is not at {' nor at '.join(places)}; install cupola-bin again")
