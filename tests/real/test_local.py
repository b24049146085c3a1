"""`cupola invoke --local` and Microsoft's agent servers, started by hand as their developer would: no emulator, no service."""

import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import unittest

from support import PATIENCE, agent_command, agentserver_name, free_port

KEYS = ("--user-isolation-key", "tenant-acme", "--chat-isolation-key", "thread-42")


class Local(unittest.TestCase):
    """A home with nothing in it, and one agent. The first call is made while the agent still starts."""

    agent = ()

    @classmethod
    def setUpClass(cls):
        cls.home = tempfile.mkdtemp(prefix="cupola-local-")
        cls.addClassCleanup(shutil.rmtree, cls.home)
        cls.port = free_port()
        cls.variables = {
            "PATH": os.environ["PATH"], "HOME": cls.home, "XDG_RUNTIME_DIR": f"{cls.home}/run",
            "PORT": str(cls.port),
        }
        cls.process = subprocess.Popen(shlex.split(agent_command(*cls.agent)), env=cls.variables, cwd=cls.home,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        cls.addClassCleanup(cls.process.wait, PATIENCE)
        cls.addClassCleanup(cls.process.terminate)
        cls.addClassCleanup(cls.run_cupola, "stop", "--force")

    @classmethod
    def start_cupola(cls, *arguments):
        return subprocess.Popen([os.environ["CUPOLA_REAL_BINARY"], *arguments], env=cls.variables, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    @classmethod
    def run_cupola(cls, *arguments):
        process = cls.start_cupola(*arguments)
        process.out, process.err = process.communicate(timeout=2 * PATIENCE)
        return process

    def invoke(self, *arguments, status=0):
        done = self.run_cupola("invoke", "--local", "--port", str(self.port), *arguments)
        self.assertEqual(done.returncode, status, done.out + done.err)
        return done

    def result(self, *arguments):
        return json.loads(self.invoke("-o", "json", *arguments).out)


class Responses(Local):
    agent = ("agentserver", "responses.py")

    def test_an_answer(self):
        self.assertEqual(self.invoke("say hello there").out, "hello there\n")
        events = [json.loads(line) for line in self.invoke("-o", "jsonl", "say one two three").out.splitlines()]
        deltas = [event["delta"] for event in events if event.get("type") == "textDelta"]
        self.assertGreater(len(deltas), 1)
        self.assertEqual("".join(deltas), "one two three")
        self.assertEqual(events[-1]["status"], "completed")

    def test_the_same_session_is_continued(self):
        first, second = self.result("say hi"), self.result("say hi again")
        self.assertTrue(first["sessionId"])
        for field in ("sessionId", "conversationId"):
            self.assertEqual(first[field], second[field])
        self.assertNotEqual(first["sessionId"], self.result(*KEYS, "say hi")["sessionId"])

    def test_what_the_platform_would_say_of_the_caller(self):
        told = json.loads(self.invoke("--user-identity", "alice@contoso.com", "--call-id", "call-7",
                                      "--client-header", "x-client-tenant: contoso", "whoami").out)
        self.assertEqual(told, {
            "user": "alice@contoso.com", "call": "call-7", "client_headers": {"x-client-tenant": "contoso"}})

    def test_raw(self):
        raw = self.invoke("-o", "raw", "say hi").out
        head, _, body = raw.partition("\n\n")
        # The server writes no reason phrase.
        self.assertEqual(head.splitlines()[0], "HTTP/1.1 200")
        self.assertIn(agentserver_name(), head)
        self.assertTrue(body.startswith("event: response.created\ndata: {"))

    def test_failure(self):
        failed = self.invoke("fail", status=1)
        self.assertIn("error: ", failed.err)

    def test_cancelling_stops_the_agent(self):
        process = self.start_cupola("invoke", "--local", "--port", str(self.port), "tick 1000")
        self.addCleanup(process.kill)
        # Reading ends with the process.
        watchdog = threading.Timer(PATIENCE, process.kill)
        self.addCleanup(watchdog.cancel)
        watchdog.start()
        self.assertEqual(process.stdout.read(4), "tick")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 130)
        self.assertEqual(self.invoke("say still here").out, "still here\n")


class Invocations(Local):
    agent = ("agentserver", "invocations.py")

    def invoke(self, *arguments, **more):
        return super().invoke("--protocol", "invocations", *arguments, **more)

    def test_text_json_and_files(self):
        self.assertEqual(self.invoke("hello").out, "echo: hello\n")
        self.assertEqual(json.loads(self.invoke('{"do": "echo", "n": 1}').out)["echo"], {"do": "echo", "n": 1})
        body = pathlib.Path(self.home, "body.json")
        body.write_text('{"do": "echo", "from": "a file"}')
        self.assertEqual(json.loads(self.invoke("-f", str(body)).out)["echo"]["from"], "a file")

    def test_events(self):
        events = [json.loads(line) for line in
                  self.invoke("-o", "jsonl", '{"do": "stream", "text": "one two three"}').out.splitlines()]
        deltas = [event["delta"] for event in events if event.get("type") == "textDelta"]
        self.assertEqual(deltas, ["one", "two", "three"])
        # The agent's last event has the text as a whole, with the spaces its tokens lack.
        self.assertEqual(events[-1]["text"], "one two three")

    def test_long_running(self):
        self.assertEqual(self.result('{"do": "work", "seconds": 0.3}')["status"], "completed")
        raw = self.invoke("-o", "raw", '{"do": "work", "seconds": 0.3}').out
        self.assertEqual(raw.split()[1], "202")
        self.assertIn("\n---\nHTTP/1.1 200\n", raw)
        self.assertIn('"completed"', raw)

    def test_the_session_is_the_callers(self):
        told = json.loads(self.invoke("--user-identity", "alice", '{"do": "whoami"}').out)
        self.assertEqual(told["headers"]["x-agent-user-id"], "alice")
        self.assertNotIn("authorization", told["headers"])
        again = self.result("--user-identity", "alice", '{"do": "whoami"}')
        self.assertEqual(told["session_id"], again["sessionId"])

    def test_a_dialogue(self):
        lines = pathlib.Path(self.home, "lines.txt")
        talk = ("--message-per-line", "-f", str(lines))
        for last, status, told in (("bye", 0, ""), ("crash", 1, "1011: Internal server error")):
            lines.write_text(f"hello\nagain\n{last}\n")
            done = super().invoke("--protocol", "invocations_ws", *talk, status=status)
            self.assertEqual(done.out, "echo: hello\necho: again\n")
            self.assertIn(told, done.err)
        told = super().invoke("--protocol", "invocations_ws", "--user-identity", "alice", "--idle-timeout", "1", "whoami")
        self.assertEqual(json.loads(told.out), {"x-agent-user-id": "alice", "authorization": None})
        self.assertIn("did not end the dialogue", told.err)

    def test_failures(self):
        # The agent's own code has seen the turn, so it may have run.
        self.assertIn("say more", self.invoke('{"do": "refuse"}', status=8).err)
        self.invoke('{"do": "crash"}', status=8)
        broken = self.invoke('{"do": "break"}', status=7)
        self.assertIn("so far", broken.out)


class IsolationKeys(Local):
    """Containers of protocol 1.0.0 get the keys, though they are not enforced here."""

    agent = ("agentserver-1.0.0", "isolation_keys.py", "responses")

    def test_the_agents_code_sees_the_keys(self):
        self.assertEqual(json.loads(self.invoke(*KEYS, "hi").out), {"user": "tenant-acme", "chat": "thread-42"})
        self.assertEqual(json.loads(self.invoke("hi").out), {"user": None, "chat": None})


class InvocationsWithIsolationKeys(Local):
    agent = ("agentserver-1.0.0", "isolation_keys.py", "invocations")

    def test_the_agents_code_sees_the_keys(self):
        told = json.loads(self.invoke("--protocol", "invocations", *KEYS, "hi").out)
        self.assertEqual((told["user"], told["chat"]), ("tenant-acme", "thread-42"))
        self.assertTrue(told["session"])

    def test_an_agent_without_a_websocket_handler_says_so(self):
        self.assertIn("no handler for WebSockets", self.invoke("--protocol", "invocations_ws", "hi", status=1).err)


if __name__ == "__main__":
    unittest.main()
