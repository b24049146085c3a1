// What the suites build on: a daemon with its own home, and waiting for events.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Client, type ClientOptions } from "../src/client.js";
import { type Bind, Connection } from "../src/connection.js";
import { CupolaError } from "../src/error.js";
import { InstalledDaemon } from "../src/installed.js";

/** Far more than anything here takes; a test that waits this long has failed. */
const PATIENCE_MS = 20_000;

/** The `cupola` under test. */
export const PROGRAM = process.env["CUPOLA_BINARY"] ?? "cupola";

/** A home directory with nothing in it, and the daemon that is started in it. */
export class Home {
    readonly path = mkdtempSync(join(tmpdir(), "cupola-node-"));
    readonly environment: NodeJS.ProcessEnv = {
        PATH: process.env["PATH"],
        HOME: this.path,
        XDG_RUNTIME_DIR: join(this.path, "run"),
    };
    readonly daemon = new InstalledDaemon({ program: () => PROGRAM, environment: this.environment });
    readonly #opened: { close(): void }[] = [];

    /** A connection, closed with the home. It looks for its daemon, as an editor's does. */
    connection(bind?: Bind): Connection {
        const connection = new Connection({ daemon: this.daemon, bind, looksForDaemon: true });
        this.#opened.push(connection);
        return connection;
    }

    /** A client, closed with the home, of a daemon that runs already. */
    async client(options: ClientOptions = {}): Promise<Client> {
        const client = new Client({ socket: await this.daemon.socket(true), program: PROGRAM, ...options });
        this.#opened.push(client);
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

    async close(): Promise<void> {
        for (const opened of this.#opened) {
            opened.close();
        }
        try {
            this.cupola("stop", "--force");
        } catch {
            // None runs: a test may have ended it.
        }
        // `stop` does not wait for the end of the daemon, which may add a file while its directory is being removed.
        await eventually("the home is removed", () => {
            try {
                rmSync(this.path, { recursive: true, force: true });
                return true;
            } catch (error) {
                return (error as NodeJS.ErrnoException).code === "ENOTEMPTY" ? undefined : Promise.reject(error);
            }
        });
    }
}

/** Runs a test with its own home. */
export async function inHome(test: (home: Home) => Promise<void>): Promise<void> {
    const home = new Home();
    try {
        await test(home);
    } finally {
        await home.close();
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
export async function failure(call: Promise<unknown>): Promise<CupolaError> {
    try {
        await call;
    } catch (error) {
        assert.ok(error instanceof CupolaError, `not a CupolaError: ${String(error)}`);
        return error;
    }
    return assert.fail("the call succeeded");
}

/** Gives `use` the address of an emulator that outlives the daemon. */
export async function withEmulator(home: Home, use: (url: string) => Promise<void>): Promise<void> {
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

/** Kills the daemon, and starts the next one. */
export function nextDaemon(home: Home): void {
    process.kill(home.processId(), "SIGKILL");
    home.cupola("socket");
}
