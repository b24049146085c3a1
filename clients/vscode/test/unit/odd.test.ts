// Answers that are hard to read, messages that are too long, and a daemon that speaks nonsense.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { Client } from "../../src/client";
import type { InvokeEvent, Target } from "../../src/protocol";
import { MAX_MESSAGE_BYTES } from "../../src/stream";
import { failure, inHome, type Home } from "./support";

/** Where the test is run: the package's directory. */
const AGENT = join(__dirname, "..", "..", "..", "..", "..", "tests", "fixtures", "odd_agent.py");

/** What the odd agent's answer is, in events and as a whole. */
async function ask(home: Home, input: string, protocol: "responses" | "invocations") {
    const agent = spawn("python3", [AGENT], { stdio: ["ignore", "pipe", "inherit"] });
    try {
        const [port] = (await once(createInterface(agent.stdout), "line")) as [string];
        const target: Target = { kind: "local", port: Number(port) };
        const events: InvokeEvent[] = [];
        const onEvent = (event: InvokeEvent) => events.push(event);
        const result = await home.client().request("invoke", { target, input, protocol }, { onEvent });
        return { events, result };
    } finally {
        agent.kill();
    }
}

test("what no reader could read arrives as text", () =>
    inHome(async (home) => {
        for (const [input, expected] of [
            ["digits 6000", "9".repeat(6000)],
            ["half", "\ufffd"],
        ] as const) {
            const { events, result } = await ask(home, input, "responses");
            const odd = events.find((event) => event.type === "output" && event.name === "response.odd");
            assert.equal((odd as { data: { value: unknown } }).data.value, expected);
            assert.equal(result.text, "done");
        }
        assert.equal((await ask(home, "deep 5000", "responses")).result.text, "done");
    }));

test("a long answer arrives whole", () =>
    inHome(async (home) => {
        const { events, result } = await ask(home, "long 31000000", "invocations");
        const whole = `${`${"x".repeat(99)}\n`.repeat(310_000)}end`;
        assert.ok(result.text === whole, `${result.text.length} characters`);
        assert.ok(events.flatMap((event) => (event.type === "textDelta" ? [event.delta] : [])).join("") === whole);
    }));

test("a request that no message can hold is refused here, and the connection lives", () =>
    inHome(async (home) => {
        const client = home.client();
        const target: Target = { kind: "emulator" };
        const refused = await failure(client.request("invoke", { target, input: "x".repeat(MAX_MESSAGE_BYTES) }));
        assert.equal(refused.kind, "messageTooLong");
        const long = await failure(client.request("invoke", { target, input: "x".repeat(17_000_000) }));
        assert.equal(long.kind, "invalidParams");
        assert.match(long.message, /16 MiB/);
        assert.equal((await client.request("invoke", { target, input: "hello" })).text, "echo: hello");
    }));

test("every call ends when the reader does", () =>
    inHome(async (home) => {
        for (const nonsense of [
            "Content-Length: 3\r\n\r\n{]}",
            "Content-Length: x\r\n\r\n",
            "HTTP/1.1 400 Bad\r\n\r\n",
        ]) {
            const path = join(home.path, "nonsense.sock");
            let isIntroduced = false;
            const server = createServer((socket) => {
                socket.on("error", () => undefined);
                socket.on("data", () => {
                    if (isIntroduced) {
                        socket.write(nonsense);
                        return;
                    }
                    isIntroduced = true;
                    const body = JSON.stringify({ jsonrpc: "2.0", id: 0, result: { protocolVersion: 1 } });
                    socket.write(`Content-Length: ${body.length}\r\n\r\n${body}`);
                });
            });
            server.listen(path);
            await once(server, "listening");
            const client = new Client({ socket: () => Promise.resolve(path) }, "0.0.0", undefined, 500);
            const lost = await failure(client.request("agents/show", { target: { kind: "emulator" } }));
            assert.equal(lost.kind, "connectionLost", nonsense);
            client.close();
            server.close();
            await once(server, "close");
        }
    }));
