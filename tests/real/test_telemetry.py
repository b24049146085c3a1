"""An agent's spans, as Microsoft's agent server exports them, join the span of Cupola's turn: one trace, as a collector sees it."""

import http.server
import pathlib
import threading
import unittest

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from support import CommandLine, Emulator, agent_command, until


class Collector:
    """Takes OTLP over HTTP, and keeps the spans with the name of the service that sent each."""

    def __init__(self):
        self.spans = spans = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.path == "/v1/traces":
                    for sent in ExportTraceServiceRequest.FromString(body).resource_spans:
                        names = {item.key: item.value.string_value for item in sent.resource.attributes}
                        spans.extend((names["service.name"], span) for scope in sent.scope_spans for span in scope.spans)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Traces(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.collector = Collector()
        cls.addClassCleanup(cls.collector.stop)
        exporting = f"OTEL_EXPORTER_OTLP_ENDPOINT={cls.collector.url} OTEL_BSP_SCHEDULE_DELAY=100"
        command = f"env {exporting} {agent_command('agentserver', 'responses.py')}"
        cls.emulator = Emulator(f"responder=exec:{command},protocol=2.0.0")
        cls.addClassCleanup(cls.emulator.stop)
        cls.cupola = CommandLine(cls.emulator.url, cls.emulator.token)
        cls.addClassCleanup(cls.cupola.stop)
        config = pathlib.Path(cls.cupola.home, ".config", "cupola", "config.toml")
        config.parent.mkdir(parents=True)
        config.write_text(f'[telemetry]\notlp_endpoint = "{cls.collector.url}"\n')

    def test_the_agents_span_is_a_child_of_the_turns_span(self):
        done = self.cupola.invoke("--agent-name", "responder", "trace hello there")
        self.assertEqual((done.returncode, done.stdout.strip()), (0, "hello there"), done.stderr)

        def turns_span():
            return next((span for service, span in self.collector.spans if service == "cupola"), None)

        def joined():
            turn = turns_span()
            return turn and [span for service, span in self.collector.spans
                             if service != "cupola" and span.trace_id == turn.trace_id]

        theirs = until("the agent's span arrives", joined)
        turn = turns_span()
        self.assertEqual((turn.name, turn.parent_span_id), ("invoke_agent responder", b""))
        parents = {span.name: span.parent_span_id for span in theirs}
        self.assertEqual(parents["think"], turn.span_id, parents)
