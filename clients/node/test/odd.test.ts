// Answers that are hard to read, messages that are too long, and a daemon that speaks nonsense.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { StreamMessageReader } from "vscode-jsonrpc/node";
import { Connection } from "../src/connection.js";
import type { Daemon } from "../src/installed.js";
import type { InvokeEvent, Target } from "../src/protocol.js";
import { MAX_MESSAGE_BYTES } from "../src/stream.js";
import { ROOT } from "./root.js";
import { failure, inHome, type Home } from "./support.js";

const AGENT = join(ROOT, "tests", "fixtures", "odd_agent.py");

/** What the odd agent's answer is, in events and as a whole. */
async function ask(home: Home, input: string, protocol: "responses" | "invocations") {
    const agent = spawn("python3", [AGENT], { stdio: ["ignore", "pipe", "inherit"] });
    try {
        const [port] = (await once(createInterface(agent.stdout), "line")) as [string];
        const target: Target = { kind: "local", port: Number(port) };
        const events: InvokeEvent[] = [];
        const onEvent = (event: InvokeEvent) => events.push(event);
        const result = await home.connection().request("invoke", { target, input, protocol }, { onEvent });
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
        const client = home.connection();
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
            const client = new Connection({ daemon: { socket: () => Promise.resolve(path) }, initializeLimitMs: 500 });
            const lost = await failure(client.request("agents/show", { target: { kind: "emulator" } }));
            assert.equal(lost.kind, "connectionLost", nonsense);
            client.close();
            server.close();
            await once(server, "close");
        }
    }));

/** What a scripted peer is asked. */
interface Asked {
    id: number;
    method: string;
    params: { partialResultToken?: string };
}

/** A connection to a peer instead of the daemon: `answer` gets each message after `initialize`. */
async function withScripted(
    home: Home,
    hello: object,
    answer: (socket: Socket, asked: Asked) => void,
    use: (daemon: Daemon) => Promise<void>,
): Promise<void> {
    const server = createServer((socket) => {
        socket.on("error", () => undefined);
        new StreamMessageReader(socket).listen((message) => {
            const asked = message as unknown as Asked;
            if (asked.method === "initialize") {
                socket.write(framed({ id: asked.id, result: { protocolVersion: 1, ...hello } }));
            } else if (asked.id !== undefined) {
                answer(socket, asked);
            }
        });
    });
    const path = join(home.path, "scripted.sock");
    server.listen(path);
    await once(server, "listening");
    try {
        await use({ known: path, socket: () => Promise.resolve(path) });
    } finally {
        server.close();
        await once(server, "close");
    }
}

function framed(message: object): string {
    const body = JSON.stringify({ jsonrpc: "2.0", ...message });
    return `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

test("events and an answer that arrive together with the end of the connection count", () =>
    inHome(async (home) => {
        const answer = (socket: Socket, { id, params }: Asked) => {
            const token = params.partialResultToken;
            const event = { method: "$/progress", params: { token, value: { type: "textDelta", delta: "x" } } };
            const answer = { id, result: { status: "completed", text: "x".repeat(100) } };
            socket.end(framed(event).repeat(100) + framed(answer));
        };
        await withScripted(home, {}, answer, async (daemon) => {
            const connection = new Connection({ daemon });
            for (let round = 0; round < 3; round += 1) {
                let text = "";
                const onEvent = (event: InvokeEvent) => (text += event.type === "textDelta" ? event.delta : "");
                const answer = connection.request("invoke", { input: "hello" }, { onEvent });
                assert.equal((await answer).text, "x".repeat(100));
                assert.equal(text, "x".repeat(100));
            }
            connection.close();
        });
    }));

test("a daemon that does not bind the connection is not used", () =>
    inHome(async (home) => {
        for (const hello of [{}, { bound: false }]) {
            const asked: string[] = [];
            const answer = (socket: Socket, { method }: Asked) => {
                asked.push(method);
                socket.destroy();
            };
            await withScripted(home, hello, answer, async (daemon) => {
                const connection = new Connection({ daemon, bind: { target: { kind: "emulator" } } });
                const refused = await failure(connection.request("invoke", { input: "hello" }));
                connection.close();
                assert.equal(refused.kind, "notBound");
            });
            assert.deepEqual(asked, []);
        }
    }));
