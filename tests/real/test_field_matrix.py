"""Who reaches whose responses and sessions, as it was measured at the service with a responses agent of protocol 2.0.0
(Azure/GPT-RAG#591). The cases keep their names from there. Tried on real agent servers, on the agent inside the emulator, and
through cupola.
"""

import json
import unittest

from support import CommandLine, Endpoint, Proof, agent_command, text_of

RESPONSES = "/protocols/openai/responses"
ANN, BEN = "ann@contoso.com", "ben@contoso.com"

# What to ask an agent about what was said before, and its answer, with a history and without one.
RECALLS = {
    "responder": ("history", "history items: 2", "history items: 0"),
    "hosted": ("again", "heard: remember that it rains | again", "heard: again"),
    "notes": ("history", "history items: 2", "history items: 0"),
}

# Case, who asks (an identity, or none), whether the caller may act for others, what they do with user A's response R_A or
# session S_A, and the service's answer.
TABLE = (
    ("G-A1", ANN, True, "create", 200, None),
    ("G-A2", BEN, True, "create", 200, None),
    ("G-A3", ANN, True, "continue R_A", 200, None),
    ("G-A4", BEN, True, "continue R_A", 404, "not_found"),
    ("G-A5", BEN, True, "get R_A", 404, None),
    ("G-A6", None, True, "continue R_A", 403, "session_not_accessible"),
    ("G-A7", ANN, False, "create", 403, "forbidden"),
    ("G-A8", None, False, "create", 200, None),
    ("G-A9", ANN, True, "get R_A", 200, None),
    ("G-B1", BEN, True, "enter S_A", 200, None),
    # Not from there: the header of an older model, which agents of this one refuse.
    ("G-L1", "legacy", True, "create", 400, None),
)


def session_of(response):
    return response.json["agent_session_id"]


class Matrix(Proof):
    agents = (
        f"responder=exec:{agent_command('agentserver', 'responses.py')},protocol=2.0.0",
        f"hosted=exec:{agent_command('agent-framework', 'framework.py', 'responses')},protocol=2.0.0",
        "notes=builtin:notes,protocol=2.0.0",
    )


class AtTheService(Matrix):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.may_not = cls.emulator.new_token("--permissions", "")

    def ask(self, agent, identity, may_act_for_others, do, first):
        headers = {}
        if identity:
            name = "x-ms-user-isolation-key" if identity == "legacy" else "x-ms-user-identity"
            headers[name] = identity
        if not may_act_for_others:
            headers["authorization"] = f"Bearer {self.may_not}"
        endpoint = Endpoint(self.emulator, agent, headers)
        question = RECALLS[agent][0]
        if do == "create":
            return endpoint.respond("remember that it rains")
        if do == "continue R_A":
            return endpoint.respond(question, previous_response_id=first.json["id"])
        if do == "enter S_A":
            return endpoint.respond(question, agent_session_id=session_of(first))
        return endpoint.call("GET", f"{RESPONSES}/{first.json['id']}")

    def test_every_case_on_every_kind_of_agent(self):
        for agent in RECALLS:
            answers = {}
            for case, identity, may, do, status, code in TABLE:
                with self.subTest(agent=agent, case=case):
                    answers[case] = answer = self.ask(agent, identity, may, do, answers.get("G-A1"))
                    self.assertEqual(answer.status, status, answer.body)
                    if code:
                        self.assertEqual(answer.code, code, answer.body)
            _, with_history, without_history = RECALLS[agent]
            with self.subTest(agent=agent, case="what the answers say"):
                self.assertNotEqual(session_of(answers["G-A1"]), session_of(answers["G-A2"]))
                self.assertEqual(text_of(answers["G-A3"].json), with_history)
                self.assertEqual(answers["G-A9"].json["id"], answers["G-A1"].json["id"])
                # Who enters a session does not get its owner's history.
                self.assertEqual(text_of(answers["G-B1"].json), without_history)

    def test_the_same_through_the_projects_endpoint(self):
        def create(identity, text, **fields):
            reference = {"type": "agent_reference", "name": "responder"}
            headers = {"x-ms-user-identity": identity} if identity else {}
            return self.emulator.call("POST", "/openai/v1/responses",
                                      {"input": text, "agent_reference": reference, **fields}, headers)
        first = self.ok(create(ANN, "say hi"))
        second = self.ok(create(ANN, "history", previous_response_id=first.json["id"]))
        self.assertEqual(text_of(second.json), "history items: 2")
        refused = create(BEN, "history", previous_response_id=first.json["id"])
        self.assertEqual((refused.status, refused.code), (404, "not_found"))
        refused = create(None, "history", previous_response_id=first.json["id"])
        self.assertEqual((refused.status, refused.code), (403, "session_not_accessible"))
        path = f"/openai/v1/responses/{first.json['id']}"
        for identity, status in ((ANN, 200), (BEN, 404)):
            self.ok(self.emulator.call("GET", path, headers={"x-ms-user-identity": identity}), status)


class ThroughCupola(Matrix):
    """Cupola continues conversations, not responses, and adds its fence to the case that the service lets through."""

    def user(self, *flags):
        user = CommandLine(self.emulator.url, self.emulator.new_token(*flags))
        self.addCleanup(user.stop)
        return user

    def invoke(self, user, identity, text, *arguments, status=0):
        identity = ["--user-identity", identity] if identity else []
        done = user.invoke("--agent-name", "responder", "-o", "json", *identity, *arguments, text)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return json.loads(done.stdout) if status == 0 else done.stdout + done.stderr

    def test_every_case(self):
        user = self.user()
        a1 = self.invoke(user, ANN, "remember the code")
        a2 = self.invoke(user, BEN, "remember nothing")
        self.assertNotEqual(a1["sessionId"], a2["sessionId"])
        a3 = self.invoke(user, ANN, "history")
        self.assertEqual((a3["text"], a3["sessionId"]), ("history items: 2", a1["sessionId"]))
        self.assertEqual(a3["conversationId"], a1["conversationId"])
        # G-A4 and G-A6, with the id of what cupola continues: its fence, and what the service does without it.
        hers = ("--conversation-id", a1["conversationId"])
        self.assertIn("--allow-shared-session", self.invoke(user, BEN, "history", *hers, status=3))
        hers += ("--allow-shared-session",)
        self.assertIn("not_found", self.invoke(user, BEN, "history", *hers, status=4))
        self.assertIn("session_not_accessible", self.invoke(user, None, "history", *hers, status=3))
        # G-A9: her session and her history are as they were.
        self.assertEqual(self.invoke(user, ANN, "history")["text"], "history items: 4")
        # G-B1, likewise.
        into_hers = ("--session-id", a1["sessionId"], "--new-conversation")
        self.assertIn("--allow-shared-session", self.invoke(user, BEN, "recall", *into_hers, status=3))
        entered = self.invoke(user, BEN, "recall", *into_hers, "--allow-shared-session")
        self.assertEqual(json.loads(entered["text"])["notes"], "the code\n")
        # The wall between delegated users and others is the service's own.
        refused = self.invoke(user, None, "recall", *into_hers, "--allow-shared-session", status=3)
        self.assertIn("session_not_accessible", refused)

    def test_a_caller_without_the_permission(self):
        user = self.user("--permissions", "")
        self.assertIn("forbidden", self.invoke(user, ANN, "say hi", status=3))
        self.assertEqual(self.invoke(user, None, "say hi")["text"], "hi")


if __name__ == "__main__":
    unittest.main()
