// The shared wire conversations of tests/transcripts, replayed through this package's own framing.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Message } from "vscode-jsonrpc/node";
import { openStream } from "../src/stream.js";
import { ROOT } from "./root.js";
import { inHome } from "./support.js";

const DIRECTORY = join(ROOT, "tests", "transcripts");
/** Far more than a daemon takes for its next message. */
const PATIENCE_MS = 20_000;

type Captured = Map<string, unknown>;

for (const name of readdirSync(DIRECTORY).filter((name) => name.endsWith(".jsonl"))) {
    const [about, ...lines] = readFileSync(join(DIRECTORY, name), "utf8")
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as Record<string, unknown>);
    const framings = about?.["framings"];
    if (framings === undefined || (framings as string[]).includes("lsp")) {
        test(`transcript ${name}`, () => inHome(async (home) => replay(await home.daemon.socket(true), lines)));
    }
}

async function replay(socket: string, steps: readonly Record<string, unknown>[]): Promise<void> {
    const stream = await openStream(socket);
    const received = new Inbox();
    stream.reader.listen((message) => received.put(message));
    const captured: Captured = new Map();
    try {
        for (const [index, step] of steps.entries()) {
            const where = `line ${index + 2}`;
            const sent = step["->"];
            const expected = step["<-"];
            if (sent !== undefined) {
                await stream.writer.write(filled(sent, captured) as Message);
            } else if (expected !== undefined) {
                compare(await received.next(where), expected, captured, where);
            } else {
                assert.fail(`${where} is neither sent nor received`);
            }
        }
        const closed = new Promise<void>((resolve) => stream.reader.onClose(() => resolve()));
        stream.writer.end();
        await closed;
        received.isEmpty();
    } finally {
        stream.destroy();
    }
}

/** Messages in the order of their arrival. */
class Inbox {
    readonly #messages: unknown[] = [];
    #wake: (() => void) | undefined;

    put(message: unknown): void {
        this.#messages.push(message);
        this.#wake?.();
    }

    isEmpty(): void {
        assert.deepEqual(this.#messages, [], "messages came after the last line");
    }

    async next(what: string): Promise<unknown> {
        if (this.#messages.length === 0) {
            await new Promise<void>((resolve, reject) => {
                const timer = setTimeout(() => reject(new Error(`no message came for ${what}`)), PATIENCE_MS);
                this.#wake = () => {
                    clearTimeout(timer);
                    resolve();
                };
            });
        }
        return this.#messages.shift();
    }
}

/** `<name>`, as a capture. */
function nameOf(value: unknown): string | undefined {
    return typeof value === "string" ? /^<([^<>]+)>$/.exec(value)?.[1] : undefined;
}

/** The message with every captured name replaced by its value. */
function filled(value: unknown, captured: Captured): unknown {
    if (Array.isArray(value)) {
        return value.map((item) => filled(item, captured));
    }
    if (typeof value === "object" && value !== null) {
        return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, filled(item, captured)]));
    }
    const name = nameOf(value);
    return name !== undefined && captured.has(name) ? captured.get(name) : value;
}

/** Every field of the pattern must be there and match. */
function compare(actual: unknown, pattern: unknown, captured: Captured, where: string): void {
    const name = nameOf(pattern);
    if (name === "*") {
        return assert.notEqual(actual, undefined, `${where} is missing`);
    }
    if (name !== undefined) {
        assert.notEqual(actual, undefined, `${where} is missing`);
        if (captured.has(name)) {
            assert.deepEqual(actual, captured.get(name), `${where}: another <${name}> than before`);
        }
        captured.set(name, actual);
    } else if (Array.isArray(pattern)) {
        assert.ok(Array.isArray(actual) && actual.length === pattern.length, `${where}: ${JSON.stringify(actual)}`);
        pattern.forEach((item, index) => compare(actual[index], item, captured, `${where}[${index}]`));
    } else if (typeof pattern === "object" && pattern !== null) {
        assert.ok(typeof actual === "object" && actual !== null, `${where}: ${JSON.stringify(actual)}`);
        for (const [key, item] of Object.entries(pattern)) {
            compare((actual as Record<string, unknown>)[key], item, captured, `${where}.${key}`);
        }
    } else {
        assert.deepEqual(actual, pattern, where);
    }
}
