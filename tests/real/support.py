"""What the proofs share: an emulator process and a small HTTP client. Standard library only."""

import contextlib
import dataclasses
import http.client
import json
import os
import pathlib
import queue
import random
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent

# Real agents import for seconds, for several times as long on a busy machine.
PATIENCE = 60


def agent_command(environment, script, *arguments):
    """The shell command that runs a script of agents/ in one of run.py's virtual environments. The suite decides which
    one "agentserver" is.
    """
    if environment == "agentserver":
        environment = os.environ["CUPOLA_REAL_AGENTSERVER"]
    python = pathlib.Path(os.environ["CUPOLA_REAL_ENVIRONMENTS"]) / environment / "bin" / "python"
    return shlex.join([str(python), str(HERE / "agents" / script), *arguments])


def agentserver_name():
    """What the suite's agent servers say of themselves in `x-platform-server`: a package and its pinned version."""
    requirements = HERE / f"requirements-{os.environ['CUPOLA_REAL_AGENTSERVER']}.txt"
    package = "azure-ai-agentserver-responses"
    pinned, = (line for line in requirements.read_text().splitlines() if line.startswith(f"{package}=="))
    return pinned.replace("==", "/")


def run_node(test, file, variables):
    """Runs a test file of Node in the environment "node", and checks that its tests passed and none was skipped."""
    directory = pathlib.Path(os.environ["CUPOLA_REAL_ENVIRONMENTS"]) / "node"
    # Node looks for packages beside the file.
    shutil.copy(HERE / "node" / file, directory)
    done = subprocess.run(["node", "--test", "--test-reporter=tap", file], cwd=directory, env={**os.environ, **variables},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=3 * PATIENCE)
    test.assertEqual(done.returncode, 0, done.stdout)
    counts = {name: int(number) for name, number in re.findall(r"^# (pass|skipped) (\d+)$", done.stdout, re.MULTILINE)}
    test.assertGreater(counts["pass"], 0)
    test.assertEqual(counts["skipped"], 0)


def free_port():
    """Below those that the system assigns for port 0, so that no other program takes it before the agent does."""
    while True:
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", random.randrange(10_000, 30_000)))
            return listener.getsockname()[1]


def until(what, condition):
    """Asks until `condition()` gives something true, and returns that."""
    deadline = time.monotonic() + PATIENCE
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"never happened: {what}")
        time.sleep(0.05)


@dataclasses.dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json["error"]["code"]


class Stream:
    """An answer of server-sent events, read as they come."""

    def __init__(self, connection, response):
        self._connection, self._response = connection, response
        self.status, self.headers = response.status, response.headers

    def __iter__(self):
        """Yields (event name, parsed data)."""
        name = None
        for line in self._response:
            line = line.decode().rstrip("\n")
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield name, json.loads(line.removeprefix("data: "))

    def read(self):
        """All bytes to the end; raises IncompleteRead when the answer was cut, which iterating does not."""
        return self._response.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # The response holds a second reference to the socket; only closing both drops the connection.
        self._response.close()
        self._connection.close()


class Dialogue:
    """A WebSocket, as far as these proofs need one: short texts, one answer each."""

    def __init__(self, connection, response):
        self._connection, self.status, self.headers = connection, response.status, response.headers
        self._socket, self._stream = connection.sock, response.fp

    def ask(self, text):
        """The text of the answer, or the code the other side closes with."""
        message = text.encode()
        # A mask of zeros leaves the bytes as they are.
        self._socket.sendall(bytes([0x81, 0x80 | len(message)]) + bytes(4) + message)
        kind, length = self._stream.read(2)
        if length == 126:
            length = int.from_bytes(self._stream.read(2))
        answer = self._stream.read(length)
        return int.from_bytes(answer[:2]) if kind == 0x88 else answer.decode()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._connection.close()


class Emulator:
    """`cupola emulator` with the agents given as NAME=SPEC, and further flags."""

    def __init__(self, *agents, tls=False, flags=()):
        self.directory = tempfile.mkdtemp(prefix="cupola-real-")
        command = [os.environ["CUPOLA_REAL_BINARY"], "emulator", "--listen", "127.0.0.1:0", "--json",
                   "--data-dir", self.directory]
        command += ["--tls", *flags] if tls else [*flags]
        for agent in agents:
            command += ["--agent", agent]
        # It shows what its agents write, which is thousands of lines.
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        lines = queue.Queue()
        threading.Thread(target=lambda: lines.put(self.process.stdout.readline()), daemon=True).start()
        ready = json.loads(lines.get(timeout=PATIENCE))
        self.url, self.project, self.token = ready["url"], ready["projectEndpoint"], ready["token"]
        self.certificate = ready.get("certificate")
        self._tokens = {}

    def new_token(self, *flags):
        """A token, as a user of the emulator would make one for a client."""
        command = [os.environ["CUPOLA_REAL_BINARY"], "emulator", "token", "--data-dir", self.directory, *flags]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=PATIENCE, check=True)
        return done.stdout.strip()

    def token_of(self, caller):
        """A token that names `caller`."""
        if caller not in self._tokens:
            self._tokens[caller] = self.new_token("--caller", caller)
        return self._tokens[caller]

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=PATIENCE)
        self.process.stdout.close()
        shutil.rmtree(self.directory)

    def _request(self, method, url, body, headers, caller):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme == "https":
            trusted = ssl.create_default_context(cafile=self.certificate)
            connection = http.client.HTTPSConnection(parts.netloc, timeout=PATIENCE, context=trusted)
        else:
            connection = http.client.HTTPConnection(parts.netloc, timeout=PATIENCE)
        bearer = self.token if caller is None else self.token_of(caller)
        sent = {"authorization": f"Bearer {bearer}"}
        if body is not None and not isinstance(body, (bytes, str)):
            body, sent["content-type"] = json.dumps(body), "application/json"
        sent.update(headers or {})
        connection.request(method, f"{parts.path}?{parts.query}", body, sent)
        return connection, connection.getresponse()

    def _url(self, path, query):
        return f"{self.project}{path}?{urllib.parse.urlencode({'api-version': 'v1', **(query or {})})}"

    def call(self, method, path, body=None, headers=None, query=None, caller=None):
        """One request below the project endpoint."""
        connection, response = self._request(method, self._url(path, query), body, headers, caller)
        try:
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def stream(self, method, path, body=None, headers=None, query=None, caller=None):
        """The same for an answer of events; a context manager that drops the connection at its end."""
        return Stream(*self._request(method, self._url(path, query), body, headers, caller))

    def websocket(self, path, headers, session, caller=None):
        """A dialogue in a session; a context manager."""
        url = self._url(path, {"agent_session_id": session})
        return Dialogue(*self._request("GET", url, None, headers, caller))


class CommandLine:
    """`cupola` as a user who has nothing but a token for the emulator at `url`. Its daemon ends with `stop`."""

    def __init__(self, url, token):
        self.url, self.home = url, tempfile.mkdtemp(prefix="cupola-user-")
        self.variables = {"PATH": os.environ["PATH"], "HOME": self.home, "XDG_RUNTIME_DIR": f"{self.home}/run",
                          "CUPOLA_EMULATOR_TOKEN": token}

    def run(self, *arguments):
        return subprocess.run([os.environ["CUPOLA_REAL_BINARY"], *arguments], env=self.variables, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=2 * PATIENCE)

    def invoke(self, *arguments):
        return self.run("invoke", f"--emulator={self.url}", *arguments)

    def stop(self):
        self.run("stop", "--force")
        # A daemon that ends removes its socket meanwhile.
        shutil.rmtree(self.home, ignore_errors=True)


class Endpoint:
    """One agent's endpoint, and the headers every request to it carries."""

    def __init__(self, emulator, agent, headers=None, caller=None):
        self.emulator, self.agent, self.headers, self.caller = emulator, agent, headers or {}, caller

    def as_user(self, headers=None, caller=None):
        """The same endpoint as another user sees it."""
        return Endpoint(self.emulator, self.agent, headers, caller)

    def call(self, method, path, body=None, headers=None, **more):
        headers = {**self.headers, **(headers or {})}
        return self.emulator.call(method, f"/agents/{self.agent}/endpoint{path}", body, headers,
                                  caller=self.caller, **more)

    def stream(self, method, path, body=None, headers=None, **more):
        headers = {**self.headers, **(headers or {})}
        return self.emulator.stream(method, f"/agents/{self.agent}/endpoint{path}", body, headers,
                                    caller=self.caller, **more)

    def websocket(self, session):
        """A dialogue, or the answer that refuses it."""
        headers = {**self.headers, "connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13",
                   "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="}
        return self.emulator.websocket(f"/agents/{self.agent}/endpoint/protocols/invocations_ws", headers, session,
                                       self.caller)

    def respond(self, text, **fields):
        return self.call("POST", "/protocols/openai/responses", {"input": text, **fields})

    def invoke(self, body, session=None, **more):
        query = {"agent_session_id": session} if session else {}
        return self.call("POST", "/protocols/invocations", body, query=query, **more)

    def new_session(self, **body):
        created = self.call("POST", "/sessions", body)
        assert created.status == 201, (created.status, created.body)
        return created.json["agent_session_id"]

    def session_status(self, session):
        return self.call("GET", f"/sessions/{session}").json["status"]


def text_of(response):
    """The text of a response object."""
    return "".join(part["text"] for item in response["output"] for part in item.get("content", []))


class Proof(unittest.TestCase):
    """A test case whose class holds one emulator: `agents` and `tls` say how it is started."""

    agents = ()
    tls = False

    @classmethod
    def setUpClass(cls):
        cls.emulator = Emulator(*cls.agents, tls=cls.tls)
        cls.addClassCleanup(cls.emulator.stop)

    def ok(self, answer, status=200):
        """Fails with the body when the status is another."""
        self.assertEqual(answer.status, status, answer.body)
        return answer
