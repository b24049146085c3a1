"""The blocking client, as a program uses it."""

import os
import signal
import socket
import threading

import cupola
from support import WithDaemon, until


class Invoke(WithDaemon):
    def test_events_come_one_by_one_and_the_result_is_complete(self):
        with self.client().invoke("stream one two three") as run:
            types, text = [], ""
            for event in run:
                types.append(event["type"])
                text += event.get("delta", "")
        self.assertEqual((types[0], types[-1]), ("started", "completed"))
        self.assertEqual(text, "one two three")
        self.assertEqual((run.result["text"], run.result["status"]), ("one two three", "completed"))
        self.assertEqual(run.id, run.result["runId"])

    def test_events_arrive_while_the_run_continues(self):
        with self.client().invoke("slow 50 200") as run:
            self.assertEqual(next(run)["type"], "started")
            self.assertEqual(self.runs(), 1)

    def test_a_local_agent_that_is_waited_for_is_logged(self):
        with socket.socket() as reserved:
            # Bound and not listening: a connection is refused.
            reserved.bind(("127.0.0.1", 0))
            port = reserved.getsockname()[1]
            client = self.client(target=cupola.local(port))
            with self.assertLogs("cupola", "WARNING") as logged, self.assertRaises(cupola.CupolaError):
                client.invoke("hello", timeout=1).text()
        self.assertIn(f"nothing listens at http://127.0.0.1:{port} yet; waiting", logged.output[0])

    def test_leaving_early_cancels(self):
        client = self.client()
        with client.invoke("slow 500") as run:
            for event in run:
                if event["type"] == "textDelta":
                    break
        until("the run ends", lambda: self.runs() == 0)
        with self.assertRaises(cupola.CallCancelled):
            run.result
        self.assertEqual(client.invoke("hello").text(), "echo: hello")

    def test_an_exception_in_the_block_cancels_and_goes_through(self):
        with self.assertRaises(KeyError), self.client().invoke("slow 500") as run:
            next(run)
            raise KeyError("the program's own")
        until("the run ends", lambda: self.runs() == 0)

    def test_the_result_is_there_only_at_the_end(self):
        with self.client().invoke("slow 500") as run, self.assertRaises(RuntimeError):
            run.result

    def test_an_incomplete_run_does_not_return_text(self):
        client = self.client()
        for input, status in [("fail", "failed"), ("incomplete", "incomplete")]:
            self.assertEqual(client.invoke(input).wait()["status"], status)
            with self.assertRaises(cupola.RunFailed) as caught:
                client.invoke(input).text()
            self.assertEqual(caught.exception.status, status)
            self.assertIsNotNone(caught.exception.run_id)
            self.assertEqual((caught.exception.turn, caught.exception.retryable), ("ran", False))

    def test_text_of_an_agent_that_waits_for_a_decision_is_not_an_answer(self):
        client = self.client()
        for allow, answer in [(True, "Called: pay"), (False, "Not called: pay")]:
            with self.assertRaises(cupola.AgentAsks) as caught:
                client.invoke("ask pay").text()
            (question,) = caught.exception.questions
            self.assertEqual((question["tool"], caught.exception.kind), ("pay", "agentAsks"))
            self.assertEqual(client.invoke([cupola.approval(question["id"], allow)]).text(), answer)
        with self.assertRaises(cupola.AgentAsks) as caught:
            client.invoke("consent").text()
        self.assertTrue(caught.exception.questions[0]["url"].startswith("https://"))

    def test_an_input_may_be_a_list_of_items(self):
        content = [{"type": "input_text", "text": "hello"}]
        items = [{"type": "message", "role": "user", "content": content}]
        self.assertEqual(self.client().invoke(items).text(), "echo: hello")

    def test_the_session_is_continued_and_a_new_one_is_not(self):
        client = self.client()
        client.invoke("remember the milk").text()
        self.assertIn("the milk", client.invoke("what do you remember?").text())
        self.assertIn("Nothing yet", client.invoke("what do you remember?", new_session=True).text())

    def test_a_time_limit_is_in_seconds(self):
        with self.assertRaises(cupola.TimedOut) as caught:
            self.client().invoke("slow 500", timeout=0.2).wait()
        # On a slow machine the limit may pass before the turn is sent.
        error = caught.exception
        self.assertIn((error.turn, error.retryable), [("mayHaveRun", False), ("notRun", True)])

    def test_headers_reach_the_agents_code(self):
        answer = self.client().invoke("whoami", client_headers={"x-client-plan": "gold"}).text()
        self.assertIn('"x-client-plan"', answer)

    def test_an_answer_of_megabytes_arrives_whole(self):
        words = "w" * 3_000_000
        self.assertEqual(self.client().invoke(words, text_only=True).text(), f"echo: {words}")

    def test_text_that_is_not_ascii_comes_back_as_it_was(self):
        text = 'Grüße \u2028 \x1b 漢字 \U0001f600 "\\'
        self.assertEqual(self.client().invoke(text).text(), f"echo: {text}")

    def test_an_interrupt_from_the_keyboard_cancels(self):
        client = self.client()
        # A shell's background job ignores interrupts.
        self.addCleanup(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, signal.default_int_handler))

        def interrupt():
            until("the run begins", lambda: self.runs() == 1)
            os.kill(os.getpid(), signal.SIGINT)

        interrupting = threading.Thread(target=interrupt)
        interrupting.start()
        self.addCleanup(interrupting.join)
        with self.assertRaises(KeyboardInterrupt):
            client.invoke("slow 500").text()
        until("the run ends", lambda: self.runs() == 0)


class Files(WithDaemon):
    def test_a_file_comes_back_as_it_went_and_says_how_far_it_is(self):
        client, directory = self.client(), self.daemon.directory
        client.sessions.create()
        there, back = directory / "there.bin", directory / "back.bin"
        there.write_bytes(os.urandom(3_000_000))
        seen = []
        client.files.upload(there, "a/b.bin", progress=lambda *far: seen.append(far))
        client.files.download("a/b.bin", back, progress=lambda *far: seen.append(far))
        self.assertEqual(back.read_bytes(), there.read_bytes())
        # Once at the end of each; a slow transfer may have said it before.
        self.assertGreaterEqual(seen.count((3_000_000, 3_000_000)), 2)
        self.assertEqual(seen[-1], (3_000_000, 3_000_000))

    def test_a_failing_callback_ends_the_transfer(self):
        client, there = self.client(), self.daemon.directory / "small.txt"
        client.sessions.create()
        there.write_text("small")
        with self.assertRaises(ZeroDivisionError):
            client.files.upload(there, progress=lambda *far: 1 // 0)
        until("the call is over", lambda: client.daemon.status()["requests"] == 1)


class Dropping(WithDaemon):
    def test_a_client_that_is_dropped_is_closed_with_a_warning(self):
        with self.assertWarns(ResourceWarning):
            cupola.connect(**self.options).invoke("hello").text()
        other = self.client()
        until("it has left", lambda: other.daemon.status()["connections"] == 1)


class Sharing(WithDaemon):
    def test_two_isolations_on_one_line_see_their_own(self):
        client = self.client()
        acme, contoso = (
            client.using(isolation=cupola.Isolation(user_key=f"{self.id()}-{name}")) for name in ("acme", "contoso")
        )
        acme.invoke("remember acme's plan").text()
        self.assertIn("acme's plan", acme.invoke("what do you remember?").text())
        self.assertIn("Nothing yet", contoso.invoke("what do you remember?").text())

    def test_two_clients_share_a_session(self):
        self.client().invoke("remember the milk").text()
        self.assertIn("the milk", self.client().invoke("what do you remember?").text())

    def test_streams_on_one_connection_do_not_mix(self):
        client = self.client()
        names = [f"user-{number}" for number in range(5)]
        runs = [
            client.using(isolation=cupola.Isolation(user_key=f"{self.id()}-{name}")).invoke(f"stream {name} {name}")
            for name in names
        ]
        for run in runs:
            run.__enter__()
        # Taken in the opposite order: what comes meanwhile waits.
        for name, run in reversed(list(zip(names, runs))):
            self.assertEqual(run.text(), f"{name} {name}")

    def test_threads_may_use_one_client(self):
        from concurrent.futures import ThreadPoolExecutor

        client = self.client()

        def ask(number):
            isolation = cupola.Isolation(user_key=f"{self.id()}-{number}")
            return client.using(isolation=isolation).invoke(f"hello {number}").text()

        with ThreadPoolExecutor(8) as pool:
            self.assertEqual(list(pool.map(ask, range(16))), [f"echo: hello {number}" for number in range(16)])


class Log(WithDaemon):
    def test_a_followed_log_shows_what_happens_later(self):
        client = self.client()
        client.sessions.create()
        with client.monitor(follow=True) as log:
            self.assertEqual(next(log)["type"], "started")
            client.invoke("hello").text()
            line = next(event["message"] for event in log if "/responses" in event.get("message", ""))
            self.assertIn("POST", line)
        until("following ends with the block", lambda: client.daemon.status()["requests"] == 1)

    def test_without_following_it_ends_by_itself(self):
        client = self.client()
        client.invoke("hello").text()
        log = client.monitor(tail=5)
        result = log.wait()
        self.assertGreater(result["count"], 0)
