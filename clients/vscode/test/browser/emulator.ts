// A separate emulator whose answers a test can choose.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { type Home, PROGRAM } from "../../../node/test/support";

/** What an emulator says of itself when it starts. */
interface Started {
    url: string;
    token: string;
}

export class Emulator {
    private constructor(
        private readonly process: ChildProcess,
        private readonly started: Started,
    ) {}

    static async start(home: Home): Promise<Emulator> {
        const process = spawn(PROGRAM, ["emulator", "--json", "--listen", "127.0.0.1:0"], {
            env: home.environment,
            stdio: ["ignore", "pipe", "inherit"],
        });
        const [line] = (await once(createInterface(process.stdout), "line")) as [string];
        return new Emulator(process, JSON.parse(line) as Started);
    }

    get url(): string {
        return this.started.url;
    }

    /** The next request of this method whose path matches is refused with these words. */
    async refuse(method: string, path: string, message: string): Promise<void> {
        const body = { error: { code: "refused", message } };
        const response = await fetch(`${this.url}/__cupola/faults`, {
            method: "POST",
            headers: { authorization: `Bearer ${this.started.token}`, "content-type": "application/json" },
            body: JSON.stringify({ method, path, count: 1, fault: "status", status: 422, body }),
        });
        assert.equal(response.status, 201);
    }

    async close(): Promise<void> {
        if (this.process.kill()) {
            await once(this.process, "exit");
        }
    }
}
