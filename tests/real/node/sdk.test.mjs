// The published SDK for Node and its OpenAI client, over TLS. `test_sdk_node.py` starts the emulator and sets the variables.

import { AIProjectClient } from "@azure/ai-projects";
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";

const { CUPOLA_REAL_PROJECT: project, CUPOLA_REAL_TOKEN: token } = process.env;
const credential = { getToken: async () => ({ token, expiresOnTimestamp: Date.now() + 3_600_000 }) };
const client = new AIProjectClient(project, credential);
const agentEndpoint = (agentName, options = {}) =>
    client.getOpenAIClient({ azureConfig: { agentName, allowPreview: true }, ...options });
const version = { type: "version_ref", agent_version: "3" };

async function all(items) {
    const list = [];
    for await (const item of items) {
        list.push(item);
    }
    return list;
}

const isNotFound = (error) => error instanceof OpenAI.NotFoundError;

test("agents and versions", async () => {
    const agent = await client.agents.get("echo");
    assert.equal(agent.versions.latest.version, "3");
    assert.deepEqual((await all(client.agents.list())).map((agent) => agent.name).sort(), ["echo", "responder"]);
    assert.deepEqual((await all(client.agents.listVersions("echo"))).map((one) => one.version).sort(), ["2", "3"]);
    await assert.rejects(client.agents.get("nobody"), { statusCode: 404 });
});

test("the life of a session", async () => {
    const made = await client.agents.createSession("echo", version);
    const id = made.agent_session_id;
    assert.equal((await client.agents.getSession("echo", id)).agent_session_id, id);
    assert.ok((await all(client.agents.listSessions("echo"))).some((session) => session.agent_session_id === id));
    await agentEndpoint("echo").responses.create({ input: "hello", agent_session_id: id });
    await client.agents.stopSession("echo", id);
    assert.equal((await client.agents.getSession("echo", id)).status, "idle");
    await client.agents.deleteSession("echo", id);
    await assert.rejects(client.agents.getSession("echo", id), { statusCode: 404 });
});

test("files of a session", async () => {
    const { agent_session_id: id } = await client.agents.createSession("echo", version);
    const bytes = new TextEncoder().encode("grüße");
    const written = await client.agents.uploadSessionFile("echo", id, "data dir/ü.txt", bytes);
    assert.equal(written.bytes_written ?? written.bytesWritten, bytes.length);
    const names = (await all(client.agents.listSessionFiles("echo", id, { path: "data dir" }))).map((entry) => entry.name);
    assert.deepEqual(names, ["ü.txt"]);
    const { readableStreamBody } = await client.agents.downloadSessionFile("echo", id, "data dir/ü.txt");
    assert.deepEqual(Buffer.concat(await all(readableStreamBody)), Buffer.from(bytes));
    await client.agents.deleteSessionFile("echo", id, "data dir/ü.txt");
    await assert.rejects(client.agents.downloadSessionFile("echo", id, "data dir/ü.txt"), { statusCode: 404 });
});

test("conversations", async () => {
    for (const openai of [agentEndpoint("echo"), client.getOpenAIClient()]) {
        const item = { type: "message", role: "user", content: "hi" };
        const made = await openai.conversations.create({ items: [item], metadata: { k: "v" } });
        assert.deepEqual((await openai.conversations.retrieve(made.id)).metadata, { k: "v" });
        assert.deepEqual((await openai.conversations.update(made.id, { metadata: { k: "w" } })).metadata, { k: "w" });
        await openai.conversations.items.create(made.id, { items: [item] });
        assert.equal((await all(openai.conversations.items.list(made.id))).length, 2);
        await openai.conversations.delete(made.id);
        await assert.rejects(openai.conversations.retrieve(made.id), isNotFound);
    }
});

test("responses through the agent's endpoint and the project's", async () => {
    const reference = { agent_reference: { type: "agent_reference", name: "responder" } };
    for (const [openai, extra] of [[agentEndpoint("responder"), {}], [client.getOpenAIClient(), reference]]) {
        const create = (input, more) => openai.responses.create({ input, ...extra, ...more });
        const response = await create("say hello there");
        assert.equal(response.output_text, "hello there");
        assert.equal((await openai.responses.retrieve(response.id)).output_text, "hello there");
        const next = await create("history", { previous_response_id: response.id });
        assert.equal(next.output_text, "history items: 2");
        assert.equal((await all(openai.responses.inputItems.list(response.id))).length, 1);

        const events = await all(await create("say one two", { stream: true }));
        assert.equal(events[0].type, "response.created");
        assert.equal(events.at(-1).type, "response.completed");
        assert.equal(events.filter((event) => event.type === "response.output_text.delta").map((event) => event.delta).join(""),
            "one two");

        const seen = await all(await create("say a b c d", { stream: true, background: true }));
        const rest = await openai.responses.retrieve(seen[0].response.id, { stream: true, starting_after: 3 });
        assert.deepEqual((await all(rest)).map((event) => event.type), seen.slice(4).map((event) => event.type));

        const ticking = await create("tick 1000", { background: true });
        assert.equal(ticking.status, "in_progress");
        assert.equal((await openai.responses.cancel(ticking.id)).status, "cancelled");

        await openai.responses.delete(response.id);
        await assert.rejects(openai.responses.retrieve(response.id), isNotFound);
    }
});

test("a stream that its reader leaves is cancelled", async () => {
    const openai = agentEndpoint("responder");
    const stream = await openai.responses.create({ input: "tick 1000", stream: true });
    let id;
    for await (const event of stream) {
        id ??= event.response?.id;
        if (event.type === "response.output_text.delta") {
            break;
        }
    }
    const deadline = Date.now() + 60_000;
    for (;;) {
        const status = await openai.responses.retrieve(id).then((response) => response.status, (error) => error.status);
        if (status === "cancelled" || status === 404) {
            break;
        }
        assert.ok(Date.now() < deadline, `the response is still ${status}`);
        await new Promise((resolve) => setTimeout(resolve, 100));
    }
});

test("each user reads their own", async () => {
    const [ann, ben] = ["ann", "ben"].map((user) =>
        agentEndpoint("responder", { defaultHeaders: { "x-ms-user-identity": `${user}@contoso.com` } }));
    const response = await ann.responses.create({ input: "say hi" });
    assert.equal((await ann.responses.retrieve(response.id)).id, response.id);
    await assert.rejects(ben.responses.retrieve(response.id), isNotFound);
});

test("errors have a status and a code", async () => {
    await assert.rejects(agentEndpoint("nobody").responses.create({ input: "hi" }), isNotFound);
    const reference = { agent_reference: { type: "agent_reference", name: "echo", version: "99" } };
    await assert.rejects(client.getOpenAIClient().responses.create({ input: "hi", ...reference }), isNotFound);
    const stranger = new AIProjectClient(project, { getToken: async () => ({ token: "no", expiresOnTimestamp: Date.now() + 9e6 }) });
    await assert.rejects(stranger.agents.get("echo"), { statusCode: 401 });
});
