"""The message core, without a socket."""

import json
import unittest
from unittest import mock

import cupola
from cupola import _core
from cupola._core import Core, Decoder, encode


def sent(data):
    return json.loads(data)


class Calls(unittest.TestCase):
    def setUp(self):
        self.core = Core()

    def progress(self, call, value):
        return encode({"jsonrpc": "2.0", "method": "$/progress", "params": {"token": call.id, "value": value}})

    def test_messages_are_told_apart_wherever_the_bytes_are_cut(self):
        messages = [{"a": "ü\n"}, {"b": []}, {"c": "x" * 100}]
        data = b"".join(encode(message) for message in messages)
        for size in (1, 2, 7, 64, len(data)):
            decoder = Decoder()
            got = [each for at in range(0, len(data), size) for each in decoder.feed(data[at : at + size])]
            self.assertEqual(got, messages)

    def test_answers_find_their_calls_in_any_order(self):
        first, request = self.core.request("a", {}, stream=False)
        second, _ = self.core.request("b", {}, stream=False)
        self.assertNotIn("partialResultToken", sent(request)["params"])
        self.core.receive(encode({"id": second.id, "result": 2}) + encode({"id": first.id, "result": 1}))
        self.assertEqual((first.result, second.result), (1, 2))

    def test_events_reach_their_call_and_others_are_ignored(self):
        call, request = self.core.request("a", {"x": 1}, stream=True)
        self.assertEqual(sent(request)["params"], {"x": 1, "partialResultToken": call.id})
        other, _ = self.core.request("b", {}, stream=True)
        strange = encode({"method": "$/progress", "params": {"token": "none", "value": 0}}) + encode({"method": "new"})
        strange += self.progress(call, None)
        self.core.receive(self.progress(call, {"n": 1}) + strange + self.progress(call, {"n": 2}))
        self.assertEqual((list(call.events), list(other.events)), ([{"n": 1}, {"n": 2}], []))

    def test_cancelling_is_said_once_and_only_while_it_matters(self):
        call, _ = self.core.request("a", {}, stream=True)
        self.assertEqual(sent(self.core.cancel(call))["params"], {"id": call.id})
        self.assertEqual(self.core.cancel(call), b"")
        self.assertIsInstance(call.error, cupola.CallCancelled)
        self.assertEqual(self.core.receive(self.progress(call, {}) + encode({"id": call.id, "result": 1})), [])
        answered, _ = self.core.request("a", {}, stream=True)
        self.core.receive(encode({"id": answered.id, "result": None}))
        self.assertEqual((self.core.cancel(answered), answered.error), (b"", None))

    def test_what_the_daemon_said_before_it_left_is_the_reason(self):
        call, _ = self.core.request("a", {}, stream=False)
        self.core.receive(encode({"id": None, "error": {"code": -32700, "message": "too long"}}))
        self.core.lose("it ended")
        self.assertIsInstance(call.error, cupola.ConnectionLost)
        self.assertIn("too long", str(call.error))

    def test_only_a_lost_turn_may_have_run(self):
        turn, _ = self.core.request("invoke", {}, stream=True)
        other, _ = self.core.request("sessions/list", {}, stream=False)
        self.core.lose("it ended")
        self.assertEqual((turn.error.turn, turn.error.retryable), ("mayHaveRun", False))
        self.assertEqual((other.error.turn, other.error.retryable, other.error.hint), (None, True, None))

    def test_bytes_that_are_not_messages_are_refused(self):
        for data in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"[]\n", b"3\n"):
            with self.assertRaises(ValueError):
                Core().receive(data)

    def test_nothing_grows_without_bound(self):
        call, _ = self.core.request("a", {}, stream=True)
        with mock.patch.object(_core, "MAX_WAITING_EVENTS", 3):
            self.core.receive(self.progress(call, {}) * 5)
        self.assertEqual((len(call.events), call.error.kind), (3, "eventsNotTaken"))
        # It still runs at the daemon, so there is something to cancel.
        self.assertTrue(self.core.cancel(call))
        with mock.patch.object(_core, "MAX_MESSAGE_BYTES", 10), self.assertRaises(ValueError):
            list(Decoder().feed(b"x" * 11))
