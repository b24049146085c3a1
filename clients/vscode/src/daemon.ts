// Finds the daemon: `cupola socket` prints where it listens, and starts it if it is not running.

import { execFile } from "node:child_process";
import { Failure } from "./failure";

/** The command waits 15 s for a daemon that does not answer, and says so. */
const COMMAND_LIMIT_MS = 30_000;
/** A path is far shorter. */
const MAX_OUTPUT_BYTES = 64 * 1024;

/** How to find the daemon. */
export interface Daemon {
    /** Where it listens; with `start`, once it does. */
    socket(start: boolean): Promise<string>;
}

/** The daemon that this `cupola` program finds or starts. */
export class InstalledDaemon implements Daemon {
    /** `program` is asked for each time, because it is a setting; `environment` replaces the process's own. */
    constructor(
        private readonly program: () => string,
        private readonly environment?: NodeJS.ProcessEnv,
    ) {}

    socket(start: boolean): Promise<string> {
        const program = this.program();
        const command = start ? ["socket"] : ["socket", "--no-start"];
        const options = {
            env: this.environment ?? process.env,
            timeout: COMMAND_LIMIT_MS,
            maxBuffer: MAX_OUTPUT_BYTES,
        };
        return new Promise((resolve, reject) => {
            execFile(program, command, { ...options, windowsHide: true }, (error, stdout, stderr) => {
                const path = stdout.trim();
                if (error === null && path !== "") {
                    resolve(path);
                } else {
                    reject(whyNot(program, error, stderr));
                }
            });
        });
    }
}

function whyNot(program: string, error: (Error & { code?: number | string | null }) | null, stderr: string): Failure {
    if (error?.code === "ENOENT" || error?.code === "EACCES") {
        const what = error.code === "ENOENT" ? "there is no such program" : "it may not be run";
        return new Failure("programNotFound", `${program} cannot be started: ${what}`, {
            hint: "install Cupola so that it is on the PATH, or name the program in the setting cupola.path",
        });
    }
    const lines = stderr.split("\n");
    const said = (label: string) => lines.find((line) => line.startsWith(label))?.slice(label.length);
    return new Failure(
        "daemonUnavailable",
        said("error: ") ?? `${program} socket failed: ${error?.message ?? "it printed no path"}`,
        {
            hint: said("hint: ") ?? "run `cupola serve` in a terminal to see what is wrong",
            retryable: true,
        },
    );
}
