"""LangChain: its Foundry agent node as the caller, at project level, and its hosting package as the agent."""

import json
import os
import time
import unittest

from azure.core.credentials import AccessToken
from langchain_azure_ai.agents import AgentServiceAgentState, AgentServiceFactory
from langchain_core.messages import HumanMessage
from langgraph.graph import END, START, StateGraph
from openai import NotFoundError, PermissionDeniedError

from support import Endpoint, Proof, agent_command, text_of


def graph(protocol):
    return f"exec:{agent_command('langchain', 'graph.py', protocol)},protocol=2.0.0,protocols={protocol}"


class Credential:
    """Gives the emulator's token."""

    def __init__(self, token):
        self.token = token

    def get_token(self, *_, **__):
        return AccessToken(self.token, int(time.time()) + 3600)


class LangChain(Proof):
    agents = (
        f"graph={graph('responses')}",
        f"invoked={graph('invocations')}",
        f"responder=exec:{agent_command('agentserver', 'responses.py')},protocol=2.0.0,version=7",
    )
    tls = True

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # The clients trust what the environment names.
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
            os.environ[name] = cls.emulator.certificate
            cls.addClassCleanup(os.environ.pop, name)

    def caller(self, name, caller=None, version=None, headers=None):
        """A graph whose one node is the agent, called by the emulator's default caller or another one."""
        token = self.emulator.token_of(caller) if caller else self.emulator.token
        factory = AgentServiceFactory(project_endpoint=self.emulator.project, credential=Credential(token))
        node = factory.get_agent_node(name, version, extra_headers=headers)
        calls = StateGraph(AgentServiceAgentState)
        calls.add_node("agent", node)
        calls.add_edge(START, "agent")
        calls.add_edge("agent", END)
        return calls.compile()


class Caller(LangChain):
    def test_turns_of_a_conversation(self):
        agent = self.caller("responder")
        state = agent.invoke({"messages": [HumanMessage("say hello there")]})
        self.assertEqual(state["messages"][-1].text, "hello there")
        state["messages"] += [HumanMessage("history")]
        state = agent.invoke(state)
        self.assertEqual(state["messages"][-1].text, "history items: 2")
        fresh = agent.invoke({"messages": [HumanMessage("history")]})
        self.assertEqual(fresh["messages"][-1].text, "history items: 0")

    def test_a_streamed_answer(self):
        agent = self.caller("responder")
        pieces = [piece.text for piece, _ in agent.stream({"messages": [HumanMessage("say one two three")]},
                                                          stream_mode="messages")]
        self.assertEqual("".join(pieces), "one two three")
        self.assertGreaterEqual(len(pieces), 3)

    def test_the_version_that_is_asked_for(self):
        agent = self.caller("responder", version="7")
        self.assertEqual(agent.invoke({"messages": [HumanMessage("say hi")]})["messages"][-1].text, "hi")
        with self.assertRaises(ValueError):
            self.caller("responder", version="99")

    def test_each_caller_has_their_own_conversations(self):
        ann, ben = (self.caller("responder", caller=name) for name in ("ann", "ben"))
        state = ann.invoke({"messages": [HumanMessage("say hi")]})
        state["messages"] += [HumanMessage("history")]
        self.assertEqual(ann.invoke(state)["messages"][-1].text, "history items: 2")
        with self.assertRaises(NotFoundError):
            ben.invoke(state)

    def test_acting_for_a_user_ends_at_the_wall(self):
        # The node sends the headers with responses, but not with the conversation that it makes first.
        agent = self.caller("responder", headers={"x-ms-user-identity": "ann@contoso.com"})
        with self.assertRaises(PermissionDeniedError) as refused:
            agent.invoke({"messages": [HumanMessage("say hi")]})
        self.assertEqual(refused.exception.code, "session_not_accessible")


class Host(LangChain):
    def test_langchain_calls_what_it_hosts(self):
        agent = self.caller("graph")
        state = agent.invoke({"messages": [HumanMessage("one")]})
        self.assertEqual(state["messages"][-1].text, "heard: one")
        state["messages"] += [HumanMessage("two")]
        self.assertEqual(agent.invoke(state)["messages"][-1].text, "heard: one | two")

    def test_history_by_response_in_any_sandbox(self):
        hosted = Endpoint(self.emulator, "graph")
        first = self.ok(hosted.respond("one"))
        again = self.ok(hosted.respond("two", previous_response_id=first.json["id"]))
        self.assertEqual(text_of(again.json), "heard: one | two")

    def test_invocations(self):
        agent = Endpoint(self.emulator, "invoked")
        answer = self.ok(agent.invoke({"message": "one"}, agent.new_session()))
        self.assertIn("heard: one", json.dumps(answer.json))


if __name__ == "__main__":
    unittest.main()
