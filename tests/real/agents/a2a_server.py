"""An A2A server on the unmodified a2a-sdk, 0.3 or 1.x, where the service has its own: in front of everything else of an emulator.

The argument is the emulator's URL. Messages to an agent are answered by the SDK's server, and all other requests by the
emulator. The card of the agent `whole` says that it does not stream. The first word of a message chooses the answer:

  say WORDS       one message
  stream WORDS    a task whose artifact comes one word at a time
  revise          an artifact that is sent again as a whole, in place of the first one
  two             a task with two artifacts
  progress        status messages while it works, then an artifact
  finish          a task that completes with a message and has no artifact
  ask             a task that needs more input
  fail            a task that fails with a message
  crash           raises
  context         how many messages this context has had
"""

import collections
import importlib.metadata
import os
import sys

import httpx
import uvicorn
from a2a.server.agent_execution import AgentExecutor
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, Part, Role
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

ENDPOINT = "/api/projects/{project}/agents/{agent}/endpoint/protocols/a2a"
IS_OLD = importlib.metadata.version("a2a-sdk").startswith("0.")

if IS_OLD:
    from a2a.server.apps import A2AStarletteApplication
    from a2a.types import TextPart
    from a2a.utils import new_agent_text_message as new_message
    from a2a.utils import new_task

    def part(text):
        return Part(root=TextPart(text=text))
else:
    from a2a.helpers import new_task_from_user_message as new_task
    from a2a.helpers import new_text_message
    from a2a.server.routes import create_jsonrpc_routes

    def part(text):
        return Part(text=text)

    def new_message(text, context_id=None, task_id=None):
        return new_text_message(text, context_id=context_id, task_id=task_id, role=Role.ROLE_AGENT)


class Executor(AgentExecutor):
    def __init__(self):
        self.messages = collections.Counter()

    async def execute(self, context, queue):
        do, _, rest = context.get_user_input().partition(" ")
        self.messages[context.context_id] += 1
        if do == "crash":
            raise RuntimeError("asked to crash")
        if do in ("say", "context"):
            text = rest if do == "say" else str(self.messages[context.context_id])
            return await queue.enqueue_event(new_message(text, context_id=context.context_id))
        await queue.enqueue_event(context.current_task or new_task(context.message))
        task = TaskUpdater(queue, context.task_id, context.context_id)

        def message(text):
            return new_message(text, context_id=context.context_id, task_id=context.task_id)

        await task.start_work(message("thinking") if do == "progress" else None)
        if do == "ask":
            return await task.requires_input(message("which one?"))
        if do == "fail":
            return await task.failed(message("out of paper"))
        if do == "finish":
            return await task.complete(message("done as asked"))
        if do == "stream":
            words = rest.split(" ")
            for number, word in enumerate(words):
                text = word if number == 0 else " " + word
                await task.add_artifact([part(text)], artifact_id="answer", append=number > 0,
                                        last_chunk=number == len(words) - 1)
        if do == "revise":
            await task.add_artifact([part("a draft")], artifact_id="answer")
            await task.add_artifact([part("the final text")], artifact_id="answer")
        if do == "two":
            await task.add_artifact([part("one ")], artifact_id="first")
            await task.add_artifact([part("two")], artifact_id="second")
        if do == "progress":
            await task.start_work(message("nearly there"))
            await task.add_artifact([part("the result")], artifact_id="answer")
        await task.complete()

    async def cancel(self, context, queue):
        await TaskUpdater(queue, context.task_id, context.context_id).cancel()


def server():
    """The routes of the SDK's own server."""
    if IS_OLD:
        card = AgentCard(name="stub", description="stub", version="1", url="http://localhost/", skills=[],
                         capabilities=AgentCapabilities(streaming=True), default_input_modes=["text/plain"],
                         default_output_modes=["text/plain"])
        handler = DefaultRequestHandler(Executor(), InMemoryTaskStore())
        return A2AStarletteApplication(card, handler).routes(rpc_url=ENDPOINT)
    card = AgentCard(name="stub", description="stub", version="1", capabilities=AgentCapabilities(streaming=True))
    return create_jsonrpc_routes(DefaultRequestHandler(Executor(), InMemoryTaskStore(), card), ENDPOINT,
                                 enable_v0_3_compat=True)


async def card(request):
    return JSONResponse({"protocolVersion": "0.3.0", "name": "stub",
                         "capabilities": {"streaming": request.path_params["agent"] != "whole"}})


async def emulator(request):
    kept = {name: value for name, value in request.headers.items() if name not in ("host", "connection")}
    answer = await upstream.request(request.method, f"{request.url.path}?{request.url.query}", headers=kept,
                                    content=await request.body())
    return Response(answer.content, answer.status_code, {
        name: value for name, value in answer.headers.items() if name not in ("content-length", "transfer-encoding")})


upstream = httpx.AsyncClient(base_url=sys.argv[1])
app = Starlette(routes=[
    *server(),
    Route(ENDPOINT + "/agentCard/v0.3", card),
    Route("/{path:path}", emulator, methods=["GET", "POST", "PUT", "DELETE"]),
])
uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
