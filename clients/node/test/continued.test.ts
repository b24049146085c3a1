// A run whose daemon is killed, against a real daemon and an emulator that stays.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { emulator } from "../src/targets.js";
import { failure, type Home, inHome, PROGRAM } from "./support.js";

const WORDS = 30;
const WHOLE = Array.from({ length: WORDS }, (_, number) => `tick${number}`).join(" ");

/** Gives `use` the address of an emulator that outlives the daemon. */
async function withEmulator(home: Home, use: (url: string) => Promise<void>): Promise<void> {
    const options = ["emulator", "--listen", "127.0.0.1:0", "--json", "--data-dir", join(home.path, "emulator")];
    const child = spawn(PROGRAM, options, { env: home.environment, stdio: ["ignore", "pipe", "ignore"] });
    try {
        const [line] = (await once(createInterface(child.stdout), "line")) as [string];
        await use((JSON.parse(line) as { url: string }).url);
    } finally {
        child.kill();
        await once(child, "exit");
    }
}

function nextDaemon(home: Home): void {
    process.kill(home.processId(), "SIGKILL");
    home.cupola("socket");
}

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
