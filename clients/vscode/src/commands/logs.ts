// Follow logs: a session's log in an output channel, from its last lines on, over a restart of the daemon, until stopped.

import * as vscode from "vscode";
import { CupolaError, type MonitorEvent } from "cupola-client";
import { LogLines } from "../model/log";
import type { SessionRow } from "../model/sessions";
import type { Problems } from "../problem";
import type { Scope } from "../scope";
import * as settings from "../settings";
import { Lines } from "../show";

export class Logs implements vscode.Disposable {
    readonly #lines = new Lines("Cupola Session Log");
    #following: AbortController | undefined;

    constructor(
        private readonly problems: Problems,
        private readonly scope: Scope,
    ) {}

    commands(): vscode.Disposable[] {
        const { problems } = this;
        return [
            problems.command("cupola.followLogs", (row?: SessionRow) => this.#follow(row?.id)),
            problems.command("cupola.stopLogs", () => this.#stop()),
            // The log belongs to the isolation that it was opened under.
            this.scope.onLine(() => this.#stop()),
        ];
    }

    dispose(): void {
        this.#stop();
        this.#following = undefined;
        this.#lines.dispose();
    }

    #stop(): void {
        this.#following?.abort();
    }

    /** One log at a time: another one takes its place. */
    async #follow(sessionId: string | undefined): Promise<void> {
        this.#stop();
        const following = new AbortController();
        this.#following = following;
        this.#lines.begin();
        void vscode.commands.executeCommand("setContext", "cupola.following", true);
        const ending = await this.#read(sessionId, following.signal).then(
            () => "the log has ended",
            (error: unknown) => {
                const failure = CupolaError.from(error);
                return failure.isCancelled ? "stopped" : failure.summary;
            },
        );
        // Another log may be in its place by now.
        if (this.#following === following) {
            this.#lines.append(`-- ${ending}`);
            void vscode.commands.executeCommand("setContext", "cupola.following", false);
        }
    }

    async #read(sessionId: string | undefined, signal: AbortSignal): Promise<void> {
        const lines = new LogLines();
        let session = sessionId;
        let connection = 0;
        const onSent = (number: number) => (connection = number);
        const onEvent = (event: MonitorEvent) => {
            if (event.type === "started") {
                session = event.sessionId;
            }
            const line = lines.line(event);
            if (line !== undefined && !signal.aborted) {
                this.#lines.append(line);
            }
        };
        const line = await this.scope.line();
        for (;;) {
            const params = {
                follow: true,
                kind: settings.logKind(),
                tail: settings.logTail(),
                ...(session !== undefined && { sessionId: session }),
            };
            try {
                await line.request("monitor", params, { signal, onSent, onEvent });
                return;
            } catch (error) {
                const failure = CupolaError.from(error);
                if (failure.kind !== "connectionLost" && failure.kind !== "shuttingDown") {
                    throw failure;
                }
                // Not for a log: a daemon that was stopped stays stopped until something is asked of it.
                this.#lines.append("-- the daemon stopped; the log continues when it runs again");
                await line.connection.nextConnection(connection, signal);
            }
        }
    }
}
