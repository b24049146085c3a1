"""An agent that takes a second to start and none to answer, for the benchmark: `PORT=… python3 slow_agent.py`."""

import http.server
import json
import os
import time
import uuid

# What a cold session costs before its first answer.
time.sleep(1)


class Agent(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, kind, body):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer("text/plain", b"ready")

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        head = {"id": f"resp_{uuid.uuid4().hex}", "object": "response", "output": []}
        events = [
            {"type": "response.created", "response": {**head, "status": "in_progress"}},
            {"type": "response.output_text.delta", "delta": "hello"},
            {"type": "response.completed", "response": {**head, "status": "completed"}},
        ]
        self.answer("text/event-stream", "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode())

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Agent).serve_forever()
