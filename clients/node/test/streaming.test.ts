// The events and the result of one call, in any order of taking them, without a daemon.

import assert from "node:assert/strict";
import { test } from "node:test";
import { cancelled, CupolaError } from "../src/error.js";
import { MAX_WAITING_EVENTS, Streaming } from "../src/streaming.js";
import { failure } from "./support.js";

/** A call that the test moves on. */
function scripted(options?: { signal?: AbortSignal; leavesRunning?: boolean }) {
    let emit!: (event: number) => void;
    let end!: (result: string) => void;
    let isCancelled = false;
    const call = new Streaming<number, string>((onEvent, signal) => {
        emit = onEvent;
        return new Promise((resolve, reject) => {
            end = resolve;
            const cancel = () => {
                isCancelled = true;
                reject(cancelled());
            };
            signal.aborted ? cancel() : signal.addEventListener("abort", cancel);
        });
    }, options);
    return { call, emit, end, isCancelled: () => isCancelled };
}

async function all<T>(events: AsyncIterable<T>): Promise<T[]> {
    const taken = [];
    for await (const event of events) {
        taken.push(event);
    }
    return taken;
}

test("events that came before the iteration are in it, and the result has its own promise", async () => {
    const { call, emit, end } = scripted();
    emit(1);
    const result = call.result();
    emit(2);
    const taking = all(call);
    emit(3);
    end("done");
    assert.deepEqual(await taking, [1, 2, 3]);
    assert.equal(await result, "done");
});

test("leaving the iteration early cancels the call", async () => {
    const { call, emit, isCancelled } = scripted();
    emit(1);
    for await (const event of call) {
        assert.equal(event, 1);
        break;
    }
    assert.ok(isCancelled());
    assert.equal((await failure(call.result())).kind, "cancelled");
});

test("leaving a detached call early only stops listening", async () => {
    const { call, emit, end, isCancelled } = scripted({ leavesRunning: true });
    emit(1);
    for await (const _ of call) {
        break;
    }
    for (let event = 0; event < MAX_WAITING_EVENTS + 2; event += 1) {
        emit(event);
    }
    end("done");
    assert.equal(await call.result(), "done");
    assert.ok(!isCancelled());
});

test("leaving after the end changes nothing", async () => {
    const { call, emit, end } = scripted();
    emit(1);
    emit(2);
    end("done");
    await call.result();
    for await (const _ of call) {
        break;
    }
    assert.equal(await call.result(), "done");
    assert.deepEqual(await all(call), [2]);
});

test("a signal cancels the call, also one that was aborted before it", async () => {
    const stop = new AbortController();
    const { call } = scripted({ signal: stop.signal });
    stop.abort(new Error("the caller's own reason"));
    assert.equal((await failure(all(call))).kind, "cancelled");
    const never = scripted({ signal: AbortSignal.abort() });
    assert.equal((await failure(never.call.result())).kind, "cancelled");
});

test("events that nobody takes end the call, unless its result is wanted", async () => {
    const flood = (emit: (event: number) => void) => {
        for (let event = 0; event <= MAX_WAITING_EVENTS; event += 1) {
            emit(event);
        }
    };
    const ignored = scripted();
    flood(ignored.emit);
    assert.ok(ignored.isCancelled());
    const failed = await failure(ignored.call.result());
    assert.ok(failed instanceof CupolaError && failed.kind === "eventsNotTaken");
    const wanted = scripted();
    const result = wanted.call.result();
    flood(wanted.emit);
    wanted.end("done");
    assert.equal(await result, "done");
});

test("a failure that nobody awaits does not end the process", async () => {
    const unhandled: unknown[] = [];
    process.on("unhandledRejection", (reason) => unhandled.push(reason));
    scripted().call.cancel();
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(unhandled, []);
});
