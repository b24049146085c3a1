"""A LangGraph graph on LangChain's unmodified hosting package, with a model that needs no network.

The model answers with all that the graph was given: `heard: FIRST | SECOND | ...`, one text for each message of the user.
The argument is the protocol, `responses` or `invocations`.
"""

import os
import sys

from langchain_azure_ai.agents.hosting import InvocationsHostServer, ResponsesHostServer
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.graph import END, START, MessagesState, StateGraph


def answer(state):
    heard = "heard: " + " | ".join(message.text for message in state["messages"] if message.type == "human")
    # The fake model streams its answer word by word.
    return {"messages": [GenericFakeChatModel(messages=iter([AIMessage(content=heard)])).invoke(state["messages"])]}


graph = StateGraph(MessagesState)
graph.add_node("answer", answer)
graph.add_edge(START, "answer")
graph.add_edge("answer", END)
host = ResponsesHostServer if sys.argv[1] == "responses" else InvocationsHostServer
host(graph.compile()).run(host="127.0.0.1", port=int(os.environ["PORT"]))
