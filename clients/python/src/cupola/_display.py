"""Text of the service or an agent, made harmless for what shows it."""

from __future__ import annotations

import re

# The characters of `protocol/src/display.rs`; the tests share a table of cases with the other clients.
_ACTING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_COLOUR = re.compile("\x1b\\[[0-9;]*m")


def harmless(text: str) -> str:
    """The text without what acts on a terminal or an editor that shows it: control characters, changes of direction and
    invisible tags become U+FFFD, colours are taken out. Line feeds and tabs stay.

    What the client returns is what the agent said; this is for showing it.

    >>> cupola.harmless("\\x1b[31mred\\x1b[0m \\x1b[2J")
    'red \ufffd[2J'
    """
    return _ACTING.sub("\ufffd", _COLOUR.sub("", text.replace("\r\n", "\n")))
