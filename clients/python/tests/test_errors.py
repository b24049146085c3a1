"""What goes wrong arrives as an exception that says so, and never shows a key."""

import copy
import json
import logging
import pickle
import traceback
import unittest

import cupola
from cupola import errors
from cupola.errors import from_wire
from cupola.protocol import ERROR_CODES
from support import ROOT, WithDaemon


class Errors(WithDaemon):
    def test_the_daemons_words_arrive(self):
        client = self.client(target=cupola.emulator("notes-required"), isolation=None)
        with self.assertRaises(cupola.IsolationError) as caught:
            client.invoke("hello").text()
        error = caught.exception
        self.assertEqual((error.kind, error.http_status, error.retryable), ("isolationKeyRequired", 403, False))
        self.assertEqual((error.code, error.service_code, error.turn), (1004, "missing_isolation_key", "notRun"))
        self.assertTrue(error.request_id and error.run_id)
        self.assertIn(error.hint, str(error))
        self.assertIn("`Isolation(user_key=…)`", error.hint)
        self.assertNotIn("--", error.hint)
        self.assertNotIn(error.hint, error.message)

    def test_each_kind_has_its_class(self):
        client = self.client()
        for expected, kind, call in [
            (cupola.InvalidParamsError, "invalidParams", lambda: client.invoke("x", session_id="short").text()),
            (cupola.NotFoundError, "notFound", lambda: client.files.stat("nothing")),
            (cupola.CupolaError, "methodNotFound", lambda: client.call("no/such/method", {})),
        ]:
            if kind == "notFound":
                client.sessions.create()
            with self.assertRaises(expected) as caught:
                call()
            self.assertEqual(caught.exception.kind, kind)

    def test_a_key_that_breaks_its_rule_is_not_in_the_refusal(self):
        client = self.client(isolation=cupola.Isolation(user_key="hush\r\nx-evil: 1"))
        with self.assertRaises(cupola.InvalidParamsError) as caught:
            client.invoke("hello").text()
        self.assertNotIn("hush", "".join(traceback.format_exception(caught.exception)))


class Hostile(unittest.TestCase):
    def test_an_error_is_printed_harmless_and_keeps_what_was_said(self):
        said, hint = "no\x1b[2J\u202e\nhint: run this", "do\x9b that"
        error = from_wire({"code": 1, "message": said, "data": {"kind": "notFound", "hint": hint}})
        self.assertEqual(str(error), "no\ufffd[2J\ufffd\n  hint: run this\nhint: do\ufffd that")
        self.assertEqual((error.message, error.hint), (said, hint))
        for text in (repr(error), "".join(traceback.format_exception(error))):
            self.assertNotRegex(text, "[\x1b\x9b\u202e]")

    def test_each_hostile_text_is_shown_as_the_shared_table_says(self):
        cases = json.loads((ROOT / "tests" / "fixtures" / "display.json").read_text(encoding="utf-8"))
        self.assertGreater(len(cases), 10)
        for case in cases:
            with self.subTest(case["name"]):
                self.assertEqual(cupola.harmless(case["given"]), case["text"])


class FromTheWire(unittest.TestCase):
    def test_only_kinds_of_the_protocol_have_classes(self):
        self.assertLessEqual(set(errors._CLASSES), set(ERROR_CODES))

    def test_a_kind_of_a_newer_daemon_is_a_plain_error(self):
        error = from_wire({"code": 1999, "message": "new", "data": {"kind": "newKind", "retryable": True, "x": 1}})
        self.assertIs(type(error), cupola.CupolaError)
        self.assertEqual((error.kind, error.code, error.retryable), ("newKind", 1999, True))

    def test_what_became_of_the_turn_arrives(self):
        notice = {"code": "sessionReplaced", "message": "a new session takes its place"}
        data = {"kind": "serviceError", "retryable": False, "turn": "mayHaveRun", "notices": [notice]}
        error = from_wire({"code": 1048, "message": "no", "data": data})
        self.assertEqual((error.turn, error.notices), ("mayHaveRun", (notice,)))
        failure = {"kind": "serviceError", "message": "cut off", "turn": "mayHaveRun", "hint": "look at it"}
        failed = cupola.RunFailed("truncated", "hel", "run-1", failure)
        self.assertEqual((failed.kind, failed.turn, failed.hint), ("serviceError", "mayHaveRun", "look at it"))
        self.assertIn("look at it", str(failed))

    def test_an_error_without_data_is_one_too(self):
        self.assertEqual(from_wire({"code": -32000, "message": "bare"}).kind, "unknown")
        self.assertEqual(from_wire({"code": -32000, "message": "odd", "data": "text"}).message, "odd")


class Secrets(unittest.TestCase):
    def test_no_way_of_printing_shows_a_value(self):
        values = dict.fromkeys(("user_key", "chat_key", "ownership_key", "user_identity", "chat"), "hush")
        isolation = cupola.Isolation(**values, model="keys")
        secret = cupola.Secret("hush")
        client = cupola.Client(target=cupola.emulator(), isolation=isolation)
        record = logging.LogRecord("x", logging.INFO, "x", 1, "%s %r", (isolation, secret), None).getMessage()
        shown = [repr(isolation), str(isolation), f"{secret}", f"{secret!r}", repr(client), record, repr(vars(client))]
        for text in shown:
            self.assertNotIn("hush", text)
        for write in (pickle.dumps, copy.deepcopy):
            with self.assertRaises(TypeError):
                write(secret)

    def test_the_values_themselves_can_be_compared(self):
        self.assertEqual(cupola.Isolation(user_key="a"), cupola.Isolation(user_key=cupola.Secret("a")))
        self.assertNotEqual(cupola.Isolation(user_key="a"), cupola.Isolation(user_key="b"))
        self.assertEqual(cupola.Secret("a").reveal(), "a")
