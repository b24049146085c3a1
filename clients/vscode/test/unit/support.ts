// What the suites build on: a daemon with its own home, and waiting for events.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, type Bind } from "../../src/client";
import { InstalledDaemon } from "../../src/daemon";
import { Failure } from "../../src/failure";

/** Far more than anything here takes; a test that waits this long has failed. */
const PATIENCE_MS = 20_000;

/** The `cupola` under test. */
export const PROGRAM = process.env["CUPOLA_BINARY"] ?? "cupola";

/** A home directory with nothing in it, and the daemon that is started in it. */
export class Home {
    readonly path = mkdtempSync(join(tmpdir(), "cupola-vscode-"));
    readonly environment: NodeJS.ProcessEnv = {
        PATH: process.env["PATH"],
        HOME: this.path,
        XDG_RUNTIME_DIR: join(this.path, "run"),
    };
    readonly daemon = new InstalledDaemon(() => PROGRAM, this.environment);
    readonly #clients: Client[] = [];

    /** A client, closed with the home. */
    client(bind?: Bind): Client {
        const client = new Client(this.daemon, "0.0.0", bind);
        this.#clients.push(client);
        return client;
    }

    /** Runs `cupola` in this home. */
    cupola(...options: string[]): string {
        return execFileSync(PROGRAM, options, {
            env: this.environment,
            encoding: "utf8",
            stdio: ["ignore", "pipe", "ignore"],
        });
    }

    /** The process id of the daemon that runs now. */
    processId(): number {
        const status = JSON.parse(this.cupola("status", "-o", "json")) as { processId: number };
        return status.processId;
    }

    close(): void {
        for (const client of this.#clients) {
            client.close();
        }
        try {
            this.cupola("stop", "--force");
        } catch {
            // None runs: a test may have ended it.
        }
        // `stop` does not wait for the end of the daemon, which still writes meanwhile.
        rmSync(this.path, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
    }
}

/** Runs a test with its own home. */
export async function inHome(test: (home: Home) => Promise<void>): Promise<void> {
    const home = new Home();
    try {
        await test(home);
    } finally {
        home.close();
    }
}

/** Waits until `found` gives something. */
export async function eventually<T>(
    what: string | (() => string),
    found: () => T | undefined | Promise<T | undefined>,
    limit = PATIENCE_MS,
): Promise<T> {
    for (const deadline = Date.now() + limit; Date.now() < deadline;) {
        const value = await found();
        if (value !== undefined) {
            return value;
        }
        await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return assert.fail(`waited in vain: ${typeof what === "string" ? what : what()}`);
}

/** The failure that a call ends with. */
export async function failure(call: Promise<unknown>): Promise<Failure> {
    try {
        await call;
    } catch (error) {
        assert.ok(error instanceof Failure, `not a Failure: ${String(error)}`);
        return error;
    }
    return assert.fail("the call succeeded");
}
