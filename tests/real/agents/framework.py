"""An agent of Microsoft's agent-framework on its unmodified hosting package, with a model that needs no network.

The model answers with all that the framework gave it: `heard: FIRST | SECOND | ...`, one line for each message of the user.

The argument says how the agent is served:

  responses     the responses protocol; the server supplies the history
  own-history   the same, but the agent keeps its history itself
  invocations   the invocations protocol
"""

import os
import sys

from agent_framework import Agent, BaseChatClient, ChatResponse, ChatResponseUpdate, Content, InMemoryHistoryProvider, \
    Message, ResponseStream
from agent_framework_foundry_hosting import InvocationsHostServer, ResponsesHostServer


class Model(BaseChatClient):
    def _inner_get_response(self, *, messages, stream, options, **_):
        heard = "heard: " + " | ".join(message.text for message in messages if message.role == "user")

        async def answer():
            return ChatResponse(messages=[Message(role="assistant", contents=[heard])], response_id="stub")

        async def words():
            for number, word in enumerate(heard.split(" ")):
                text = word if number == 0 else " " + word
                yield ChatResponseUpdate(role="assistant", contents=[Content.from_text(text)], response_id="stub")

        return ResponseStream(words(), finalizer=ChatResponse.from_updates) if stream else answer()


kind = sys.argv[1]
if kind == "own-history":
    agent = Agent(Model(), name="stub", context_providers=[InMemoryHistoryProvider()], default_options={"store": False})
    app = ResponsesHostServer(agent, history_source="agent")
elif kind == "responses":
    app = ResponsesHostServer(Agent(Model(), name="stub", default_options={"store": False}))
else:
    app = InvocationsHostServer(Agent(Model(), name="stub", default_options={"store": False}))
app.run(host="127.0.0.1", port=int(os.environ["PORT"]))
