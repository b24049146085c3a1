"""What the package offers is what the protocol has."""

import inspect
import unittest

import cupola
from cupola import protocol

# What the client fills in itself, and times, which are seconds here and milliseconds on the wire.
OWN = {"target", "isolation", "partialResultToken"}
SECONDS = {"timeout": "timeout_ms", "idle_timeout": "idle_timeout_ms"}

# Sends every request as an event: for calls whose events one sees.
DEBUG = {"debug"}


def wire(name):
    first, *others = SECONDS.get(name, name).split("_")
    return first + "".join(word.capitalize() for word in others)


class Surface(unittest.TestCase):
    def test_every_field_of_a_call_can_be_given(self):
        client = cupola.Client()
        for call, params, without in [
            (client.invoke, protocol.InvokeParams, set()),
            (client.monitor, protocol.MonitorParams, set()),
            (client.runs.list, protocol.RunListParams, set()),
            (client.runs.attach, protocol.RunAttachParams, set()),
            (client.sessions.create, protocol.SessionCreateParams, DEBUG),
            (client.sessions.list, protocol.SessionListParams, DEBUG),
            (client.sessions.show, protocol.SessionParams, DEBUG),
            (client.sessions.use, protocol.SessionUseParams, DEBUG),
            (client.sessions.stop, protocol.SessionParams, DEBUG),
            (client.sessions.delete, protocol.SessionParams, DEBUG),
            # Whole files: how they travel in pieces is the package's own affair.
            (client.files.read, protocol.FileReadParams, DEBUG | {"offset", "length", "readId", "keepOpen"}),
            (client.files.write, protocol.FileWriteParams, DEBUG | {"isLast", "offset", "writeId"}),
            (client.files.upload, protocol.FileUploadParams, DEBUG),
            (client.files.download, protocol.FileDownloadParams, DEBUG),
            (client.files.list, protocol.FileListParams, DEBUG),
            (client.files.stat, protocol.FilePathParams, DEBUG),
            (client.files.mkdir, protocol.FilePathParams, DEBUG),
            (client.files.delete, protocol.FileDeleteParams, DEBUG),
            (client.agents.list, protocol.AgentListParams, DEBUG),
            (client.partitions.list, protocol.PartitionListParams, set()),
        ]:
            with self.subTest(call.__qualname__):
                given = {wire(name) for name in inspect.signature(call).parameters} - {"progress", "everyones"}
                fields = params.__required_keys__ | params.__optional_keys__
                self.assertEqual(given, fields - OWN - without)

    def test_everything_public_has_a_docstring(self):
        for name in cupola.__all__:
            thing = getattr(cupola, name)
            self.assertTrue(inspect.getdoc(thing), name)
            for member, value in vars(thing).items() if inspect.isclass(thing) else ():
                if inspect.isfunction(value) and not member.startswith("_"):
                    self.assertTrue(value.__doc__, f"{name}.{member}")
