// Finds the daemon: `cupola socket` prints where it listens, and starts it if it is not running.

import { execFile } from "node:child_process";
import { resolve as absolute } from "node:path";
import { CupolaError } from "./error.js";

/** The command waits 15 s for a daemon that does not answer, and says so. */
const COMMAND_LIMIT_MS = 30_000;
/** A path is far shorter. */
const MAX_OUTPUT_BYTES = 64 * 1024;

/** How to find the daemon. */
export interface Daemon {
    /** Where to look first, without running a program. */
    readonly known?: string | undefined;
    /** Where it listens; with `start`, a daemon is started if none runs. */
    socket(start: boolean): Promise<string>;
}

/** How a program finds its daemon. */
export interface InstalledOptions {
    /** The `cupola` program, asked for at each use; by default `CUPOLA_BINARY`, otherwise `cupola` on the `PATH`. */
    program?: (() => string) | undefined;
    /** The daemon's socket; by default `CUPOLA_SOCKET`, otherwise where the `cupola` command looks. */
    socket?: string | undefined;
    /** Replaces the process's own environment. */
    environment?: NodeJS.ProcessEnv | undefined;
    /** What to do when the program is missing. */
    missingHint?: string | undefined;
}

/** The daemon that the installed `cupola` program finds or starts. */
export class InstalledDaemon implements Daemon {
    readonly known: string | undefined;
    readonly #program: () => string;
    readonly #environment: NodeJS.ProcessEnv;
    readonly #named: string[];
    readonly #missingHint: string;

    constructor(options: InstalledOptions = {}) {
        const environment = options.environment ?? process.env;
        const named = options.socket ?? environment["CUPOLA_SOCKET"];
        this.known = named ? absolute(named) : undefined;
        this.#named = options.socket === undefined ? [] : ["--socket", absolute(options.socket)];
        this.#environment = environment;
        this.#program = options.program ?? (() => environment["CUPOLA_BINARY"] || "cupola");
        this.#missingHint = options.missingHint ?? "put `cupola` on the PATH, or its path into CUPOLA_BINARY";
    }

    socket(start: boolean): Promise<string> {
        const program = this.#program();
        const command = ["socket", ...(start ? [] : ["--no-start"]), ...this.#named];
        const options = {
            env: this.#environment,
            timeout: COMMAND_LIMIT_MS,
            maxBuffer: MAX_OUTPUT_BYTES,
            windowsHide: true,
        };
        return new Promise((resolve, reject) => {
            execFile(program, command, options, (error, stdout, stderr) => {
                const path = stdout.trim();
                if (error === null && path !== "") {
                    resolve(path);
                } else {
                    reject(this.#whyNot(program, error, stderr));
                }
            });
        });
    }

    #whyNot(program: string, error: (Error & { code?: unknown }) | null, stderr: string): CupolaError {
        if (error?.code === "ENOENT" || error?.code === "EACCES") {
            const what = error.code === "ENOENT" ? "there is no such program" : "you may not run it";
            const hint = this.#missingHint;
            return new CupolaError("programNotFound", `${program} cannot be started: ${what}`, { hint });
        }
        const lines = stderr.split("\n");
        const said = (label: string) => lines.find((line) => line.startsWith(label))?.slice(label.length);
        return new CupolaError(
            "daemonUnavailable",
            said("error: ") ?? `${program} socket failed: ${error?.message ?? "it printed no path"}`,
            { hint: said("hint: ") ?? "run `cupola serve` in a terminal to see what is wrong", retryable: true },
        );
    }
}
