// A run that outlives the daemon it began on: those who follow it continue on the next daemon.

import type { Connection } from "./connection.js";
import { CupolaError } from "./error.js";
import type { InvokeEvent, InvokeResponse } from "./protocol.js";
import type { StreamingCall } from "./streaming.js";

/** Daemons in a row that may go away before anything new came of a run. */
const MAX_TRIES = 5;

/** A run that was attached to, and the last event that the program has had of it. */
export interface Attached {
    runId: string;
    after?: number;
}

/**
 * `call` begins a run or attaches to one. When its connection is lost, it is followed on the next one after its last event, if
 * it outlives the daemon: its `started` event says so, and one that was `attached` to may.
 */
export function continued(
    connection: Connection,
    call: StreamingCall<InvokeEvent, InvokeResponse>,
    textOnly: boolean,
    attached?: Attached,
): StreamingCall<InvokeEvent, InvokeResponse> {
    return async (onEvent, signal) => {
        let runId = attached?.runId;
        let after = attached?.after ?? 0;
        let outlives = attached !== undefined;
        let tries = 0;
        const follow = (event: InvokeEvent) => {
            runId = event.runId;
            after = Math.max(after, event.number);
            outlives ||= event.type === "started" && event.survives === true;
            tries = 0;
            onEvent(event);
        };
        for (let next = call; ; tries += 1) {
            try {
                return await next(follow, signal);
            } catch (error) {
                const failure = CupolaError.from(error);
                if (failure.kind !== "connectionLost" || !outlives || runId === undefined || tries === MAX_TRIES) {
                    throw failure;
                }
                const params = { runId, after, textOnly };
                next = (onEvent, signal) => connection.request("runs/attach", params, { onEvent, signal });
            }
        }
    };
}
