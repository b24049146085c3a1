// One invoke, or one that another client began: its events, its result, its text.

import { harmless } from "./display.js";
import { AgentAsks, RunFailed } from "./error.js";
import type { InvokeEvent, InvokeResponse } from "./protocol.js";
import { Streaming, type StreamingCall, type StreamingOptions } from "./streaming.js";

/** Notices of waits of up to a minute and more, which only a person may be able to end. A script shows them without being asked to. */
const LONG_WAITS: ReadonlySet<string> = new Set(["waitingForAgent", "waitingForVersion"]);

/** The name of the process's warnings about such waits: Node prints them, and `process.on("warning", …)` gets them. */
const WARNING = "CupolaWarning";

/** The input item that allows or refuses, once, the tool call of the question with this id. */
export function approval(id: string, allow: boolean): object {
    return { type: "mcp_approval_response", approval_request_id: id, approve: allow };
}

/** See [`Streaming`]. A newer daemon may send further types of events: ignore those that you do not know. */
export class Run extends Streaming<InvokeEvent, InvokeResponse> {
    #id: string | undefined;
    readonly #begun: Promise<string>;
    #begin: ((id: string) => void) | undefined;

    constructor(call: StreamingCall<InvokeEvent, InvokeResponse>, options?: StreamingOptions) {
        super(call, options);
        const begins = new Promise<string>((resolve) => (this.#begin = resolve));
        this.#begun = Promise.race([begins, this.ending.then(({ runId }) => runId)]);
        this.#begun.catch(() => undefined);
    }

    /** The run's id, from its first event on. */
    get id(): string | undefined {
        return this.#id;
    }

    /** Waits until the run has begun, and returns its id. Fails if it does not begin. */
    started(): Promise<string> {
        return this.#begun;
    }

    /**
     * The whole answer. Throws `RunFailed` unless the agent completed it, and `AgentAsks` if it waits for an approval or for
     * consent.
     */
    async text(): Promise<string> {
        const response = await this.result();
        if (response.status !== "completed") {
            throw new RunFailed(response);
        }
        const asked = response.questions?.filter(({ kind }) => kind === "approval" || kind === "consent") ?? [];
        if (asked.length > 0) {
            throw new AgentAsks(response, asked);
        }
        return response.text;
    }

    protected override saw(event: InvokeEvent): void {
        if (event.type === "notice" && LONG_WAITS.has(event.code)) {
            process.emitWarning(harmless(event.message), WARNING);
        }
        if (this.#id === undefined) {
            this.#id = event.runId;
            this.#begin?.(event.runId);
        }
    }
}
