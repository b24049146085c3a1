// A run whose daemon is killed, against a real daemon and an emulator that stays.

import assert from "node:assert/strict";
import { test } from "node:test";
import { emulator } from "../src/targets.js";
import { failure, inHome, nextDaemon, withEmulator } from "./support.js";

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

test("a run that does not survive is lost, and may have run", () =>
    inHome(async (home) => {
        const client = await home.client({ target: emulator() });
        const run = client.invoke(`slow ${WORDS} 20`, { survive: true });
        await run.started();
        nextDaemon(home);
        const lost = await failure(run.text());
        assert.deepEqual([lost.kind, lost.turn], ["connectionLost", "mayHaveRun"]);
        assert.equal(await client.invoke("hello").text(), "echo: hello");
    }));
