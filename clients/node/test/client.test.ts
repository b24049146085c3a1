// The client that scripts use, against a real daemon.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";
import { Client } from "../src/client.js";
import { AgentAsks, RunFailed } from "../src/error.js";
import { Line } from "../src/line.js";
import type { InvokeEvent } from "../src/protocol.js";
import { approval } from "../src/run.js";
import { emulator, local } from "../src/targets.js";
import { eventually, failure, type Home, inHome } from "./support.js";

const target = emulator();
const acme = { userKey: "tenant-acme" };
const contoso = { userKey: "tenant-contoso" };

/** A word each 20 ms, for far longer than the test. */
const SLOW = "slow 2000 20";

const acmeClient = (home: Home, more = {}) => home.client({ target, isolation: acme, ...more });

test("an answer is events, a result, or text", () =>
    inHome(async (home) => {
        const client = await acmeClient(home);
        const run = client.invoke("stream red green blue");
        const deltas = [];
        for await (const event of run) {
            if (event.type === "textDelta") {
                deltas.push(event.delta);
            }
        }
        assert.deepEqual(deltas, ["red", " green", " blue"]);
        const result = await run.result();
        assert.deepEqual([result.status, result.text], ["completed", "red green blue"]);
        assert.equal(run.id, result.runId);
        assert.equal(await client.invoke("hello").text(), "echo: hello");
    }));

test("the text of an agent that waits for a decision is not an answer", () =>
    inHome(async (home) => {
        const client = await acmeClient(home);
        for (const [allow, answer] of [
            [true, "Called: pay"],
            [false, "Not called: pay"],
        ] as const) {
            const asks = await failure(client.invoke("ask pay").text());
            assert.ok(asks instanceof AgentAsks, asks.kind);
            assert.equal(asks.questions[0]?.tool, "pay");
            assert.equal(await client.invoke([approval(asks.questions[0].id, allow)]).text(), answer);
        }
        const consent = await failure(client.invoke("consent").text());
        assert.ok(consent instanceof AgentAsks && consent.questions[0]?.url?.startsWith("https://"), consent.kind);
    }));

test("each isolation has its own state on one connection", () =>
    inHome(async (home) => {
        const client = await acmeClient(home);
        const other = client.using({ isolation: contoso });
        await client.invoke("remember we are acme").text();
        assert.match(await client.invoke("what do you remember?").text(), /we are acme/);
        assert.match(await other.invoke("what do you remember?").text(), /Nothing yet/);
        assert.equal((await client.daemon.status()).connections, 1);
    }));

test("a local agent that is waited for is told as a warning of the process", () =>
    inHome(async (home) => {
        // Free again: a connection to it is refused.
        const server = createServer().listen(0, "127.0.0.1");
        await once(server, "listening");
        const { port } = server.address() as AddressInfo;
        server.close();
        await once(server, "close");
        const warned = new Promise<Error>((resolve) => process.once("warning", resolve));
        const client = await home.client({ target: local(port) });
        const run = client.invoke("hello", { timeoutMs: 1000 });
        const warning = await Promise.race([warned, run.text().then(() => assert.fail("it answered"))]).catch(
            (error: unknown) => error as Error,
        );
        assert.equal(warning.name, "CupolaWarning");
        assert.match(warning.message, new RegExp(`nothing listens at http://127.0.0.1:${port} yet; waiting`));
        await failure(run.text());
    }));

test("leaving an answer early cancels its run", () =>
    inHome(async (home) => {
        const client = await acmeClient(home);
        for await (const event of client.invoke(SLOW)) {
            if (event.type === "textDelta") {
                break;
            }
        }
        await eventually("no run at the daemon", async () => (await client.daemon.status()).runs === 0 || undefined);
        const { runs } = await client.runs.list();
        assert.deepEqual(
            runs.map((run) => run.status),
            ["cancelled"],
        );
    }));

test("a detached run outlives its client, and another one follows and cancels it", () =>
    inHome(async (home) => {
        const first = await acmeClient(home);
        const id = await first.invoke(SLOW, { detach: true }).started();
        first.close();
        const client = await acmeClient(home);
        const kinds: string[] = [];
        const run = client.runs.attach(id);
        for await (const event of run) {
            kinds.push(event.type);
            if (event.type === "textDelta") {
                break;
            }
        }
        assert.ok(kinds.includes("started"), kinds.join(" "));
        assert.equal((await client.runs.show(id)).status, "running");
        const following = client.runs.attach(id);
        assert.equal((await client.runs.cancel(id)).status, "cancelled");
        const failed = await failure(following.text());
        assert.ok(failed instanceof RunFailed && failed.status === "cancelled" && failed.runId === id, failed.kind);
        assert.deepEqual((await client.using({ isolation: contoso }).runs.list()).runs, []);
        assert.equal((await client.runs.list({ everyones: true })).runs.length, 1);
    }));

test("the lists of a place have the runs and the saved state of all its agents", () =>
    inHome(async (home) => {
        const client = await acmeClient(home);
        const beside = client.using({ target: { kind: "emulator", agent: "notes-identity" }, isolation: {} });
        await client.invoke("hello").text();
        await beside.invoke("hello").text();
        const agents = (list: { agent: string }[]) => list.map((one) => one.agent).sort();
        const both = ["emulator/notes", "emulator/notes-identity"];
        assert.deepEqual(agents((await client.runs.list({ anyAgent: true })).runs), both);
        assert.deepEqual(agents((await client.partitions.list({ anyAgent: true })).partitions), both);
        assert.deepEqual(agents((await client.runs.list()).runs), both.slice(0, 1));
        assert.deepEqual(agents((await client.partitions.list()).partitions), both.slice(0, 1));
    }));

test("a signal cancels any call", () =>
    inHome(async (home) => {
        const client = await acmeClient(home);
        const stop = new AbortController();
        const run = client.invoke(SLOW, { signal: stop.signal });
        await run.started();
        stop.abort();
        assert.equal((await failure(run.result())).kind, "cancelled");
        const timedOut = AbortSignal.abort(new DOMException("too late", "TimeoutError"));
        assert.equal((await failure(client.sessions.list({ signal: timedOut }))).kind, "cancelled");
    }));

test("sessions are created, listed, used, stopped and deleted", () =>
    inHome(async (home) => {
        const client = await acmeClient(home);
        const ids = async () => (await client.sessions.list()).data.map((session) => session.agent_session_id);
        const first = (await client.sessions.create()).agent_session_id;
        const second = (await client.sessions.create({ sessionId: "session-by-hand" })).agent_session_id;
        assert.deepEqual((await ids()).toSorted(), [first, second].toSorted());
        assert.equal((await client.sessions.use(first)).agent_session_id, first);
        assert.equal((await client.invoke("hello").result()).sessionId, first);
        assert.equal((await client.sessions.show()).agent_session_id, first);
        assert.equal((await client.sessions.stop()).alreadyStopped, false);
        assert.equal((await client.sessions.delete({ sessionId: second })).sessionId, second);
        assert.deepEqual(await ids(), [first]);
        const missing = await failure(client.sessions.show({ sessionId: second }));
        assert.deepEqual([missing.kind, missing.httpStatus], ["sessionNotFound", 404]);
    }));

test("files are bytes, or copied to and from this machine", () =>
    inHome(async (home) => {
        const client = await acmeClient(home);
        await client.sessions.create();
        assert.equal((await client.files.write("data/plan.json", '{"plan": "gold"}')).bytes, 16);
        assert.equal(Buffer.from(await client.files.read("data/plan.json")).toString(), '{"plan": "gold"}');
        const here = join(home.path, "here");
        mkdirSync(here);
        writeFileSync(join(here, "seed.txt"), "seed");
        const progress: number[] = [];
        const onProgress = (bytes: number) => progress.push(bytes);
        const up = await client.files.upload(join(here, "seed.txt"), { path: "data/seed.txt", onProgress });
        assert.equal(up.bytes, 4);
        assert.equal(progress.at(-1), 4);
        assert.equal((await client.files.upload(here, { recursive: true })).tree?.files, 1);
        const names = (await client.files.list({ path: "data" })).entries.map((entry) => entry.name);
        assert.deepEqual(names.toSorted(), ["plan.json", "seed.txt"]);
        await client.files.download("data/plan.json", { localPath: join(here, "copy.json") });
        assert.equal(readFileSync(join(here, "copy.json"), "utf8"), '{"plan": "gold"}');
        assert.equal((await client.files.stat("data/plan.json")).size, 16);
        assert.equal((await client.files.mkdir("empty")).path, "empty");
        assert.equal((await client.files.delete("data", { recursive: true })).path, "data");
        assert.equal((await failure(client.files.read("data/plan.json"))).kind, "notFound");
    }));

test("a log is read, and followed until the program leaves it", () =>
    inHome(async (home) => {
        const client = await acmeClient(home);
        await client.invoke("hello").text();
        for (const follow of [false, true]) {
            let lines = 0;
            for await (const event of client.monitor({ follow })) {
                lines += event.type === "line" ? 1 : 0;
                if (lines > 0) {
                    break;
                }
            }
            assert.equal(lines, 1);
        }
        assert.ok((await client.monitor({ tail: 1 }).result()).sessionId);
    }));

test("agents, saved state, tokens and the daemon can be asked", () =>
    inHome(async (home) => {
        const client = await acmeClient(home);
        const { data } = await client.agents.list();
        assert.deepEqual(data.map((agent) => (agent as { name: string }).name).toSorted(), [
            "notes",
            "notes-identity",
            "notes-required",
        ]);
        assert.equal((await client.agents.list({ limit: 1 })).data.length, 1);
        assert.match((await client.agents.show()).url, /\/agents\/notes/);
        const { sessionId } = await client.invoke("remember the milk").result();
        const { partitions } = await client.partitions.list();
        assert.deepEqual(
            partitions.filter(({ own }) => own).map((partition) => partition.sessionId),
            [sessionId],
        );
        await client
            .using({ isolation: { userKey: "other" } })
            .invoke("hello")
            .text();
        const first = await client.partitions.list({ limit: 1 });
        const second = await client.partitions.list({
            limit: 1,
            after: first.next ?? assert.fail("the first page says that it is the last"),
        });
        assert.equal(second.next, undefined);
        assert.deepEqual(
            [...first.partitions, ...second.partitions].map(({ id }) => id).toSorted(),
            (await client.partitions.list()).partitions.map(({ id }) => id).toSorted(),
        );
        assert.equal((await client.partitions.forget()).forgotten, 1);
        assert.match(await client.invoke("what do you remember?").text(), /Nothing yet/);
        const [own] = (await client.partitions.list()).partitions;
        assert.equal((await client.partitions.forget({ id: own?.id ?? assert.fail("nothing is saved") })).forgotten, 1);
        assert.ok((await client.auth.status()).credential);
        await client.auth.clear();
        assert.equal((await client.auth.clear()).cleared, 0);
        const { checks } = await client.daemon.doctor();
        assert.deepEqual(
            checks.filter(({ status }) => status === "error"),
            [],
        );
        assert.equal((await client.call("daemon/status", {})).protocolVersion, 1);
        assert.equal((await client.daemon.stop()).runs, 0);
    }));

test("a bound client cannot be widened", () =>
    inHome(async (home) => {
        const client = await acmeClient(home, { bind: true, methods: ["invoke", "files/*"] });
        assert.ok(client.bound);
        assert.equal(await client.invoke("remember the milk").text(), "Remembered: the milk");
        assert.equal(Buffer.from(await client.files.read("notes.txt")).toString(), "the milk\n");
        for (const escape of [
            client.using({ isolation: contoso }).invoke("hello").text(),
            client
                .using({ target: emulator("notes-required") })
                .invoke("hello")
                .text(),
            client.sessions.list(),
            client.daemon.stop(),
        ]) {
            assert.equal((await failure(escape)).kind, "outOfBounds");
        }
        assert.throws(() => new Client({ bind: true }), /target/);
        assert.throws(() => new Client({ target, methods: ["invoke"] }), /bind: true/);
        assert.throws(() => new Client({ target, files: "." }), /bind: true/);
    }));

test("nothing that prints a client, a line or a failure shows the isolation", () =>
    inHome(async (home) => {
        const client = await acmeClient(home, { bind: true });
        const run = client.invoke("hello");
        await run.text();
        const refused = await failure(client.using({ isolation: contoso }).invoke("hello").text());
        const connection = home.connection({ target, isolation: acme });
        const line = new Line(target, acme, connection);
        for (const value of [client, client.files, run, refused, client.monitor(), line, connection]) {
            const shown = `${inspect(value, { depth: 20 })} ${JSON.stringify(value)}`;
            assert.doesNotMatch(shown, /tenant-/);
        }
    }));

test("an error has what the service said", () =>
    inHome(async (home) => {
        const client = await home.client({ target: emulator("notes-required") });
        const refused = await failure(client.invoke("hello").text());
        assert.deepEqual(
            [refused.kind, refused.httpStatus, refused.serviceCode, refused.turn, refused.retryable],
            ["isolationKeyRequired", 403, "missing_isolation_key", "notRun", false],
        );
        assert.ok(refused.hint);
    }));

test("an input is a list of items, too", () =>
    inHome(async (home) => {
        const client = await acmeClient(home);
        const input = [{ type: "message", role: "user", content: [{ type: "input_text", text: "hello" }] }];
        const events: InvokeEvent[] = [];
        const run = client.invoke(input, { textOnly: true });
        for await (const event of run) {
            events.push(event);
        }
        assert.equal((await run.result()).text, "echo: hello");
        assert.ok(events.length > 0);
    }));
