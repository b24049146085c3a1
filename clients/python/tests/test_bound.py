"""A bound client reaches one agent under one isolation, also after it had to connect again."""

import os
import tempfile
import unittest

import cupola
from support import Daemon, WithDaemon


class Bound(WithDaemon):
    def test_it_works_as_any_other_client(self):
        client = self.client(bind=True)
        self.assertTrue(client.bound)
        client.invoke("remember the milk").text()
        self.assertIn("the milk", client.invoke("what do you remember?").text())
        self.assertEqual(len(client.sessions.list()["data"]), 1)
        self.assertEqual(client.files.list()["entries"][0]["name"], "notes.txt")
        self.assertIn("/agents/notes", client.agents.show()["url"])
        with client.monitor() as log:
            self.assertEqual(next(log)["type"], "started")

    def test_it_cannot_be_widened(self):
        client = self.client(bind=True)
        other = self.client(isolation=cupola.Isolation(user_key=f"{self.id()}-other"))
        theirs = other.sessions.create()["agent_session_id"]
        elsewhere = client.using(isolation=cupola.Isolation(user_key=f"{self.id()}-other"))
        agent = client.using(target=cupola.emulator("notes-required"))
        for escape in (
            lambda: elsewhere.invoke("hello").text(),
            lambda: agent.invoke("hello").text(),
            lambda: client.sessions.show(theirs, allow_shared_session=True),
            lambda: client.daemon.stop(),
        ):
            with self.assertRaises(cupola.IsolationError) as caught:
                escape()
            self.assertEqual(caught.exception.kind, "outOfBounds")
        with self.assertRaises(cupola.CupolaError):
            client.sessions.show(theirs)
        self.assertTrue(other.sessions.show()["agent_session_id"], theirs)

    def test_methods_narrow_it(self):
        client = self.client(bind=True, methods=["invoke", "files/*"])
        client.invoke("hello").text()
        client.files.list()
        client.daemon.status()
        with self.assertRaises(cupola.IsolationError):
            client.sessions.list()

    def test_bytes_are_written_and_read_in_pieces_without_a_local_file(self):
        client = self.client(bind=True)
        client.invoke("hello").text()
        for length in (0, 5, 1024 * 1024, 3 * 1024 * 1024 + 1):
            content = bytes(range(251)) * (length // 251 + 1)
            content = content[:length]
            self.assertEqual(client.files.write("data/a", content)["bytes"], length)
            self.assertEqual(client.files.stat("data/a")["size"], length)
            self.assertTrue(client.files.read("data/a") == content, f"{length} bytes came back changed")
        with self.assertRaises(cupola.CupolaError):
            client.files.read("none")

    def test_local_files_need_a_directory_and_the_methods_by_name(self):
        with tempfile.TemporaryDirectory() as place:
            root = os.path.join(place, "root")
            os.mkdir(root)
            for name in ("outside", "root/inside"):
                with open(os.path.join(place, name), "w") as file:
                    file.write("text")
            transfers = ["files/upload", "files/download"]
            for bound in ({}, {"methods": transfers}, {"files": root}, {"files": root, "methods": ["files/*"]}):
                with self.subTest(bound), self.assertRaises(cupola.IsolationError) as caught:
                    self.client(bind=True, **bound).files.upload(os.path.join(root, "inside"))
                self.assertEqual(caught.exception.kind, "outOfBounds")
            client = self.client(bind=True, files=root, methods=["invoke", *transfers])
            client.invoke("remember the milk").text()
            self.assertEqual(client.files.upload(os.path.join(root, "inside"))["bytes"], 4)
            self.assertEqual(client.files.download("notes.txt", os.path.join(root, "notes.txt"))["bytes"], 9)
            for path in (os.path.join(place, "outside"), os.path.join(root, "..", "outside")):
                with self.assertRaises(cupola.IsolationError):
                    client.files.upload(path)

    def test_a_new_connection_is_bound_as_the_first(self):
        daemon = Daemon()
        self.addCleanup(daemon.remove)
        client = self.client(bind=True, socket=daemon.socket)
        client.invoke("remember the milk").text()
        daemon.kill()
        daemon.start()
        elsewhere = client.using(isolation=cupola.Isolation(user_key="other"))
        for _ in range(2):
            # The first call may still meet the connection that is gone.
            try:
                elsewhere.invoke("hello").text()
            except cupola.ConnectionLost:
                continue
            except cupola.IsolationError as error:
                self.assertEqual(error.kind, "outOfBounds")
                break
        else:
            self.fail("it never connected again")
        self.assertIn("the milk", client.invoke("what do you remember?").text())


class Arguments(unittest.TestCase):
    def test_a_binding_that_says_nothing_is_refused(self):
        for wrong in ({"bind": True}, {"target": cupola.emulator(), "methods": ["invoke"]}, {"files": "."}):
            with self.assertRaises(ValueError):
                cupola.connect(**wrong)
