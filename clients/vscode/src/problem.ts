// Tells a person of a failure: one notification that blocks nothing, and the same words in the output channel.

import * as vscode from "vscode";
import { CupolaError } from "cupola-client";
import * as show from "./show";

/** The same words again within this time are not shown again. */
const QUIET_MS = 5_000;

export class Problems {
    #last = { summary: "", at: 0 };

    constructor(private readonly log: show.Log) {}

    /** Registers a command whose failures are told, not thrown. */
    command(id: string, run: (...options: never[]) => unknown): vscode.Disposable {
        return vscode.commands.registerCommand(id, async (...options: never[]) => {
            try {
                await run(...options);
            } catch (error) {
                this.tell(CupolaError.from(error));
            }
        });
    }

    tell(failure: CupolaError): void {
        if (failure.isCancelled) {
            return;
        }
        const { summary, kind } = failure;
        this.log.write("error", summary);
        const isSame = summary === this.#last.summary && Date.now() - this.#last.at < QUIET_MS;
        this.#last = { summary, at: Date.now() };
        if (!isSame) {
            void this.#show(summary, kind);
        }
    }

    /** Something was done, but not all of it. */
    warn(summary: string, details: readonly string[]): void {
        for (const detail of details) {
            this.log.write("warn", detail);
        }
        void show.warning(`Cupola: ${summary}`, "Show Log").then((chosen) => chosen !== undefined && this.log.show());
    }

    async #show(summary: string, kind: string): Promise<void> {
        const action = kind === "programNotFound" ? "Open Settings" : "Show Log";
        if ((await show.error(`Cupola: ${summary}`, action)) === undefined) {
            return;
        }
        if (kind === "programNotFound") {
            await vscode.commands.executeCommand("workbench.action.openSettings", "cupola.path");
        } else {
            this.log.show();
        }
    }
}
