"""The newest azure-ai-projects SDK and its OpenAI client, over TLS, for every operation on agents, sessions,
conversations, responses, files and log streams.
"""

import io
import json
import ssl
import time
import unittest
import urllib.request

from azure.ai.projects import AIProjectClient
from azure.ai.projects.models import (
    AgentEndpointConfig,
    ContainerConfiguration,
    FixedRatioVersionSelectionRule,
    HostedAgentDefinition,
    ProtocolVersionRecord,
    VersionRefIndicator,
    VersionSelector,
)
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from openai import APIStatusError, ConflictError, DefaultHttpxClient, NotFoundError, RateLimitError

from support import Proof, agent_command, until

VERSION = VersionRefIndicator(agent_version="3")


class Credential:
    """Gives the emulator's token for the one scope the service has."""

    def __init__(self, token):
        self.token = token

    def get_token(self, *scopes, **_):
        assert scopes == ("https://ai.azure.com/.default",), scopes
        return AccessToken(self.token, int(time.time()) + 3600)


class Sdk(Proof):
    agents = (
        "echo=builtin:notes,protocol=2.0.0,version=2",
        "echo=builtin:notes,protocol=2.0.0,version=3",
        f"responder=exec:{agent_command('agentserver', 'responses.py')},protocol=2.0.0",
    )
    tls = True

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client = cls.open()

    @classmethod
    def open(cls, **options):
        client = AIProjectClient(cls.emulator.project, Credential(cls.emulator.token),
                                 connection_verify=cls.emulator.certificate, **options)
        cls.addClassCleanup(client.close)
        return client

    def openai(self, agent="echo", client=None, **options):
        trusted = ssl.create_default_context(cafile=self.emulator.certificate)
        opened = (client or self.client).get_openai_client(
            agent_name=agent, http_client=DefaultHttpxClient(verify=trusted), **options)
        self.addCleanup(opened.close)
        return opened

    def fault(self, **rule):
        trusted = ssl.create_default_context(cafile=self.emulator.certificate)

        def control(method, body=None):
            headers = {"authorization": f"Bearer {self.emulator.token}", "content-type": "application/json"}
            request = urllib.request.Request(f"{self.emulator.url}/__cupola/faults", body, headers, method=method)
            return urllib.request.urlopen(request, context=trusted).read()
        control("POST", json.dumps(rule).encode())
        self.addCleanup(control, "DELETE")
        return lambda: json.loads(control("GET"))["data"]


class Agents(Sdk):
    definition = HostedAgentDefinition(
        cpu="0.5", memory="1Gi", container_configuration=ContainerConfiguration(image="echo:1"),
        protocol_versions=[ProtocolVersionRecord(protocol="responses", version="2.0.0")])

    def test_read(self):
        agents = self.client.agents
        self.assertEqual(agents.get("echo").versions.latest.version, "3")
        self.assertEqual({agent.name for agent in agents.list(limit=1)}, {"echo", "responder"})
        self.assertEqual({agent.name for agent in agents.list(kind="hosted", order="asc")}, {"echo", "responder"})
        self.assertEqual(list(agents.list(kind="prompt")), [])
        self.assertEqual({version.version for version in agents.list_versions("echo")}, {"2", "3"})
        version = agents.get_version("echo", "3")
        self.assertEqual((version.status, version.definition.kind), ("active", "hosted"))
        with self.assertRaises(ResourceNotFoundError):
            agents.get("nobody")

    def test_write(self):
        for client in (self.client, self.open(allow_preview=True)):
            made = client.agents.create_version("fresh", definition=self.definition)
            self.assertEqual(made.name, "fresh")
        agents = self.client.agents
        self.assertEqual(agents.get("fresh").versions.latest.version, made.version)
        rule = FixedRatioVersionSelectionRule(agent_version=made.version, traffic_percentage=100)
        changed = agents.update_details("fresh", agent_endpoint=AgentEndpointConfig(
            version_selector=VersionSelector(version_selection_rules=[rule])))
        rules = changed.agent_endpoint.version_selector.version_selection_rules
        self.assertEqual([rule.agent_version for rule in rules], [made.version])
        self.assertIsNone(agents.disable("fresh"))
        self.assertEqual(agents.get("fresh").state, "disabled")
        self.assertIsNone(agents.enable("fresh"))
        self.assertEqual(agents.get("fresh").state, "enabled")
        self.assertTrue(agents.delete_version("fresh", made.version).deleted)
        self.assertTrue(agents.delete("fresh").deleted)
        agents.create_version("fresh", definition=self.definition)
        self.assertTrue(agents.delete("fresh", force=True).deleted)
        with self.assertRaises(ResourceNotFoundError):
            agents.get("fresh")


class Sessions(Sdk):
    def test_life(self):
        agents = self.client.agents
        made = agents.create_session("echo", version_indicator=VERSION)
        self.assertEqual(made.version_indicator.agent_version, "3")
        got = agents.get_session("echo", made.agent_session_id)
        self.assertEqual(got.agent_session_id, made.agent_session_id)
        self.assertIn(got.status, ("creating", "active", "idle"))
        self.assertGreater(got.expires_at, got.created_at)
        self.openai().responses.create(input="hello", extra_body={"agent_session_id": made.agent_session_id})
        self.assertIsNone(agents.stop_session("echo", made.agent_session_id))
        self.assertEqual(agents.get_session("echo", made.agent_session_id).status, "idle")
        self.assertIsNone(agents.delete_session("echo", made.agent_session_id))
        with self.assertRaises(ResourceNotFoundError):
            agents.get_session("echo", made.agent_session_id)

    def test_create(self):
        agents = self.client.agents
        named = agents.create_session("echo", version_indicator=VERSION, agent_session_id="sess-proof-0001")
        self.assertEqual(named.agent_session_id, "sess-proof-0001")
        with self.assertRaises(HttpResponseError) as twice:
            agents.create_session("echo", version_indicator=VERSION, agent_session_id="sess-proof-0001")
        self.assertEqual(twice.exception.status_code, 409)
        self.assertEqual(agents.create_session("echo", {}).version_indicator.agent_version, "3")
        with self.assertRaises(ResourceNotFoundError):
            agents.create_session("echo", version_indicator=VersionRefIndicator(agent_version="99"))

    def test_list(self):
        user = {"x-ms-user-identity": "lister"}
        agents = self.client.agents
        made = [agents.create_session("echo", version_indicator=VERSION, headers=user).agent_session_id
                for _ in range(5)]

        def listed(**options):
            return [session.agent_session_id for session in agents.list_sessions("echo", headers=user, **options)]
        self.assertEqual(sorted(listed()), sorted(made))
        self.assertEqual(listed(limit=2, order="asc"), made)
        self.assertEqual(listed(limit=2, order="desc"), made[::-1])
        self.assertEqual(listed(order="asc", before=made[2]), made[:2])

    def test_busy_answers_are_retried(self):
        made = self.client.agents.create_session("echo", version_indicator=VERSION)
        left = self.fault(path=f"*/{made.agent_session_id}*", count=2, fault="status", status=503,
                          headers={"retry-after": "0"})
        self.client.agents.get_session("echo", made.agent_session_id)
        self.assertEqual(left(), [])

    def test_stopping_twice_says_so_or_succeeds(self):
        agents = self.client.agents
        made = agents.create_session("echo", version_indicator=VERSION)
        agents.stop_session("echo", made.agent_session_id)
        try:
            agents.stop_session("echo", made.agent_session_id)
        except HttpResponseError as error:
            self.assertEqual((error.status_code, error.error.code), (409, "session_already_stopped"))


class Conversations(Sdk):
    message = {"type": "message", "role": "user", "content": "hi"}

    def test_life(self):
        conversations = self.openai().conversations
        plain = conversations.create()
        self.assertTrue(plain.id.startswith("conv_"))
        made = conversations.create(items=[self.message], metadata={"k": "v"})
        self.assertEqual(conversations.retrieve(made.id).metadata, {"k": "v"})
        self.assertEqual(conversations.update(made.id, metadata={"k": "w"}).metadata, {"k": "w"})
        added = conversations.items.create(made.id, items=[self.message])
        self.assertEqual(len(added.data), 1)
        items = list(conversations.items.list(made.id))
        self.assertEqual(len(items), 2)
        self.assertEqual(conversations.items.retrieve(items[0].id, conversation_id=made.id).id, items[0].id)
        conversations.items.delete(items[0].id, conversation_id=made.id)
        self.assertEqual([item.id for item in conversations.items.list(made.id)], [items[1].id])
        self.assertTrue(conversations.delete(made.id).deleted)
        with self.assertRaises(NotFoundError):
            conversations.retrieve(made.id)

    def test_a_response_joins_its_conversation(self):
        openai = self.openai()
        made = openai.conversations.create()
        response = openai.responses.create(input="hello", conversation=made.id)
        self.assertEqual(response.conversation.id, made.id)
        self.assertGreaterEqual(len(list(openai.conversations.items.list(made.id))), 2)

    def test_project_level(self):
        openai = self.openai(agent=None)
        made = openai.conversations.create(metadata={"k": "v"})
        self.assertEqual(openai.conversations.retrieve(made.id).metadata, {"k": "v"})
        reference = {"agent_reference": {"type": "agent_reference", "name": "echo"}}
        sessions = {
            openai.responses.create(input="hi", conversation=made.id, extra_body=reference).agent_session_id
            for _ in range(2)
        }
        self.assertEqual(len(sessions), 1)
        self.assertTrue(openai.conversations.delete(made.id).deleted)
        with self.assertRaises(NotFoundError):
            openai.conversations.retrieve(made.id)

    def test_project_level_items(self):
        openai = self.openai(agent=None)
        message = {"type": "message", "role": "user", "content": "hello"}
        conversation = openai.conversations.create(items=[message], metadata={"k": "v"})
        openai.conversations.update(conversation.id, metadata={"a": "b"})
        self.assertEqual(openai.conversations.retrieve(conversation.id).metadata, {"a": "b"})
        added = openai.conversations.items.create(conversation.id, items=[message]).data[0]
        self.assertEqual(openai.conversations.items.retrieve(added.id, conversation_id=conversation.id).id, added.id)
        self.assertEqual(len(list(openai.conversations.items.list(conversation.id))), 2)
        openai.conversations.items.delete(added.id, conversation_id=conversation.id)
        self.assertEqual(len(list(openai.conversations.items.list(conversation.id))), 1)
        self.assertTrue(openai.conversations.delete(conversation.id).deleted)


class Responses(Sdk):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.session = {"agent_session_id": cls.client.agents.create_session("responder", {}).agent_session_id}

    def create(self, text, openai=None, **options):
        responses = (openai or self.openai("responder")).responses
        return responses.create(input=text, extra_body=self.session, **options)

    def finished(self, response_id):
        responses = self.openai("responder").responses

        def look():
            response = responses.retrieve(response_id)
            return response if response.status != "in_progress" else None
        return until("the response ends", look)

    def test_sync(self):
        response = self.create("say hello there")
        self.assertEqual((response.status, response.output_text), ("completed", "hello there"))
        self.assertEqual(response.agent_session_id, self.session["agent_session_id"])
        again = self.create("say more", previous_response_id=response.id)
        self.assertEqual(again.previous_response_id, response.id)
        items = list(self.openai("responder").responses.input_items.list(response.id, limit=20, order="asc"))
        self.assertEqual(len(items), 1)

    def test_stream(self):
        with self.create("say one two", stream=True) as events:
            types = [event.type for event in events]
        self.assertEqual((types[0], types[-1]), ("response.created", "response.completed"))

    def test_stream_helper(self):
        with self.openai("responder").responses.stream(
                model="m", input="say one two", extra_body=self.session) as stream:
            self.assertEqual(stream.get_final_response().output_text, "one two")

    def test_background(self):
        started = self.create("say later", background=True, store=True)
        self.assertEqual(started.status, "in_progress")
        self.assertEqual(self.finished(started.id).output_text, "later")

    def test_background_stream_and_its_replay(self):
        with self.create("say a b c d", stream=True, background=True) as events:
            seen = list(events)
        responses = self.openai("responder").responses
        response_id = seen[0].response.id
        with responses.retrieve(response_id, stream=True) as events:
            self.assertEqual([event.sequence_number for event in events],
                             [event.sequence_number for event in seen])
        with responses.retrieve(response_id, stream=True, starting_after=seen[3].sequence_number) as events:
            self.assertEqual([event.type for event in events], [event.type for event in seen[4:]])

    def test_cancel_and_delete(self):
        responses = self.openai("responder").responses
        started = self.create("tick 1000", background=True)
        self.assertEqual(responses.cancel(started.id).status, "cancelled")
        response = self.create("say bye")
        responses.delete(response.id)
        with self.assertRaises(NotFoundError):
            responses.retrieve(response.id)

    def test_each_user_reads_their_own(self):
        alice = {"x-ms-user-identity": "alice@contoso.com"}
        responses = self.openai().responses
        made = responses.create(input="remember the code", extra_headers=alice)
        self.assertEqual(responses.retrieve(made.id, extra_headers=alice).id, made.id)
        with self.assertRaises(NotFoundError):
            responses.retrieve(made.id, extra_headers={"x-ms-user-identity": "bob@contoso.com"})

    def test_preview_client(self):
        openai = self.openai(client=self.open(allow_preview=True))
        self.assertEqual(openai.responses.create(input="hi").status, "completed")

    def test_project_level(self):
        openai = self.openai(agent=None)

        def create(**options):
            reference = {"type": "agent_reference", "name": "responder", **options.pop("reference", {})}
            return openai.responses.create(input="say one two", extra_body={"agent_reference": reference}, **options)
        response = create()
        self.assertEqual(response.output_text, "one two")
        self.assertEqual(openai.responses.retrieve(response.id).id, response.id)
        self.assertEqual(len(openai.responses.input_items.list(response.id).data), 1)
        seen = list(create(background=True, stream=True))
        with openai.responses.retrieve(seen[0].response.id, stream=True, starting_after=3) as events:
            self.assertEqual([event.type for event in events], [event.type for event in seen[4:]])
        openai.responses.delete(response.id)
        with self.assertRaises(NotFoundError):
            openai.responses.retrieve(response.id)
        with self.assertRaises(NotFoundError):
            create(reference={"version": "99"})

    def test_errors_and_retries(self):
        path = "*/agents/echo/endpoint/protocols/openai/responses"
        body = {"error": {"code": "conversation_locked", "message": "busy", "type": "conflict", "param": None}}
        once = {"path": path, "fault": "status", "headers": {"retry-after-ms": "1"}, "body": body}
        for status, kind in ((409, ConflictError), (503, APIStatusError), (429, RateLimitError)):
            with self.subTest(status):
                left = self.fault(**once, status=status, count=3)
                with self.assertRaises(kind) as failed:
                    self.openai().responses.create(input="hi")
                self.assertEqual(failed.exception.status_code, status)
                self.assertEqual(failed.exception.code, "conversation_locked")
                # One attempt and the client's own two retries.
                self.assertEqual(left(), [])
        self.fault(**once, status=503, count=2)
        self.assertEqual(self.openai().responses.create(input="hi").status, "completed")

    def test_a_refused_token(self):
        stranger = AIProjectClient(self.emulator.project, Credential("not.a.token"),
                                   connection_verify=self.emulator.certificate)
        self.addCleanup(stranger.close)
        with self.assertRaises(HttpResponseError) as failed:
            stranger.agents.get("echo")
        self.assertEqual(failed.exception.status_code, 401)


class Files(Sdk):
    def setUp(self):
        self.session = self.client.agents.create_session("echo", {}).agent_session_id

    def upload(self, path, content):
        return self.client.agents.upload_session_file("echo", self.session, content, path=path)

    def download(self, path):
        return b"".join(self.client.agents.download_session_file("echo", self.session, path=path))

    def listed(self, **options):
        return list(self.client.agents.list_session_files("echo", self.session, **options))

    def test_upload_and_download(self):
        made = self.upload("data/in.txt", b"hello file")
        self.assertEqual((made.path, made.bytes_written), ("data/in.txt", 10))
        self.upload("data dir/\u00fc.txt", io.BytesIO(b"stream file"))
        self.assertEqual(self.download("data/in.txt"), b"hello file")
        self.assertEqual(self.download("data dir/\u00fc.txt"), b"stream file")
        large = bytes(range(256)) * 4096
        self.upload("large", io.BytesIO(large))
        self.assertEqual(self.download("large"), large)
        with self.assertRaises(ResourceNotFoundError):
            self.download("nothing/here")

    def test_list(self):
        began = time.time() - 1
        for name in "abcdefg":
            self.upload(f"data/{name}.txt", name.encode())
        self.upload("data/deeper/x", b"")
        entry, = (entry for entry in self.listed() if entry.name == "data")
        self.assertTrue(entry.is_directory)
        inside = self.listed(path="data")
        self.assertEqual([entry.name for entry in inside],
                         ["a.txt", "b.txt", "c.txt", "d.txt", "deeper", "e.txt", "f.txt", "g.txt"])
        self.assertEqual([entry.is_directory for entry in inside].index(True), 4)
        self.assertEqual((inside[0].size, inside[4].size), (1, 0))
        self.assertGreaterEqual(inside[0].modified_time.timestamp(), began - 1)
        # The SDK follows pages until there is no last name.
        self.assertEqual([entry.name for entry in self.listed(path="data", limit=3, order="desc")],
                         [entry.name for entry in reversed(inside)])
        self.assertEqual([entry.name for entry in self.listed(path="data", limit=5, order="asc", before="c.txt")],
                         ["a.txt", "b.txt"])
        with self.assertRaises(ResourceNotFoundError):
            self.listed(path="nothing")

    def test_delete(self):
        self.upload("data/in.txt", b"x")
        self.upload("data/more.txt", b"x")

        def delete(path, **options):
            return self.client.agents.delete_session_file("echo", self.session, path=path, **options)
        self.assertIsNone(delete("data/in.txt"))
        with self.assertRaises(ResourceNotFoundError):
            self.download("data/in.txt")
        with self.assertRaises(ResourceExistsError):
            delete("data")
        self.assertIsNone(delete("data", recursive=True))
        self.assertNotIn("data", [entry.name for entry in self.listed()])

    def test_too_large(self):
        with self.assertRaises(HttpResponseError) as refused:
            self.upload("big", bytes(50 * 1024 * 1024 + 1))
        self.assertEqual(refused.exception.status_code, 413)

    def test_another_users_session(self):
        self.upload("mine", b"x")
        bob = {"x-ms-user-identity": "bob@contoso.com"}
        with self.assertRaises(HttpResponseError) as refused:
            self.client.agents.upload_session_file("echo", self.session, b"x", path="mine", headers=bob)
        self.assertEqual(refused.exception.status_code, 403)


class LogStreams(Sdk):
    def read(self, client, session, wanted, version="3"):
        """The frames of a session's log up to the one whose message is `wanted`."""
        # The SDK gives the bytes and keeps the stream open; only its response can close it.
        response, chunks = client.agents.get_session_log_stream(
            "echo", version, session, cls=lambda response, chunks, _: (response.http_response, chunks))
        self.addCleanup(response.close)
        self.assertTrue(response.headers["content-type"].startswith("text/event-stream"))
        text, frames = "", []
        for chunk in chunks:
            text += chunk.decode()
            *whole, text = text.split("\n\n")
            for frame in whole:
                data = next(line.removeprefix("data: ") for line in frame.splitlines() if line.startswith("data: "))
                frames.append(json.loads(data))
                if frames[-1].get("message") == wanted:
                    return frames
        raise AssertionError(f"the stream ended: {frames}")

    def test_lines(self):
        agents = self.client.agents
        session = agents.create_session("echo", {}).agent_session_id
        self.openai().responses.create(input="hello", extra_body={"agent_session_id": session})
        for client in (self.client, self.open(allow_preview=True)):
            frames = self.read(client, session, "POST /responses 200")
            self.assertEqual(frames[0]["session_id"], session)
            self.assertIn("stdout", {frame.get("stream") for frame in frames})

    def test_errors(self):
        session = self.client.agents.create_session("echo", {}).agent_session_id
        for version, name in (("2", session), ("3", "unknown-session")):
            with self.assertRaises(ResourceNotFoundError):
                self.client.agents.get_session_log_stream("echo", version, name)


if __name__ == "__main__":
    unittest.main()
