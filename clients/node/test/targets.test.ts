// The names of agents, as they travel.

import assert from "node:assert/strict";
import { test } from "node:test";
import { agentEndpoint, directory, emulator, local, project } from "../src/targets.js";

test("each function names one kind of target", () => {
    assert.deepEqual(emulator(), { kind: "emulator" });
    assert.deepEqual(emulator("notes-required", { version: "2" }), {
        kind: "emulator",
        agent: "notes-required",
        version: "2",
    });
    const endpoint = "https://acct.services.ai.azure.com/api/projects/p";
    assert.deepEqual(project(endpoint, "mine"), { kind: "project", endpoint, agent: "mine" });
    const url = `${endpoint}/agents/mine/endpoint/protocols/invocations`;
    assert.deepEqual(agentEndpoint(url), { kind: "agentEndpoint", url });
    assert.deepEqual(local(), { kind: "local", port: 8088 });
    assert.deepEqual(directory(), { kind: "directory", path: process.cwd() });
    assert.deepEqual(directory("a", { agent: "mine" }), {
        kind: "directory",
        path: `${process.cwd()}/a`,
        agent: "mine",
    });
});
