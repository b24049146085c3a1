// The published TypeScript clients of the Model Context Protocol. `test_mcp_node.py` starts the emulator and sets the variables.

import { Client as NewClient } from "@modelcontextprotocol/client";
import { StdioClientTransport as NewTransport } from "@modelcontextprotocol/client/stdio";
import { Client as OldClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport as OldTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

const { CUPOLA_REAL_BINARY: command, CUPOLA_REAL_URL: url, CUPOLA_REAL_USER: user } = process.env;
const info = { name: "test", version: "1" };
const server = (flags) => ({ command, args: ["mcp", `--emulator=${url}`, ...flags], env: JSON.parse(user) });

const clients = [];
// A server ends with its client, and without that this process would not end when a test fails.
afterEach(() => Promise.all(clients.splice(0).map((client) => client.close())));

async function older(flags) {
    const client = new OldClient(info);
    clients.push(client);
    await client.connect(new OldTransport(server(flags)));
    return client;
}

async function newer(flags) {
    const client = new NewClient(info, { versionNegotiation: { mode: { pin: "2026-07-28" } } });
    clients.push(client);
    await client.connect(new NewTransport(server(flags)));
    assert.equal(client.getNegotiatedProtocolVersion(), "2026-07-28");
    return client;
}

const call = (client, name, args, options) =>
    client instanceof OldClient
        ? client.callTool({ name, arguments: args }, undefined, options)
        : client.callTool({ name, arguments: args }, options);

for (const [era, connect] of Object.entries({ older, newer })) {
    test(`${era}: an agent is asked and what it wrote is read`, async () => {
        const client = await connect([]);
        const { tools } = await client.listTools();
        assert.ok(tools.every((tool) => tool.outputSchema && tool.annotations));
        assert.ok(!tools.some((tool) => tool.name === "files_delete"));
        const said = await call(client, "agent_invoke", { message: "remember the milk", newSession: true });
        const { sessionId, runId } = said.structuredContent;
        const read = await call(client, "files_read", { path: "notes.txt" });
        assert.equal(read.structuredContent.text, "the milk\n");
        for (const [name, args] of Object.entries({ agents_list: {}, sessions_list: {}, files_list: {}, logs_tail: {}, run_show: { runId } })) {
            assert.ok(!(await call(client, name, args)).isError, name);
        }
        const resource = await client.readResource({ uri: `cupola://notes/${sessionId}/files/notes.txt` });
        assert.equal(resource.contents[0].text, "the milk\n");
        const { resourceTemplates } = await client.listResourceTemplates();
        assert.equal(resourceTemplates[0].uriTemplate, "cupola://{agent}/{session}/files{/path*}");
        const wrong = await call(client, "agent_invoke", { message: "hello", isolation: { userKey: "other" } });
        assert.ok(wrong.isError && wrong.content[0].text.includes("unknown field"));
    });

    test(`${era}: an answer comes as progress, and a call is cancelled`, async () => {
        const client = await connect(["--agent", "notes"]);
        const told = [];
        const said = await call(client, "notes", { message: "slow 5 50" }, { onprogress: ({ message }) => told.push(message) });
        // These clients forget a call when its answer is there, and with it progress that came in the same moment.
        assert.ok(told.length > 0 && said.structuredContent.text.startsWith(told.join("")), told);
        const stop = new AbortController();
        const cancelled = call(client, "notes", { message: "slow 1000 100" }, { onprogress: () => stop.abort(), signal: stop.signal });
        await assert.rejects(cancelled);
        assert.ok(!(await call(client, "notes", { message: "hello", newConversation: true })).isError);
    });

    test(`${era}: what destroys is there when the operator says so`, async () => {
        const client = await connect(["--allow-destructive"]);
        const created = await call(client, "sessions_create", {});
        const { sessionId } = created.structuredContent.session;
        assert.equal((await call(client, "files_write", { path: "a/b.txt", text: "one" })).structuredContent.bytes, 3);
        assert.ok(!(await call(client, "files_delete", { sessionId, path: "a", recursive: true })).isError);
        assert.ok(!(await call(client, "sessions_delete", { sessionId })).isError);
    });
}
