"""The conversations of `tests/transcripts`, through this package's own framing. Their README says how to read them."""

import json
import re
import socket
import unittest

from cupola._core import Decoder, encode
from support import PATIENCE, ROOT, Daemon

TRANSCRIPTS = sorted((ROOT / "tests" / "transcripts").glob("*.jsonl"))
NAME = re.compile(r"<[A-Za-z0-9]+>")


class Line:
    """One connection, message by message."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(path)
        self._decoder, self._messages = Decoder(), []

    def send(self, message):
        self._socket.sendall(encode(message))

    def receive(self):
        """The next message; nothing when the daemon has closed the connection."""
        while not self._messages:
            data = self._socket.recv(65536)
            if not data:
                return None
            self._messages += self._decoder.feed(data)
        return self._messages.pop(0)

    def finish(self):
        """Says that nothing more is sent, and returns what still comes."""
        self._socket.shutdown(socket.SHUT_WR)
        return self.receive()

    def close(self):
        self._socket.close()


class Transcripts(unittest.TestCase):
    def test_every_transcript_holds(self):
        self.assertGreaterEqual(len(TRANSCRIPTS), 3)
        for path in TRANSCRIPTS:
            first, *lines = map(json.loads, path.read_text().splitlines())
            self.assertIn("about", first)
            if "ndjson" in first.get("framings", ["ndjson"]):
                with self.subTest(path.stem):
                    self.replay(lines)

    def replay(self, lines):
        daemon = Daemon()
        self.addCleanup(daemon.remove)
        line, captured = Line(daemon.socket), {}
        self.addCleanup(line.close)
        for number, step in enumerate(lines, 2):
            [(way, message)] = step.items()
            if way == "->":
                line.send(filled(message, captured))
            else:
                received = line.receive()
                difference = differs(message, received, captured)
                self.assertIsNone(difference, f"line {number}: {difference} in {received}")
        self.assertIsNone(line.finish())
        line.close()
        daemon.stop()


def filled(message, captured):
    """The message with every `"<name>"` replaced."""
    if isinstance(message, dict):
        return {name: filled(value, captured) for name, value in message.items()}
    if isinstance(message, list):
        return [filled(item, captured) for item in message]
    return captured.get(message, message) if isinstance(message, str) else message


def differs(pattern, message, captured, at="message"):
    """What the message lacks of the pattern, if anything."""
    if pattern == "<*>":
        return None
    if isinstance(pattern, str) and NAME.fullmatch(pattern):
        pattern = captured.setdefault(pattern, message)
    if isinstance(pattern, dict) and isinstance(message, dict):
        pairs = [(name, value, message.get(name, KeyError)) for name, value in pattern.items()]
    elif isinstance(pattern, list) and isinstance(message, list) and len(pattern) == len(message):
        pairs = [(index, value, message[index]) for index, value in enumerate(pattern)]
    elif type(pattern) is type(message) and pattern == message:
        return None
    else:
        return f"{at}: expected {pattern!r}, found {message!r}"
    found = (differs(value, item, captured, f"{at}.{name}") for name, value, item in pairs)
    return next((difference for difference in found if difference), None)
