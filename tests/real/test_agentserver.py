"""The current agent server packages, released and pre-release, as `exec:` agents of protocol 2.0.0."""

import http.client
import json
import unittest

from support import Endpoint, Proof, agent_command, agentserver_name, text_of, until

RESPONSES = "/protocols/openai/responses"
INVOCATIONS = "/protocols/invocations"


class Responses(Proof):
    agents = (f"responder=exec:{agent_command('agentserver', 'responses.py')},protocol=2.0.0",)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.agent = Endpoint(cls.emulator, "responder")
        cls.session = cls.agent.new_session()

    def respond(self, text, **fields):
        return self.ok(self.agent.respond(text, agent_session_id=self.session, **fields)).json

    def events(self, method, path, body=None, query=None):
        with self.agent.stream(method, path, body, query=query) as stream:
            self.assertEqual(stream.status, 200)
            self.assertTrue(stream.headers["content-type"].startswith("text/event-stream"))
            return list(stream)

    def finished(self, response_id):
        def look():
            response = self.ok(self.agent.call("GET", f"{RESPONSES}/{response_id}")).json
            return response if response["status"] != "in_progress" else None
        return until("the response ends", look)

    def test_sync(self):
        answer = self.ok(self.agent.respond("say hello there", agent_session_id=self.session))
        response = answer.json
        self.assertEqual((response["status"], text_of(response)), ("completed", "hello there"))
        self.assertTrue(response["id"].startswith("caresp_"))
        self.assertEqual(response["agent_session_id"], self.session)
        self.assertEqual(answer.headers["x-agent-session-id"], self.session)
        self.assertIn(agentserver_name(), answer.headers["x-platform-server"])
        self.assertTrue(answer.headers["x-request-id"])

    def test_the_old_session_field_routes_too(self):
        answer = self.ok(self.agent.respond("say hi", session_id=self.session))
        self.assertEqual(answer.headers["x-agent-session-id"], self.session)
        self.assertEqual(answer.json["agent_session_id"], self.session)

    def test_stream(self):
        events = self.events("POST", RESPONSES, {
            "input": "say one two three", "stream": True, "agent_session_id": self.session})
        names = [name for name, _ in events]
        self.assertEqual(names[:2], ["response.created", "response.in_progress"])
        self.assertEqual(names[-1], "response.completed")
        deltas = [data["delta"] for name, data in events if name == "response.output_text.delta"]
        self.assertEqual("".join(deltas), "one two three")
        self.assertGreater(len(deltas), 1)
        numbers = [data["sequence_number"] for _, data in events]
        self.assertEqual(numbers, sorted(set(numbers)))
        for name, data in events:
            self.assertEqual(data["type"], name)
            if "response" in data:
                self.assertEqual(data["response"]["agent_session_id"], self.session)

    def test_a_stream_arrives_while_it_is_made(self):
        body = {"input": "tick 1000", "stream": True, "agent_session_id": self.session}
        with self.agent.stream("POST", RESPONSES, body) as stream:
            names = iter(name for name, _ in stream)
            until("a delta long before the end", lambda: next(names) == "response.output_text.delta")

    def test_background(self):
        started = self.respond("say later", background=True)
        self.assertEqual(started["status"], "in_progress")
        response = self.finished(started["id"])
        self.assertEqual((response["status"], text_of(response)), ("completed", "later"))

    def test_background_stream_survives_its_connection_and_is_replayed(self):
        body = {"input": "tick 10", "background": True, "stream": True, "agent_session_id": self.session}
        with self.agent.stream("POST", RESPONSES, body) as stream:
            first = []
            for name, data in stream:
                first.append((name, data))
                if name == "response.output_text.delta":
                    break
        response_id, cursor = first[0][1]["response"]["id"], first[-1][1]["sequence_number"]
        path = f"{RESPONSES}/{response_id}"
        rest = self.events("GET", path, query={"stream": "true", "starting_after": cursor})
        self.assertGreater(rest[0][1]["sequence_number"], cursor)
        self.assertEqual(rest[-1][0], "response.completed")
        everything = self.events("GET", path, query={"stream": "true"})
        self.assertEqual(everything, first + rest)
        last = rest[-1][1]["sequence_number"]
        self.assertEqual(self.events("GET", path, query={"stream": "true", "starting_after": last}), [])

    def test_cancel(self):
        started = self.respond("tick 1000", background=True)
        for _ in range(2):
            cancelled = self.ok(self.agent.call("POST", f"{RESPONSES}/{started['id']}/cancel")).json
            self.assertEqual((cancelled["status"], cancelled["output"]), ("cancelled", []))
        done = self.respond("say done", background=True)
        self.finished(done["id"])
        refused = self.ok(self.agent.call("POST", f"{RESPONSES}/{done['id']}/cancel"), 400)
        self.assertEqual(refused.json["error"]["message"], "Cannot cancel a completed response.")

    def test_delete(self):
        response_id = self.respond("say bye")["id"]
        path = f"{RESPONSES}/{response_id}"
        self.assertEqual(self.ok(self.agent.call("GET", path)).json["id"], response_id)
        deleted = self.ok(self.agent.call("DELETE", path)).json
        self.assertEqual(deleted, {"id": response_id, "object": "response", "deleted": True})
        for method, end in (("GET", ""), ("DELETE", ""), ("GET", "/input_items")):
            self.ok(self.agent.call(method, path + end), 404)

    def test_input_items(self):
        response_id = self.respond("say hi")["id"]
        items = self.ok(self.agent.call("GET", f"{RESPONSES}/{response_id}/input_items")).json
        self.assertEqual([item["content"][0]["text"] for item in items["data"]], ["say hi"])
        self.assertFalse(items["has_more"])
        self.ok(self.agent.call("GET", f"{RESPONSES}/{response_id}/input_items", query={"limit": 0}), 400)

    def test_errors_are_the_containers_own(self):
        failed = self.ok(self.agent.respond("fail", agent_session_id=self.session), 500)
        self.assertEqual(failed.code, "server_error")
        self.assertEqual(failed.headers["x-platform-error-source"], "upstream")
        bad = self.ok(self.agent.respond(7, agent_session_id=self.session), 400)
        self.assertEqual(bad.headers["x-agent-session-id"], self.session)
        events = self.events("POST", RESPONSES, {
            "input": "fail", "stream": True, "agent_session_id": self.session})
        self.assertEqual([name for name, _ in events], ["error"])

    def test_a_dropped_foreground_stream_cancels_the_run(self):
        body = {"input": "tick 1000", "stream": True, "agent_session_id": self.session}
        with self.agent.stream("POST", RESPONSES, body) as stream:
            response_id = next(data["response"]["id"] for _, data in stream if "response" in data)

        def cancelled():
            answer = self.agent.call("GET", f"{RESPONSES}/{response_id}")
            return answer.status == 200 and answer.json["status"] == "cancelled"
        until("the run is cancelled", cancelled)

    def test_the_platform_tells_the_agent_who_calls(self):
        def whoami(agent):
            answer = agent.call("POST", RESPONSES, {"input": "whoami", "agent_session_id": self.session},
                                {"x-client-purpose": "proof"})
            return json.loads(text_of(self.ok(answer).json))
        first, second = whoami(self.agent), whoami(self.agent)
        self.assertTrue(first["user"])
        self.assertEqual(first["user"], second["user"])
        self.assertNotEqual(first["call"], second["call"])
        self.assertEqual(first["client_headers"], {"x-client-purpose": "proof"})

    def test_another_user_can_not_read_or_cancel(self):
        alice, bob = (self.agent.as_user({"x-ms-user-identity": name}) for name in ("alice", "bob"))
        session = alice.new_session()
        started = self.ok(alice.respond("tick 1000", agent_session_id=session, background=True)).json
        path = f"{RESPONSES}/{started['id']}"
        self.ok(bob.call("GET", path), 404)
        self.ok(bob.call("POST", f"{path}/cancel"), 404)
        self.assertEqual(self.ok(alice.call("POST", f"{path}/cancel")).json["status"], "cancelled")

    def test_a_conversation_binds_one_session(self):
        conversation = self.ok(self.agent.call("POST", "/protocols/openai/conversations", {})).json["id"]
        sessions = {
            self.ok(self.agent.respond("say hi", conversation={"id": conversation})).headers["x-agent-session-id"]
            for _ in range(2)
        }
        self.assertEqual(len(sessions), 1)
        self.assertNotIn(self.session, sessions)


class History(Proof):
    agents = (f"responder=exec:{agent_command('agentserver', 'responses.py')},protocol=2.0.0",)

    def items(self, agent, **fields):
        answer = self.ok(agent.respond("history", **fields))
        return text_of(answer.json), answer

    def test_a_chain_finds_its_history_in_any_sandbox_and_no_other_user_does(self):
        agent = Endpoint(self.emulator, "responder")
        alice, bob = (agent.as_user({"x-ms-user-identity": name}) for name in ("alice", "bob"))
        first = self.ok(alice.respond("say hello"))
        said, second = self.items(alice, previous_response_id=first.json["id"])
        self.assertEqual(said, "history items: 2")
        self.assertNotEqual(second.headers["x-agent-session-id"], first.headers["x-agent-session-id"])
        self.assertEqual(self.items(alice, previous_response_id=second.json["id"])[0], "history items: 4")
        self.ok(bob.respond("history", previous_response_id=first.json["id"]), 404)
        self.ok(agent.respond("history", previous_response_id=first.json["id"]), 403)
        # Bob may enter Alice's session, as in the service. His own chain is his there too.
        session = first.headers["x-agent-session-id"]
        bobs = self.ok(bob.respond("say hi")).json["id"]
        self.assertEqual(self.items(bob, previous_response_id=bobs, agent_session_id=session)[0], "history items: 2")
        self.ok(bob.respond("history", previous_response_id=first.json["id"], agent_session_id=session), 404)

    def test_what_the_package_keeps_is_not_among_the_sessions_files(self):
        agent = Endpoint(self.emulator, "responder")
        session = self.ok(agent.respond("remember this")).headers["x-agent-session-id"]
        files = self.ok(agent.call("GET", f"/sessions/{session}/files", query={"path": "."})).json
        self.assertEqual([entry["name"] for entry in files["entries"]], ["notes.txt"])

    def test_a_conversation_is_history(self):
        agent = Endpoint(self.emulator, "responder")
        conversation = self.ok(agent.call("POST", "/protocols/openai/conversations", {})).json["id"]
        for items in (0, 2, 4):
            said, _ = self.items(agent, conversation=conversation)
            self.assertEqual(said, f"history items: {items}")
        with agent.stream("POST", RESPONSES, {"input": "say hi", "stream": True, "conversation": conversation}) as stream:
            response_id = [data["response"]["id"] for _, data in stream if "response" in data][-1]

        def ids(path):
            return [item["id"] for item in self.ok(agent.call("GET", path)).json["data"]]
        # What the user said has the same id on both sides. The package lists no earlier turns of a conversation.
        kept = ids(f"/protocols/openai/conversations/{conversation}/items")
        self.assertEqual(len(kept), 8)
        self.assertEqual(kept[1:2], ids(f"{RESPONSES}/{response_id}/input_items"))


class Lifecycle(Proof):
    agents = (
        f"responder=exec:{agent_command('agentserver', 'responses.py')},protocol=2.0.0",
        f"sleepy=exec:{agent_command('agentserver', 'responses.py')},protocol=2.0.0,idle=1",
    )

    def recall(self, agent, session):
        return json.loads(text_of(self.ok(agent.respond("recall", agent_session_id=session)).json))

    def test_files_outlive_a_stop_and_processes_do_not(self):
        agent = Endpoint(self.emulator, "responder")
        session, other = agent.new_session(), agent.new_session()
        response_id = self.ok(agent.respond("remember the launch code", agent_session_id=session)).json["id"]
        before = self.recall(agent, session)
        self.assertEqual(before["notes"], "the launch code\n")
        self.assertEqual(self.recall(agent, other)["notes"], "")
        self.ok(agent.call("POST", f"/sessions/{session}:stop"), 204)
        self.assertEqual(agent.session_status(session), "idle")
        after = self.recall(agent, session)
        self.assertEqual(after["notes"], "the launch code\n")
        self.assertNotEqual(after["process"], before["process"])
        self.assertEqual(agent.session_status(session), "active")
        # The package keeps finished responses in files.
        self.ok(agent.call("GET", f"{RESPONSES}/{response_id}"))

    def test_a_process_that_dies_is_replaced_and_its_files_stay(self):
        agent = Endpoint(self.emulator, "responder")
        session = agent.new_session()
        self.ok(agent.respond("remember this", agent_session_id=session))
        died = self.ok(agent.respond("die", agent_session_id=session), 502)
        self.assertTrue(died.headers["x-adc-response-details"])
        self.assertEqual(died.headers["x-agent-session-id"], session)
        until("a new process answers", lambda: agent.respond("recall", agent_session_id=session).status == 200)
        self.assertEqual(self.recall(agent, session)["notes"], "this\n")

    def test_a_stop_lets_the_server_put_down_what_it_cuts_off(self):
        agent = Endpoint(self.emulator, "responder")
        session = agent.new_session()
        started = self.ok(agent.respond("stubborn", agent_session_id=session, background=True)).json
        self.ok(agent.call("POST", f"/sessions/{session}:stop"), 204)
        response = self.ok(agent.call("GET", f"{RESPONSES}/{started['id']}")).json
        self.assertEqual(response["status"], "failed")

    def test_an_idle_session_stops_by_itself_and_resumes(self):
        agent = Endpoint(self.emulator, "sleepy")
        session = agent.new_session()
        self.ok(agent.respond("remember this", agent_session_id=session))
        until("the session is idle", lambda: agent.session_status(session) == "idle")
        self.assertEqual(self.recall(agent, session)["notes"], "this\n")


class Invocations(Proof):
    agents = (f"invoked=exec:{agent_command('agentserver', 'invocations.py')},protocol=2.0.0",)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.agent = Endpoint(cls.emulator, "invoked")
        cls.session = cls.agent.new_session()

    def invoke(self, body, status=200, **more):
        answer = self.ok(self.agent.invoke(body, self.session, **more), status)
        self.assertEqual(answer.headers["x-agent-session-id"], self.session)
        self.assertTrue(answer.headers["x-agent-invocation-id"])
        return answer

    def test_json(self):
        answer = self.invoke({"do": "echo", "text": "grüße"})
        self.assertEqual(answer.json["echo"]["text"], "grüße")
        self.assertEqual(answer.json["session_id"], self.session)
        self.assertEqual(answer.json["invocation_id"], answer.headers["x-agent-invocation-id"])

    def test_text(self):
        answer = self.invoke("plain words", headers={"content-type": "text/plain"})
        self.assertEqual(answer.body, b"echo: plain words")
        self.assertTrue(answer.headers["content-type"].startswith("text/plain"))

    def test_stream(self):
        with self.agent.stream("POST", INVOCATIONS, {"do": "stream", "text": "a b c"},
                               query={"agent_session_id": self.session}) as stream:
            self.assertEqual(stream.headers["x-agent-session-id"], self.session)
            events = list(stream)
        self.assertEqual([name for name, _ in events], ["token"] * 3 + ["done"])
        self.assertEqual(events[-1][1]["session_id"], self.session)

    def test_a_broken_stream_is_cut_and_not_ended(self):
        with self.agent.stream("POST", INVOCATIONS, {"do": "break"},
                               query={"agent_session_id": self.session}) as stream:
            with self.assertRaises(http.client.IncompleteRead) as cut:
                stream.read()
            self.assertIn(b"so far", cut.exception.partial)

    def test_long_running(self):
        accepted = self.invoke({"do": "work", "seconds": 0.3}, 202)
        self.assertEqual(accepted.headers["retry-after"], "1")
        path = f"{INVOCATIONS}/{accepted.json['invocation_id']}"
        query = {"agent_session_id": self.session}

        def done():
            poll = self.ok(self.agent.call("GET", path, query=query))
            self.assertEqual(poll.headers["x-agent-session-id"], self.session)
            return poll.json["status"] == "completed"
        until("the work is done", done)

    def test_cancel(self):
        accepted = self.invoke({"do": "work", "seconds": 1000}, 202)
        path = f"{INVOCATIONS}/{accepted.json['invocation_id']}"
        query = {"agent_session_id": self.session}
        self.assertEqual(self.ok(self.agent.call("GET", path, query=query)).json["status"], "running")
        cancelled = self.ok(self.agent.call("POST", f"{path}/cancel", query=query))
        self.assertEqual(cancelled.json["status"], "cancelled")
        self.assertEqual(cancelled.headers["x-agent-session-id"], self.session)

    def test_errors_are_the_agents_own(self):
        self.assertEqual(self.invoke({"do": "refuse"}, 400).json,
                         {"error": {"code": "too_vague", "message": "say more"}})
        self.assertEqual(self.invoke({"do": "crash"}, 500).code, "internal_error")
        self.ok(self.agent.call("GET", f"{INVOCATIONS}/unknown", query={"agent_session_id": self.session}), 404)

    def test_openapi(self):
        answer = self.ok(self.agent.call("GET", f"{INVOCATIONS}/docs/openapi.json"))
        self.assertEqual(answer.json["info"]["title"], "proof")

    def test_headers_are_rewritten(self):
        answer = self.invoke({"do": "whoami"}, headers={
            "Cookie": "a=b",
            "X-Custom": "c",
            "X-Forwarded-For": "10.0.0.1",
            "X-Agent-User-Id": "forged",
            "X-Agent-Foundry-Call-Id": "forged",
            "X-Client-Purpose": "proof",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        })
        received = answer.json["headers"]
        for name in ("authorization", "cookie", "x-custom", "x-forwarded-for", "x-ms-user-identity"):
            self.assertNotIn(name, received)
        self.assertNotIn(received["x-agent-user-id"], ("forged", ""))
        self.assertNotIn(received["x-agent-foundry-call-id"], ("forged", ""))
        self.assertEqual(received["x-client-purpose"], "proof")
        self.assertIn("0af7651916cd43dd8448eb211c80319c", received["traceparent"])

    def test_a_dialogue_over_a_websocket(self):
        session = self.agent.new_session()
        with self.agent.websocket(session) as talk:
            self.assertEqual(talk.headers["x-agent-session-id"], session)
            self.assertEqual(talk.ask("hello"), "echo: hello")
            told = json.loads(talk.ask("whoami"))
            self.assertTrue(told["x-agent-user-id"])
            self.assertIsNone(told["authorization"])
            self.assertEqual(talk.ask("bye"), 1000)
        with self.agent.websocket(session) as talk:
            self.assertEqual(talk.ask("crash"), 1011)
        with self.agent.websocket("session-unknown") as refused:
            self.assertEqual(refused.status, 404)

    def test_each_session_is_a_process_with_its_own_home(self):
        mine = self.invoke({"do": "whoami"}).json["environment"]
        theirs = self.ok(self.agent.invoke({"do": "whoami"})).json["environment"]
        self.assertEqual(mine["FOUNDRY_AGENT_SESSION_ID"], self.session)
        self.assertEqual(mine["FOUNDRY_AGENT_NAME"], "invoked")
        self.assertEqual(mine["FOUNDRY_PROJECT_ENDPOINT"], self.emulator.project)
        self.assertNotEqual(mine["HOME"], theirs["HOME"])
        self.assertNotEqual(mine["FOUNDRY_AGENT_SESSION_ID"], theirs["FOUNDRY_AGENT_SESSION_ID"])
        self.assertNotIn("FOUNDRY_HOSTING_ENVIRONMENT", mine)


if __name__ == "__main__":
    unittest.main()
