"""Agent server packages of the protocol 1.0.0 era, unchanged: isolation by user and chat key."""

import json
import unittest

from support import Endpoint, Proof, agent_command, text_of

RESPONSES = "/protocols/openai/responses"
USER, CHAT, OWNER = "x-agent-user-isolation-key", "x-agent-chat-isolation-key", "x-session-isolation-key"


def keys(user=None, chat=None):
    return {name: value for name, value in ((USER, user), (CHAT, chat)) if value is not None}


ACME = keys("tenant-acme", "chat-1")
CONTOSO = keys("tenant-contoso", "chat-1")


class IsolationKeys(Proof):
    agents = (
        f"responder=exec:{agent_command('agentserver-1.0.0', 'isolation_keys.py', 'responses')}"
        ",protocol=1.0.0,require=user",
        f"invoked=exec:{agent_command('agentserver-1.0.0', 'isolation_keys.py', 'invocations')},protocol=1.0.0",
    )

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.acme = Endpoint(cls.emulator, "responder", ACME)
        cls.contoso = cls.acme.as_user(CONTOSO)
        cls.session = cls.acme.new_session()

    def test_both_keys_reach_the_container(self):
        answer = self.ok(self.acme.respond("keys", agent_session_id=self.session))
        self.assertEqual(json.loads(text_of(answer.json)), {"user": "tenant-acme", "chat": "chat-1"})

    def test_conversations_have_ids_that_the_packages_take(self):
        conversation = self.ok(self.acme.call("POST", "/protocols/openai/conversations", {})).json["id"]
        for body in ({"id": conversation}, conversation):
            self.ok(self.acme.respond("keys", conversation=body))

    def test_invocations_get_them_too_and_no_others(self):
        agent = Endpoint(self.emulator, "invoked")
        keyed = agent.as_user(ACME)
        received = self.ok(keyed.invoke("hello", headers={OWNER: "owner", "x-ms-user-isolation-key": "old"})).json
        self.assertEqual((received["user"], received["chat"]), ("tenant-acme", "chat-1"))
        for name in (OWNER, "x-ms-user-isolation-key", "x-agent-user-id", "authorization"):
            self.assertNotIn(name, received["headers"])
        without = self.ok(agent.invoke("hello")).json
        self.assertEqual((without["user"], without["chat"]), ("", ""))
        self.assertNotEqual(without["session"], received["session"])

    def test_a_missing_key_is_refused_before_the_container(self):
        keyless = self.acme.as_user()
        self.ok(keyless.respond("keys", agent_session_id=self.session), 403)
        self.ok(keyless.respond("keys"), 403)
        self.assertIn(keyless.call("GET", f"/sessions/{self.session}").status, (403, 404))

    def test_another_tenant_gets_nowhere(self):
        self.ok(self.contoso.respond("keys", agent_session_id=self.session), 403)
        self.ok(self.contoso.call("GET", f"/sessions/{self.session}"), 404)
        self.assertIn(self.contoso.call("DELETE", f"/sessions/{self.session}").status, (403, 404))
        self.assertEqual(self.ok(self.contoso.call("GET", "/sessions")).json["data"], [])
        listed = self.ok(self.acme.call("GET", "/sessions")).json["data"]
        self.assertIn(self.session, [session["agent_session_id"] for session in listed])

    def test_a_running_response_is_its_chats_alone(self):
        started = self.ok(self.acme.respond("tick", agent_session_id=self.session, background=True)).json
        path = f"{RESPONSES}/{started['id']}"
        other_chat = self.acme.as_user(keys("tenant-acme", "chat-2"))
        for other in (other_chat, self.contoso):
            self.assertIn(other.call("GET", path).status, (403, 404))
            self.assertIn(other.call("POST", f"{path}/cancel").status, (403, 404))
        self.assertEqual(self.ok(self.acme.call("GET", path)).json["status"], "in_progress")
        self.assertEqual(self.ok(self.acme.call("POST", f"{path}/cancel")).json["status"], "cancelled")

    def test_only_the_owner_deletes(self):
        owned = self.acme.call("POST", "/sessions", {}, {OWNER: "owner-1"})
        path = f"/sessions/{self.ok(owned, 201).json['agent_session_id']}"
        self.ok(self.acme.call("DELETE", path, headers={OWNER: "owner-2"}), 403)
        self.ok(self.acme.call("GET", path))
        self.ok(self.acme.call("DELETE", path, headers={OWNER: "owner-1"}), 204)
        self.ok(self.acme.call("GET", path), 404)


if __name__ == "__main__":
    unittest.main()
