"""What no current daemon sends: a scripted peer stands for a newer one, an older one, and another program."""

import json
import socket
import tempfile
import threading
import unittest

import cupola

HELLO = {"protocolVersion": 1, "serverInfo": {"name": "cupola"}, "processId": 1, "capabilities": {}}


class Peer:
    """Answers `initialize`, and other requests with the messages given for their method, `id` and `token` filled in."""

    def __init__(self, directory, answers):
        self.path = f"{directory}/v1.sock"
        self.answers = answers
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(self.path)
        self.server.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as lines:
                for line in lines:
                    request = json.loads(line)
                    if "id" in request:
                        connection.sendall(self.answer(request))

    def answer(self, request):
        answers = self.answers.get(request["method"], [{"result": HELLO}])
        token = request["params"].get("partialResultToken")
        data = b""
        for answer in answers:
            if isinstance(answer, bytes):
                data += answer
            elif "type" in answer:
                message = {"method": "$/progress", "params": {"token": token, "value": answer}}
                data += json.dumps(message).encode() + b"\n"
            else:
                data += json.dumps({"id": request["id"], **answer}).encode() + b"\n"
        return data


class Newer(unittest.TestCase):
    def client(self, answers, **options):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        peer = Peer(directory.name, answers)
        self.addCleanup(peer.server.close)
        client = cupola.Client(socket=peer.path, **options)
        self.addCleanup(client.close)
        return client

    def test_event_types_that_are_not_known_are_skipped(self):
        events = [
            {"type": "started", "new": 1},
            {"type": "hologram"},
            {"type": "textDelta", "delta": "x"},
            {"type": "completed"},
        ]
        client = self.client({"invoke": [*events, {"result": {"status": "completed", "text": "x", "new": []}}]})
        with client.invoke("hello") as run:
            self.assertEqual([event["type"] for event in run], ["started", "textDelta", "completed"])
        self.assertEqual(run.result["text"], "x")

    def test_unsolicited_messages_are_skipped(self):
        odd = b'{"method":"$/news","params":[1]}\n{"id":99,"result":1}\n{"method":"$/progress","params":null}\n'
        client = self.client({"daemon/status": [odd, {"result": {"version": "9"}}]})
        self.assertEqual(client.daemon.status()["version"], "9")

    def test_an_older_daemon_that_cannot_bind_is_not_used(self):
        client = self.client({}, target=cupola.emulator(), bind=True)
        with self.assertRaises(cupola.IsolationError) as caught:
            client.invoke("hello").text()
        self.assertEqual(caught.exception.kind, "notBound")

    def test_a_peer_that_is_not_a_daemon_is_disconnected(self):
        client = self.client({"initialize": [b"220 mail.example.com ESMTP\r\n"]})
        with self.assertRaises(cupola.ConnectionLost):
            client.daemon.status()
