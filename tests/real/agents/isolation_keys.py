"""Agents of protocol 1.0.0: they answer with the isolation keys their container received.

The argument is the protocol, `responses` or `invocations`.
"""

import asyncio
import json
import os
import sys


def responses():
    from azure.ai.agentserver.responses import ResponsesAgentServerHost, TextResponse

    app = ResponsesAgentServerHost()

    @app.response_handler
    async def handle(request, context, cancellation_signal):
        async def ticks():
            for number in range(100):
                if cancellation_signal.is_set():
                    return
                await asyncio.sleep(0.1)
                yield f"tick{number} "

        if (await context.get_input_text()) == "tick":
            return TextResponse(context, request, text=ticks())
        return TextResponse(context, request, text=json.dumps({
            "user": context.isolation.user_key,
            "chat": context.isolation.chat_key,
        }))

    return app


def invocations():
    from azure.ai.agentserver.invocations import InvocationAgentServerHost
    from starlette.responses import JSONResponse

    app = InvocationAgentServerHost()

    @app.invoke_handler
    async def handle(request):
        return JSONResponse({
            "user": request.state.user_isolation_key,
            "chat": request.state.chat_isolation_key,
            "session": request.state.session_id,
            "headers": dict(request.headers),
        })

    return app


app = responses() if sys.argv[1] == "responses" else invocations()
app.run(host="127.0.0.1", port=int(os.environ["PORT"]))
