"""Who must stay outside: another user of the machine, and web pages in a real Chromium."""

import contextlib
# Read by name lookups when they are first made, which another user could not do.
import encodings.idna  # noqa: F401
import http.client
import http.server
import json
import os
import pathlib
import queue
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.parse

from support import PATIENCE, Proof

# nobody: on every system, and owner of nothing.
STRANGER = 65534

PAGE = """<!doctype html><title>a page</title><iframe name="frame"></iframe><script>
const emulator = %(emulator)s;
const rule = JSON.stringify({path: "*", fault: "status", status: 418});
const version = JSON.stringify({definition: {kind: "hosted", cpu: "1", memory: "1Gi"}});
const tried = async (attempt) => {
  try { const answer = await attempt(); return answer.type === "opaque" ? "opaque" : answer.status + " " + await answer.text(); }
  catch (error) { return "error"; }
};
const post = (path, type, body, mode) => () =>
  fetch(emulator + path, {method: "POST", body, mode, headers: {"content-type": type}});
(async () => {
  const results = {
    about: await tried(() => fetch(emulator + "/__cupola/about")),
    plain: await tried(post("/__cupola/faults", "text/plain", rule, "no-cors")),
    json: await tried(post("/__cupola/faults", "application/json", rule, "cors")),
    version: await tried(post("/api/projects/p/agents/mine/versions?api-version=v1", "application/json", version, "cors")),
    socket: await new Promise((resolve) => {
      const socket = new WebSocket(emulator.replace("http", "ws") +
        "/api/projects/p/agents/mine/endpoint/protocols/invocations_ws?api-version=v1");
      socket.onopen = () => resolve("open");
      socket.onerror = () => resolve("error");
    }),
  };
  // What a page can do without its own script.
  document.body.innerHTML += '<form method="post" enctype="text/plain" target="frame"><input name=\\'{"path":"*","fault":' +
    '"status","status":418,"x":"\\' value=\\'"}\\'></form>';
  const form = document.querySelector("form");
  form.action = emulator + "/__cupola/faults";
  const loaded = new Promise((resolve) => { frames[0].frameElement.onload = resolve; });
  form.submit();
  await loaded;
  await fetch("/result", {method: "POST", body: JSON.stringify(results)});
})();
</script>"""


class Pages(http.server.ThreadingHTTPServer):
    """Serves the page at `/` and takes its results. As a proxy it gives every other request to the emulator, under the name
    that the browser believes in: to the browser and to the emulator this is a name that was made to lead here (DNS
    rebinding)."""

    daemon_threads = True

    def __init__(self, emulator, page_at=None):
        self.emulator = urllib.parse.urlsplit(emulator).netloc
        self.page = (PAGE % {"emulator": json.dumps(page_at or emulator)}).encode()
        self.results = queue.Queue()
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self):
        path = urllib.parse.urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if path == "/":
            return self.send(200, "text/html", self.server.page)
        if path == "/result":
            self.send(204, "text/plain", b"")
            return self.server.results.put(json.loads(body))
        if not self.path.startswith("http"):
            return self.send(404, "text/plain", b"")
        target = urllib.parse.urlsplit(self.path)
        connection = http.client.HTTPConnection(self.server.emulator, timeout=PATIENCE)
        kept = {name: value for name, value in self.headers.items() if not name.lower().startswith("proxy-")}
        with contextlib.closing(connection):
            connection.request(self.command, f"{target.path}?{target.query}", body, kept)
            answer = connection.getresponse()
            self.send(answer.status, answer.headers.get("content-type", "text/plain"), answer.read())

    do_GET = do_POST = do_OPTIONS = answer

    def do_CONNECT(self):
        # A WebSocket through a proxy: a tunnel, whose first bytes are the handshake.
        with contextlib.closing(socket.create_connection(self.server.emulator.rsplit(":", 1))) as emulator:
            self.send_response(200)
            self.end_headers()
            threading.Thread(target=copy, args=(self.connection, emulator), daemon=True).start()
            copy(emulator, self.connection)
        self.close_connection = True

    def send(self, status, kind, body):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def copy(source, target):
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)


@unittest.skipUnless(shutil.which("chromium"), "Chromium is missing (Debian: chromium)")
class WebPages(Proof):
    agents = ("mine=exec:exit 1",)

    def visit(self, pages, url, *flags):
        """What a page found out, in a separate Chromium."""
        home = tempfile.mkdtemp(prefix="cupola-page-")
        command = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
                   "--disable-background-networking", "--disable-component-update", "--disable-sync",
                   f"--user-data-dir={home}", *flags, url]
        browser = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, env={**os.environ, "HOME": home})
        try:
            return pages.results.get(timeout=2 * PATIENCE)
        finally:
            browser.kill()
            browser.wait()
            pages.shutdown()
            pages.server_close()
            shutil.rmtree(home, ignore_errors=True)

    def changed(self):
        """What a page may have changed."""
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(self.emulator.url).netloc, timeout=PATIENCE)
        connection.request("GET", "/__cupola/faults", headers={"authorization": f"Bearer {self.emulator.token}"})
        faults = json.loads(connection.getresponse().read())["data"]
        connection.close()
        return faults, len(self.ok(self.emulator.call("GET", "/agents/mine/versions")).json["data"])

    def test_a_page_of_another_origin_learns_and_changes_nothing(self):
        pages = Pages(self.emulator.url)
        found = self.visit(pages, f"http://{pages.address}/")
        # The plain request was sent and answered; the page may not see how.
        self.assertEqual(found.pop("plain"), "opaque")
        self.assertEqual(set(found.values()), {"error"}, found)
        self.assertEqual(self.changed(), ([], 1))

    def test_a_page_under_a_name_that_leads_to_the_emulator_learns_and_changes_nothing(self):
        port = urllib.parse.urlsplit(self.emulator.url).port
        origin = f"http://evil.example:{port}"
        pages = Pages(self.emulator.url, page_at=origin)
        found = self.visit(pages, f"{origin}/", f"--proxy-server=http://{pages.address}")
        self.assertEqual(found.pop("socket"), "error")
        for name, answer in found.items():
            self.assertRegex(answer, re.compile('^421 .*"host_not_allowed"', re.DOTALL), name)
        # Without a proxy in between it is the same: the name itself leads here.
        pages = Pages(self.emulator.url, page_at=origin)
        found = self.visit(pages, f"http://evil.example:{pages.server_port}/", "--host-resolver-rules=MAP evil.example 127.0.0.1")
        self.assertEqual(found.pop("plain"), "opaque")
        self.assertEqual(set(found.values()), {"error"}, found)
        self.assertEqual(self.changed(), ([], 1))


def read(path):
    return pathlib.Path(path).read_text()


def write(path):
    return pathlib.Path(path).write_text("x")


def connect(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


def get(url, token):
    """The status of an answer."""
    parts = urllib.parse.urlsplit(url)
    with contextlib.closing(http.client.HTTPConnection(parts.netloc, timeout=PATIENCE)) as connection:
        connection.request("GET", f"{parts.path}?{parts.query}", headers={"authorization": f"Bearer {token}"})
        with connection.getresponse() as answer:
            return answer.status


def as_stranger(*attempts):
    """What comes of each attempt, a function and its arguments, when another user makes it: a value, or an error's name."""
    found, told = os.pipe()
    child = os.fork()
    if child == 0:
        # Nothing of this process is cleaned up by its copy.
        try:
            os.setgroups([])
            os.setgid(STRANGER)
            os.setuid(STRANGER)
            results = []
            for act, *arguments in attempts:
                try:
                    results.append(act(*arguments))
                except OSError as error:
                    results.append(type(error).__name__)
            os.write(told, json.dumps(results).encode())
        finally:
            os._exit(0)
    os.close(told)
    with open(found) as results:
        text = results.read()
    os.waitpid(child, 0)
    return json.loads(text)


@unittest.skipUnless(sys.platform != "win32" and os.geteuid() == 0, "only root can act as another user")
class OtherUser(Proof):
    """The home and all above it are open to everyone, and the umask takes nothing away: only what Cupola itself closes is
    closed."""

    agents = ("mine=exec:exit 1",)

    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="cupola-home-")
        # A daemon that ends removes its socket meanwhile.
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)
        os.chmod(self.home, 0o777)
        os.makedirs(f"{self.home}/.local/state", mode=0o777)
        self.variables = {"PATH": os.environ["PATH"], "HOME": self.home}

    def cupola(self, *arguments):
        return subprocess.run([os.environ["CUPOLA_REAL_BINARY"], *arguments], env=self.variables, text=True, umask=0,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=2 * PATIENCE)

    def test_the_embedded_emulator_is_closed(self):
        done = self.cupola("invoke", "--emulator", "hello")
        self.addCleanup(self.cupola, "stop", "--force")
        self.assertEqual((done.returncode, done.stdout), (0, "echo: hello\n"), done.stderr)
        data = pathlib.Path(self.home, ".local/state/cupola/emulator")
        self.assertTrue((data / "socket").is_socket() and (data / "secret").is_file())
        self.assertEqual(oct((data / "secret").stat().st_mode & 0o777), "0o600")
        refused = as_stranger((os.listdir, str(data)), (read, str(data / "secret")), (write, str(data / "secret")),
                                   (connect, str(data / "socket")))
        self.assertEqual(refused, ["PermissionError"] * 4)
        status = json.loads(self.cupola("status", "-o", "json").stdout)
        self.assertEqual(status["emulator"], f"unix:{data / 'socket'}")
        # There is no port of it: the daemon listens on none.
        listening = subprocess.run(["ss", "-Hltnp"], stdout=subprocess.PIPE, text=True).stdout if shutil.which("ss") else ""
        self.assertNotIn(f"pid={status['processId']},", listening)

    def test_a_separate_emulator_is_closed(self):
        agents = self.emulator.project + "/agents?api-version=v1"
        unsigned = ("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0."
                    "eyJhdWQiOiJodHRwczovL2FpLmF6dXJlLmNvbSIsIm9pZCI6ImxvY2FsLXVzZXIifQ.")
        forged = self.emulator.token.rsplit(".", 1)[0] + ".AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        secret = f"{self.emulator.directory}/secret"
        answers = as_stranger((read, secret), (os.listdir, self.emulator.directory), (get, agents, ""),
                                   (get, agents, unsigned), (get, agents, forged),
                                   (get, self.emulator.url + "/__cupola/faults", unsigned),
                                   (get, agents, self.emulator.token))
        # The last one was given a token: that is how another user gets in.
        self.assertEqual(answers, ["PermissionError"] * 2 + [401] * 4 + [200])

    def test_the_list_of_running_emulators_is_closed(self):
        process = subprocess.Popen(
            [os.environ["CUPOLA_REAL_BINARY"], "emulator", "--listen", "127.0.0.1:0", "--json"], env=self.variables,
            stdout=subprocess.PIPE, text=True, umask=0)
        self.addCleanup(process.wait, PATIENCE)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.terminate)
        ready = json.loads(process.stdout.readline())
        listed = f"{self.home}/.local/state/cupola/emulators"
        self.assertTrue(os.listdir(listed))
        self.assertEqual(as_stranger((os.listdir, listed), (write, f"{listed}/http---127-0-0-1-1.json")),
                         ["PermissionError"] * 2)
        # Its own user needs no flag, and gets a token for other clients.
        done = self.cupola("invoke", f"--emulator={ready['url']}", "hello")
        self.addCleanup(self.cupola, "stop", "--force")
        self.assertEqual((done.returncode, done.stdout), (0, "echo: hello\n"), done.stderr)
        token = self.cupola("emulator", "token", "--caller", "ann").stdout.strip()
        self.assertEqual(as_stranger((get, ready["projectEndpoint"] + "/agents?api-version=v1", token)), [200])


if __name__ == "__main__":
    unittest.main()
