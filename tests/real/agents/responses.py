"""An agent of the responses protocol, on the unmodified azure-ai-agentserver-responses package.

The first word of the input chooses what it does:

  say WORDS       answers with one delta per word
  tick COUNT [MS] a delta every 100 ms, or as often as it says, until it is cancelled
  remember TEXT   appends TEXT to a file in $HOME
  recall          the file's content, and the id of this process
  history         how many items of earlier turns the package found
  trace WORDS     answers with them, in a span of its own
  whoami          what the platform told it about the caller
  die             ends the process
  stubborn        continues without checking whether it is cancelled
  fail            raises before anything was answered
"""

import asyncio
import json
import os
import pathlib

import opentelemetry.trace
from azure.ai.agentserver.responses import ResponsesAgentServerHost, TextResponse

app = ResponsesAgentServerHost()
notes = pathlib.Path.home() / "notes.txt"


async def one_by_one(words, pause, cancelled):
    for number, word in enumerate(words):
        if cancelled.is_set():
            return
        await asyncio.sleep(pause)
        yield word if number == 0 else " " + word


@app.response_handler
async def handle(request, context, cancellation_signal):
    command, _, rest = (await context.get_input_text()).partition(" ")
    if command == "fail":
        raise RuntimeError("asked to fail")
    if command == "die":
        os._exit(1)
    if command == "stubborn":
        return TextResponse(context, request, text=one_by_one(["on"] * 10_000, 0.1, asyncio.Event()))
    if command == "tick":
        count, *pause = map(int, rest.split())
        ticks = [f"tick{number}" for number in range(count)]
        pause = pause[0] / 1000 if pause else 0.1
        return TextResponse(context, request, text=one_by_one(ticks, pause, cancellation_signal))
    if command == "remember":
        with notes.open("a") as file:
            file.write(rest + "\n")
        return TextResponse(context, request, text="noted")
    if command == "recall":
        content = notes.read_text() if notes.exists() else ""
        return TextResponse(context, request, text=json.dumps({"notes": content, "process": os.getpid()}))
    if command == "history":
        return TextResponse(context, request, text=f"history items: {len(await context.get_history())}")
    if command == "trace":
        with opentelemetry.trace.get_tracer("agent").start_as_current_span("think"):
            return TextResponse(context, request, text=rest)
    if command == "whoami":
        platform = context.platform_context
        return TextResponse(context, request, text=json.dumps({
            "user": platform.user_id_key,
            "call": platform.call_id,
            "client_headers": dict(context.client_headers),
        }))
    return TextResponse(context, request, text=one_by_one(rest.split(), 0.01, cancellation_signal))


app.run(host="127.0.0.1", port=int(os.environ["PORT"]))
