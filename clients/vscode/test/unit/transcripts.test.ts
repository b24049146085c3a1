// The shared wire conversations of tests/transcripts, replayed through the extension's own connection code.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Message } from "vscode-jsonrpc/node";
import { openStream } from "../../src/stream";
import { inHome } from "./support";

/** This file runs from dist/test/unit. */
const DIRECTORY = join(__dirname, "../../../../../tests/transcripts");
/** Far more than a daemon takes for its next message. */
const PATIENCE_MS = 20_000;

type Captured = Map<string, unknown>;

for (const name of readdirSync(DIRECTORY).filter((name) => name.endsWith(".jsonl"))) {
    const lines = readFileSync(join(DIRECTORY, name), "utf8")
        .split("\n")
        .filter((line) => line !== "");
    test(`transcript ${name}`, () => inHome(async (home) => replay(await home.daemon.socket(true), lines)));
}

async function replay(socket: string, lines: readonly string[]): Promise<void> {
    const stream = await openStream(socket);
    const received = new Inbox();
    stream.reader.listen((message) => received.put(message));
    const captured: Captured = new Map();
    try {
        for (const [index, line] of lines.entries()) {
            const step = JSON.parse(line) as Record<string, unknown>;
            const sent = step["->"];
            const expected = step["<-"];
            if (sent !== undefined) {
                await stream.writer.write(filled(sent, captured) as Message);
            } else if (expected !== undefined) {
                compare(await received.next(`line ${index + 1}`), expected, captured, `line ${index + 1}`);
            } else {
                assert.ok("about" in step, `line ${index + 1} is neither sent, received nor a remark`);
            }
        }
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
