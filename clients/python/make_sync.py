"""Makes the blocking client from the asyncio one, so that both can do the same: `python3 make_sync.py`.

`connection.py` is written by hand on either side; it is where the two really differ.
"""

from __future__ import annotations

import pathlib
import re

PACKAGE = pathlib.Path(__file__).resolve().parent / "src" / "cupola"
BY_HAND = {"__init__.py", "connection.py"}
WORDS = [
    (r"\basync (def|with|for)\b", r"\1"),
    # `(await f(x))["y"]` needs no parentheses any more.
    (r"\(await ((?:[^()\n]|\([^()\n]*\))+)\)", r"\1"),
    (r"\bawait ", ""),
    (r"\b__a(enter|exit|iter|next)__\b", r"__\1__"),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (r"\bAsync([A-Z])", r"\1"),
    (r"\bconnect_async\b", "connect"),
    (r"\baclose\b", "close"),
]


def made() -> dict[pathlib.Path, str]:
    """The text that each file of `_sync` should have."""
    files = {}
    for source in sorted((PACKAGE / "_async").glob("*.py")):
        if source.name not in BY_HAND:
            text = source.read_text()
            for pattern, replacement in WORDS:
                text = re.sub(pattern, replacement, text)
            files[PACKAGE / "_sync" / source.name] = f"# Made from _async/{source.name} by make_sync.py.\n{text}"
    return files


if __name__ == "__main__":
    for path, text in made().items():
        path.write_text(text)
