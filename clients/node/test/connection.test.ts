// One connection to a real daemon: calls, events, cancelling, isolation, and a daemon that goes away.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Connection, type State } from "../src/connection.js";
import { InstalledDaemon } from "../src/installed.js";
import type { InvokeEvent, Isolation, Target } from "../src/protocol.js";
import { eventually, failure, inHome, PROGRAM } from "./support.js";

const NOTES: Target = { kind: "emulator" };
const acme: Isolation = { userKey: "tenant-acme" };
const contoso: Isolation = { userKey: "tenant-contoso" };

/** The fastest answer that is slow enough to interrupt: a word each 20 ms, for far longer than the test. */
const SLOW = "slow 2000 20";

test("an answer streams in pieces that make up the response", () =>
    inHome(async (home) => {
        const events: InvokeEvent[] = [];
        const params = { target: NOTES, input: "stream red green blue", textOnly: true };
        const response = await home
            .connection()
            .request("invoke", params, { onEvent: (event: InvokeEvent) => events.push(event) });
        assert.equal(response.text, "red green blue");
        assert.equal(response.status, "completed");
        const deltas = events.flatMap((event) => (event.type === "textDelta" ? [event.delta] : []));
        assert.deepEqual(deltas, ["red", " green", " blue"]);
        assert.deepEqual([events[0]?.type, events.at(-1)?.type], ["started", "completed"]);
    }));

test("two answers stream at once and do not mix", () =>
    inHome(async (home) => {
        const client = home.connection();
        const ask = async (isolation: Isolation, words: string) => {
            let text = "";
            const onEvent = (event: InvokeEvent) => (text += event.type === "textDelta" ? event.delta : "");
            await client.request("invoke", { target: NOTES, isolation, input: `stream ${words}` }, { onEvent });
            return text;
        };
        assert.deepEqual(await Promise.all([ask(acme, "a b c"), ask(contoso, "x y z")]), ["a b c", "x y z"]);
    }));

test("a call that is cancelled ends at once and at the daemon, too", () =>
    inHome(async (home) => {
        const client = home.connection();
        const stop = new AbortController();
        const onEvent = (event: InvokeEvent) => event.type === "textDelta" && stop.abort();
        const ended = await failure(
            client.request("invoke", { target: NOTES, input: SLOW }, { signal: stop.signal, onEvent }),
        );
        assert.equal(ended.kind, "cancelled");
        assert.ok(ended.isCancelled);
        await eventually("no run at the daemon", async () => {
            const { runs } = await client.request("daemon/status", {});
            return runs === 0 || undefined;
        });
        const never = await failure(
            client.request("invoke", { target: NOTES, input: "hello" }, { signal: AbortSignal.abort() }),
        );
        assert.equal(never.kind, "cancelled");
    }));

test("an error says what is wrong, its kind and what to do", () =>
    inHome(async (home) => {
        const target: Target = { kind: "emulator", agent: "notes-required" };
        const refused = await failure(home.connection().request("invoke", { target, input: "hello" }));
        assert.equal(refused.kind, "isolationKeyRequired");
        assert.match(refused.message, /x-agent-user-isolation-key/);
        assert.ok(refused.hint);
        assert.match(refused.summary, /Hint: .+ \(isolationKeyRequired\)$/);
    }));

test("other keys see another tenant's state", () =>
    inHome(async (home) => {
        const say = async (isolation: Isolation, input: string) => {
            const client = home.connection({ target: NOTES, isolation });
            return (await client.request("invoke", { target: NOTES, isolation, input })).text;
        };
        await say(acme, "remember we are acme");
        assert.match(await say(acme, "what do you remember?"), /we are acme/);
        assert.match(await say(contoso, "what do you remember?"), /Nothing yet/);
    }));

test("a client reaches only what it is bound to, before and after the daemon was killed", () =>
    inHome(async (home) => {
        const client = home.connection({ target: NOTES, isolation: acme });
        const elsewhere = () =>
            failure(client.request("invoke", { target: NOTES, isolation: contoso, input: "hello" }));
        assert.equal((await elsewhere()).kind, "outOfBounds");
        process.kill(client.server?.processId ?? assert.fail("not connected"), "SIGKILL");
        await eventually("the loss is noticed", () => (client.state === "lost" ? true : undefined));
        assert.equal((await elsewhere()).kind, "outOfBounds");
        assert.equal(client.server?.bound, true);
    }));

test("a daemon that was killed is started again by the next call, and saved state is continued", () =>
    inHome(async (home) => {
        const client = home.connection({ target: NOTES, isolation: acme });
        const call = (input: string) => client.request("invoke", { target: NOTES, isolation: acme, input });
        const { sessionId } = await call("remember the milk");
        const first = client.server?.processId ?? assert.fail("not connected");
        const states: State[] = [];
        client.onState((state) => states.push(state));
        process.kill(first, "SIGKILL");
        await eventually("the loss is noticed", () => states[0]);
        const again = await call("what do you remember?");
        assert.match(again.text, /the milk/);
        assert.equal(again.sessionId, sessionId);
        assert.notEqual(client.server?.processId, first);
        assert.deepEqual(states, ["lost", "connected"]);
    }));

test("a turn that was under way may have run when the daemon is killed", () =>
    inHome(async (home) => {
        const client = home.connection();
        const kill = (event: InvokeEvent) =>
            event.type === "textDelta" && process.kill(client.server?.processId ?? 0, "SIGKILL");
        let killed = false;
        const onEvent = (event: InvokeEvent) => {
            killed ||= kill(event);
        };
        const lost = await failure(client.request("invoke", { target: NOTES, input: SLOW }, { onEvent }));
        assert.equal(lost.kind, "connectionLost");
        assert.deepEqual([lost.turn, lost.retryable], ["mayHaveRun", false]);
        assert.match(lost.hint ?? "", /may have run/);
        assert.equal(
            (await failure(client.request("invoke", { target: NOTES, input: "x", sessionId: "short" }))).turn,
            "notRun",
        );
    }));

test("a daemon that somebody else starts again is found without a call", () =>
    inHome(async (home) => {
        const client = home.connection({ target: NOTES, isolation: acme });
        await client.request("daemon/status", {});
        const first = client.server?.processId ?? assert.fail("not connected");
        home.cupola("stop", "--force");
        await eventually("the loss is noticed", () => (client.state === "lost" ? true : undefined));
        home.cupola("socket");
        assert.notEqual(home.processId(), first);
        const { processId } = await eventually("the connection is made again", () => client.server);
        assert.equal(processId, home.processId());
    }));

test("who waits for the next connection gets it, and starts no daemon", () =>
    inHome(async (home) => {
        const client = home.connection();
        await client.request("daemon/status", {});
        const waiting = client.nextConnection(1, new AbortController().signal);
        home.cupola("stop", "--force");
        await eventually("the loss is noticed", () => (client.state === "lost" ? true : undefined));
        assert.throws(() => home.processId(), "it was started again");
        home.cupola("socket");
        await waiting;
        assert.equal(client.server?.processId, home.processId());
        // Who asks late is not kept waiting.
        let isThere = false;
        void client.nextConnection(1, new AbortController().signal).then(() => (isThere = true));
        await eventually("the connection that is there", () => isThere || undefined);
        assert.equal((await failure(client.nextConnection(2, AbortSignal.abort()))).kind, "cancelled");
    }));

test("a call says on which connection it was sent", () =>
    inHome(async (home) => {
        const client = home.connection();
        const sent: number[] = [];
        const onSent = (number: number) => sent.push(number);
        const { processId } = await client.request("daemon/status", {}, { onSent });
        process.kill(processId, "SIGKILL");
        await eventually("the loss is noticed", () => (client.state === "lost" ? true : undefined));
        await client.request("daemon/status", {}, { onSent });
        assert.deepEqual(sent, [1, 2]);
    }));

test("a read that is lost with its connection is sent again", () =>
    inHome(async (home) => {
        const client = home.connection();
        const { processId } = await client.request("daemon/status", {});
        process.kill(processId, "SIGSTOP");
        const list = client.request("sessions/list", { target: NOTES });
        const others = [
            client.request("agents/show", { target: NOTES }),
            client.request("auth/status", {}),
            client.request("chats/items", { target: NOTES }),
            client.request("chats/list", { target: NOTES }),
            client.request("daemon/doctor", {}),
            client.request("partitions/list", {}),
            client.request("rpc.discover", {}),
            client.request("runs/list", {}),
        ];
        const shown = failure(client.request("runs/show", { runId: "none" }));
        // The stopped daemon cannot answer; once killed, the next one does.
        process.kill(processId, "SIGKILL");
        assert.deepEqual((await list).data, []);
        await Promise.all(others);
        assert.notEqual((await shown).kind, "connectionLost");
        assert.notEqual(client.server?.processId, processId);
    }));

test("a client that is retired ends what is under way, and closes", () =>
    inHome(async (home) => {
        const client = home.connection();
        let started = false;
        const onEvent = () => (started = true);
        const answer = client.request("invoke", { target: NOTES, input: "slow 5 20" }, { onEvent });
        await eventually("the answer begins", () => started || undefined);
        client.retire();
        assert.equal((await answer).status, "completed");
        assert.equal(client.state, "closed");
        const refused = await failure(client.request("daemon/status", {}));
        assert.deepEqual([refused.kind, refused.isCancelled], ["closed", true]);
    }));

test("a run of a client that is retired can be cancelled", () =>
    inHome(async (home) => {
        const client = home.connection();
        let runId: string | undefined;
        const onEvent = (event: { runId: string }) => (runId = event.runId);
        const answer = client.request("invoke", { target: NOTES, input: "slow 5000 20" }, { onEvent });
        const id = await eventually("the answer begins", () => runId);
        client.retire();
        assert.equal((await client.requestBeforeClose("runs/cancel", { runId: id })).status, "cancelled");
        assert.equal((await answer).status, "cancelled");
        // Either answer may be the last one, and its reader continues before the connection ends.
        await eventually("the connection ends", () => client.state === "closed" || undefined);
    }));

test("a program that is not there is named, with what to do", async () => {
    const client = new Connection({
        daemon: new InstalledDaemon({ program: () => "/nowhere/cupola", environment: {} }),
    });
    const missing = await failure(client.request("daemon/status", {}));
    assert.equal(missing.kind, "programNotFound");
    assert.match(missing.message, /\/nowhere\/cupola/);
    assert.match(missing.hint ?? "", /CUPOLA_BINARY/);
    client.close();
});

test("the daemon's own reason for not starting is passed on", () =>
    inHome(async (home) => {
        const environment = { ...home.environment, CUPOLA_SOCKET: "/dev/null/v1.sock" };
        const client = new Connection({ daemon: new InstalledDaemon({ program: () => PROGRAM, environment }) });
        const refused = await failure(client.request("daemon/status", {}));
        assert.equal(refused.kind, "daemonUnavailable");
        assert.match(refused.message, /\/dev\/null/);
        client.close();
    }));

test("a daemon that is suspended is not waited for without end", () =>
    inHome(async (home) => {
        const { processId } = await home.connection().request("daemon/status", {});
        const client = new Connection({ daemon: home.daemon, initializeLimitMs: 100 });
        process.kill(processId, "SIGSTOP");
        const mute = await failure(client.request("daemon/status", {}));
        process.kill(processId, "SIGCONT");
        assert.equal(mute.kind, "daemonUnavailable");
        assert.match(`${mute.message} ${mute.hint}`, /suspended/);
        client.close();
    }));

test("a daemon that starts while others ask is one daemon", () =>
    inHome(async (home) => {
        const clients = [home.connection(), home.connection(), home.connection()];
        const all = await Promise.all(clients.map((client) => client.request("daemon/status", {})));
        assert.equal(new Set(all.map((status) => status.processId)).size, 1);
    }));
