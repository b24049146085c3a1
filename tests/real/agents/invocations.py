"""An agent of the invocations protocol, on the unmodified azure-ai-agentserver-invocations package.

On its WebSocket it echoes each message, except `whoami`, `bye`, which ends the dialogue, and `crash`, which raises.
A JSON body's `do` chooses what it does; a body that is not JSON is echoed as text.

  echo      the body and the ids, as JSON
  stream    one event per word of `text`, then `done`
  break     a stream whose generator raises half way
  work      202, done after `seconds`; can be polled and cancelled
  refuse    400 in the agent's own words
  crash     raises
  whoami    every header it received, and its environment's FOUNDRY_ variables
"""

import asyncio
import json
import os

from azure.ai.agentserver.invocations import InvocationAgentServerHost
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse

app = InvocationAgentServerHost(
    openapi_spec={"openapi": "3.1.0", "info": {"title": "proof", "version": "1"}, "paths": {}}
)
jobs = {}


async def work(job, seconds):
    try:
        await asyncio.sleep(seconds)
        job["status"] = "completed"
    except asyncio.CancelledError:
        job["status"] = "cancelled"


def frame(name, **data):
    return f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n"


@app.invoke_handler
async def invoke(request):
    raw = await request.body()
    ids = {"invocation_id": request.state.invocation_id, "session_id": request.state.session_id}
    try:
        body = json.loads(raw)
    except ValueError:
        return PlainTextResponse("echo: " + raw.decode())
    do = body["do"]
    if do == "stream":
        async def tokens():
            for word in body["text"].split():
                await asyncio.sleep(0.01)
                yield frame("token", content=word)
            yield frame("done", full_text=body["text"], **ids)
        return StreamingResponse(tokens(), media_type="text/event-stream")
    if do == "break":
        async def broken():
            yield frame("token", content="so far")
            raise RuntimeError("asked to break")
        return StreamingResponse(broken(), media_type="text/event-stream")
    if do == "work":
        job = jobs[ids["invocation_id"]] = {"status": "running"}
        job["task"] = asyncio.create_task(work(job, body["seconds"]))
        return JSONResponse({**ids, "status": "running"}, status_code=202, headers={"retry-after": "1"})
    if do == "refuse":
        return JSONResponse({"error": {"code": "too_vague", "message": "say more"}}, status_code=400)
    if do == "crash":
        raise RuntimeError("asked to crash")
    if do == "whoami":
        return JSONResponse({
            **ids,
            "headers": dict(request.headers),
            "environment": {name: value for name, value in os.environ.items()
                            if name.startswith("FOUNDRY_") or name == "HOME"},
        })
    return JSONResponse({"echo": body, **ids})


def state(request):
    job = jobs.get(request.state.invocation_id)
    if job is None:
        return JSONResponse({"error": {"code": "not_found", "message": "no such work"}}, status_code=404)
    return JSONResponse({"invocation_id": request.state.invocation_id, "status": job["status"]})


@app.get_invocation_handler
async def get(request):
    return state(request)


@app.cancel_invocation_handler
async def cancel(request):
    job = jobs.get(request.state.invocation_id)
    if job is not None:
        job["task"].cancel()
        await asyncio.gather(job["task"], return_exceptions=True)
    return state(request)


@app.ws_handler
async def talk(websocket):
    async for message in websocket.iter_text():
        if message == "bye":
            return
        if message == "crash":
            raise RuntimeError("asked to crash")
        headers = {name: websocket.headers.get(name) for name in ("x-agent-user-id", "authorization")}
        await websocket.send_text(json.dumps(headers) if message == "whoami" else f"echo: {message}")


app.run(host="127.0.0.1", port=int(os.environ["PORT"]))
