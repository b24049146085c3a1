// A run whose daemon is killed, against a real daemon and an emulator that stays.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClientOptions } from "../src/client.js";
import { emulator } from "../src/targets.js";
import { eventually, failure, inHome, nextDaemon, withEmulator } from "./support.js";

const WORDS = 30;
const WHOLE = Array.from({ length: WORDS }, (_, number) => `tick${number}`).join(" ");

test("a run that survives continues on the next daemon, and nothing comes twice", () =>
    inHome((home) =>
        withEmulator(home, async (url) => {
            const client = await home.client({ target: emulator(undefined, { url }) });
            const run = client.invoke(`slow ${WORDS} 20`, { survive: true });
            const numbers: number[] = [];
            let text = "";
            for await (const event of run) {
                numbers.push(event.number);
                if (event.type === "textDelta") {
                    if (text === "") {
                        nextDaemon(home);
                    }
                    text += event.delta;
                }
            }
            assert.equal(text, WHOLE);
            assert.equal((await run.result()).text, WHOLE);
            assert.deepEqual(
                numbers,
                [...new Set(numbers)].toSorted((a, b) => a - b),
            );
        }),
    ));

test("leaving or cancelling a run that continued on the next daemon ends it there", () =>
    inHome((home) =>
        withEmulator(home, async (url) => {
            const target = emulator(undefined, { url });
            const observer = await home.client({ target });
            for (const how of ["leave", "cancel", "leave and close"]) {
                const client = await home.client({ target });
                const run = client.invoke("slow 1000 20", { survive: true });
                const id = await run.started();
                nextDaemon(home);
                await eventually("the run is followed on the next daemon", async () => {
                    const { clients } = await observer.runs.show(id);
                    return clients === 1 || undefined;
                });
                if (how === "cancel") {
                    run.cancel();
                } else {
                    for await (const _ of run) {
                        break;
                    }
                }
                if (how === "leave and close") {
                    client.close();
                }
                const { status } = await eventually(`the run ends (${how})`, async () => {
                    const shown = await observer.runs.show(id);
                    return shown.status === "running" ? undefined : shown;
                });
                assert.equal(status, "cancelled", how);
                assert.equal((await failure(run.result())).isCancelled, true, how);
            }
        }),
    ));

test("a run that was attached to is left alone after it continued on the next daemon", () =>
    inHome((home) =>
        withEmulator(home, async (url) => {
            const client = await home.client({ target: emulator(undefined, { url }) });
            const run = client.invoke(`slow ${WORDS} 20`, { detach: true, survive: true });
            const attached = client.runs.attach(await run.started());
            await attached.started();
            nextDaemon(home);
            await eventually("both follow it on the next daemon", async () => {
                const { clients } = await client.runs.show(run.id ?? "");
                return clients === 2 || undefined;
            });
            attached.cancel();
            assert.equal((await failure(attached.result())).isCancelled, true);
            assert.equal(await run.text(), WHOLE);
        }),
    ));

test("a run that cannot be followed after its daemon was lost may have run, whatever prevents it", () =>
    inHome((home) =>
        withEmulator(home, async (url) => {
            const target = emulator(undefined, { url });
            const kill = () => process.kill(home.processId(), "SIGKILL");
            const cases: [() => void, ClientOptions][] = [
                [kill, { program: "/nowhere/cupola" }],
                [() => nextDaemon(home), { bind: true, methods: ["invoke"] }],
            ];
            for (const [loseDaemon, options] of cases) {
                const client = await home.client({ target, ...options });
                const run = client.invoke(`slow ${WORDS} 20`, { survive: true });
                await run.started();
                loseDaemon();
                const lost = await failure(run.text());
                assert.deepEqual([lost.kind, lost.turn, lost.retryable], ["connectionLost", "mayHaveRun", false]);
                client.close();
            }
        }),
    ));

test("a run that does not survive is lost, and may have run", () =>
    inHome(async (home) => {
        const client = await home.client({ target: emulator() });
        const run = client.invoke(`slow ${WORDS} 20`, { survive: true });
        await run.started();
        nextDaemon(home);
        const lost = await failure(run.text());
        assert.deepEqual([lost.kind, lost.turn], ["connectionLost", "mayHaveRun"]);
        assert.equal(await client.invoke("hello").text(), "echo: hello");
        const ids = async (all: boolean) => (await client.runs.list({ all })).runs.map((each) => each.runId);
        assert.equal((await ids(false)).includes(run.id ?? ""), false);
        assert.equal((await ids(true)).includes(run.id ?? ""), true);
    }));
