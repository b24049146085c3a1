// What is shown of what the daemon says: rows of trees, turns, logs, names, masks. No daemon, no VS Code.

import assert from "node:assert/strict";
import { test } from "node:test";
import { CupolaError, type InvokeResponse, type Isolation, type MonitorEvent, type Target } from "cupola-client";
import { fileRows, isPlainName, parent, size } from "../../src/model/files";
import { describe, FIELDS, MASK, shown, withField } from "../../src/model/isolation";
import { LogLines } from "../../src/model/log";
import { age, sessionRows } from "../../src/model/sessions";
import {
    asTarget,
    problemWithAgent,
    problemWithAgentEndpoint,
    problemWithEndpoint,
    problemWithPort,
    shortName,
} from "../../src/model/target";
import { afterEvent, afterFailure, afterResponse, newTurn } from "../../src/model/turn";

const NOW = Date.UTC(2026, 10, 23, 12, 0, 0);
const SECONDS = NOW / 1000;

test("the current session comes first and says so", () => {
    const sessions = [
        { agent_session_id: "sess_0123456789abcdef0123", status: "idle", last_accessed_at: SECONDS - 600 },
        { agent_session_id: "session-2", status: "active", last_accessed_at: SECONDS - 10 },
        { agent_session_id: "session-3", status: "dreaming" },
    ];
    const rows = sessionRows(sessions, "session-2", NOW);
    assert.deepEqual(
        rows.map(({ label, description, icon, isCurrent }) => [label, description, icon, isCurrent]),
        [
            ["session-2", "current · just now", "circle-filled", true],
            ["sess_01234567…", "idle · 10 min ago", "circle-outline", false],
            ["session-3", "dreaming", "circle-outline", false],
        ],
    );
});

test("ages are said in the largest unit that fits", () => {
    for (const [minutes, words] of [
        [0, "just now"],
        [59, "59 min ago"],
        [60, "1 h ago"],
        [47 * 60, "47 h ago"],
        [48 * 60, "2 d ago"],
    ] as const) {
        assert.equal(age(minutes * 60_000), words);
    }
});

test("directories come first, and names that could climb out do not come at all", () => {
    const entry = (name: string, is_directory = false) => ({
        name,
        path: name,
        is_directory,
        is_dir: is_directory,
        size: 2048,
    });
    const names = ["b.txt", "..", "a.txt", "evil/../../x", "line\nfeed", "back\\slash"].map((name) => entry(name));
    const rows = fileRows([...names, entry("data", true)], "reports/2026");
    assert.deepEqual(
        rows.map((row) => [row.path, row.description]),
        [
            ["reports/2026/data", ""],
            ["reports/2026/a.txt", "2.0 KB"],
            ["reports/2026/b.txt", "2.0 KB"],
        ],
    );
    assert.equal(fileRows([entry("a.txt")], ".")[0]?.path, "a.txt");
    assert.deepEqual([parent("a.txt"), parent("a/b/c")], [".", "a/b"]);
    assert.deepEqual(["", ".", "..", "a/b"].filter(isPlainName), []);
});

test("sizes are said in words", () => {
    for (const [bytes, words] of [
        [0, "0 bytes"],
        [1, "1 byte"],
        [1023, "1023 bytes"],
        [1536, "1.5 KB"],
        [50 * 1024 * 1024, "50 MB"],
    ] as const) {
        assert.equal(size(bytes), words);
    }
});

test("no key and no identity is ever shown", () => {
    const isolation: Isolation = {
        userKey: "tenant-acme",
        chatKey: "thread-42",
        userIdentity: "ada@contoso.com",
        chat: "review",
        ownershipKey: "sk",
    };
    assert.equal(describe(isolation), `user ${MASK}, chat ${MASK}, identity ${MASK}, label review, owner ${MASK}`);
    assert.equal(describe({}), "no isolation");
    for (const field of FIELDS.filter((field) => field.secret)) {
        assert.equal(shown(field, isolation), MASK);
    }
});

test("a field is set by a value and taken away by an empty one", () => {
    const one = withField({ model: "keys" }, "userKey", "tenant-acme");
    assert.deepEqual(one, { model: "keys", userKey: "tenant-acme" });
    assert.deepEqual(withField(one, "userKey", ""), { model: "keys" });
});

test("values that the daemon would refuse are refused while they are typed", () => {
    const problem = (name: string, value: string) => FIELDS.find((field) => field.name === name)?.problem(value);
    for (const [name, bad, good] of [
        ["userKey", "a\r\nb", "tenant-acme"],
        ["userKey", " blank", "münchen"],
        ["chatKey", "x".repeat(1025), "x".repeat(1024)],
        ["userIdentity", "ada lovelace", "ada@contoso.com"],
        ["chat", "a\u0000", "PR 12"],
    ] as const) {
        assert.ok(problem(name, bad), `${name} took ${JSON.stringify(bad)}`);
        assert.equal(problem(name, good), undefined, `${name} refused ${JSON.stringify(good)}`);
    }
});

test("targets have names, and only targets do", () => {
    const project = "https://acct.services.ai.azure.com/api/projects/p";
    const named: [Target, string][] = [
        [{ kind: "emulator" }, "notes (emulator)"],
        [{ kind: "project", endpoint: project, agent: "shop", version: "3" }, "shop v3"],
        [{ kind: "agentEndpoint", url: `${project}/agents/shop/endpoint/protocols/a2a` }, "shop"],
        [{ kind: "local" }, "localhost:8088"],
        [{ kind: "directory", path: "/home/ada/shop" }, "shop (folder)"],
    ];
    for (const [target, name] of named) {
        assert.equal(shortName(target), name);
        assert.deepEqual(asTarget(target), target);
    }
    for (const bad of [undefined, null, "emulator", {}, { kind: "moon" }]) {
        assert.equal(asTarget(bad), undefined);
    }
});

test("what is typed for a target is checked", () => {
    const project = "https://acct.services.ai.azure.com/api/projects/p";
    for (const [check, good, bad] of [
        [problemWithEndpoint, project, `${project}/agents/a`],
        [problemWithEndpoint, project, "http://acct.services.ai.azure.com/api/projects/p"],
        [problemWithAgentEndpoint, `${project}/agents/a/endpoint/protocols/a2a`, project],
        [problemWithAgent, "notes-required", "notes_required"],
        [problemWithPort, "8088", "0"],
        [problemWithPort, "65535", "65536"],
    ] as const) {
        assert.equal(check(good), undefined);
        assert.ok(check(bad), `${bad} was taken`);
    }
});

test("a turn grows with its events, and its response replaces what grew", () => {
    const head = { runId: "run_1", number: 1 };
    let turn = newTurn(1, "hello");
    turn = afterEvent(turn, { ...head, type: "started", sessionId: "session-1", isolationModel: "keys" });
    turn = afterEvent(turn, { ...head, type: "textDelta", delta: "he" });
    turn = afterEvent(turn, { ...head, type: "textDelta", delta: "llo" });
    assert.deepEqual([turn.text, turn.sessionId, turn.status], ["hello", "session-1", "running"]);
    turn = afterEvent(turn, { ...head, type: "snapshot", text: "hel" });
    assert.equal(turn.text, "hel");
    const response: InvokeResponse = {
        runId: "run_1",
        status: "completed",
        text: "hello!",
        isolationModel: "keys",
        durationMs: 12,
    };
    assert.deepEqual(
        [afterResponse(turn, response).text, afterResponse(turn, response).status],
        ["hello!", "completed"],
    );
});

test("every ending but completion says why", () => {
    const response: InvokeResponse = {
        runId: "run_1",
        status: "truncated",
        text: "hal",
        isolationModel: "keys",
        durationMs: 12,
    };
    assert.match(afterResponse(newTurn(1, "x"), response).problem?.message ?? "", /cut off/);
    const failed = afterResponse(newTurn(1, "x"), {
        ...response,
        status: "failed",
        failure: { kind: "agentFailed", message: "the tool exploded", turn: "ran" },
    });
    assert.deepEqual(failed.problem, { message: "the tool exploded", kind: "agentFailed" });
    const cut = afterResponse(newTurn(1, "x"), {
        ...response,
        failure: { kind: "serviceError", message: "cut off", turn: "mayHaveRun", hint: "look" },
    });
    assert.deepEqual(cut.problem, { message: "cut off", kind: "serviceError", hint: "look" });
    const refused = afterFailure(newTurn(1, "x"), new CupolaError("forbidden", "no", { hint: "ask" }));
    assert.deepEqual([refused.status, refused.problem], ["failed", { message: "no", kind: "forbidden", hint: "ask" }]);
    const cancelled = afterFailure(newTurn(1, "x"), new CupolaError("cancelled", "cancelled"));
    assert.deepEqual([cancelled.status, cancelled.problem], ["cancelled", undefined]);
});

test("a log that is followed again shows no line twice", () => {
    const line = (second: number, message: string): MonitorEvent => ({
        type: "line",
        timestamp: `2026-11-23T12:00:0${second}Z`,
        stream: "stdout",
        message,
    });
    const log = new LogLines();
    assert.equal(log.line(line(1, "ready")), "12:00:01 [stdout] ready");
    assert.equal(log.line(line(2, "ready")), "12:00:02 [stdout] ready");
    assert.equal(log.line(line(1, "ready")), undefined);
    assert.equal(log.line({ type: "notice", code: "reconnected", message: "there again" }), "-- there again");
});
