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
        let lost: CupolaError | undefined;
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
                    // Why the run cannot be followed says nothing about its turn, which was sent.
                    throw lost !== undefined && !failure.isCancelled && failure.turn === undefined ? lost : failure;
                }
                if (failure.turn !== undefined) {
                    lost ??= failure;
                }
                const params = { runId, after, textOnly };
                const attach: typeof call = (onEvent, signal) =>
                    connection.request("runs/attach", params, { onEvent, signal });
                next = attached === undefined ? own(connection, runId, attach) : attach;
            }
        }
    };
}

/**
 * Follows a run that this program began on an earlier daemon. Cancelling ends the run, as it would have there: cancelling
 * `attach` alone only detaches.
 */
function own(
    connection: Connection,
    runId: string,
    attach: StreamingCall<InvokeEvent, InvokeResponse>,
): StreamingCall<InvokeEvent, InvokeResponse> {
    return async (onEvent, signal) => {
        let ended: Promise<unknown> = Promise.resolve();
        const end = () => {
            ended = connection.requestBeforeClose("runs/cancel", { runId });
            // Its failure is told where it is awaited; there may be a result instead.
            ended.catch(() => undefined);
        };
        signal.addEventListener("abort", end);
        if (signal.aborted) {
            end();
        }
        try {
            return await attach(onEvent, signal);
        } catch (error) {
            await ended;
            throw error;
        } finally {
            signal.removeEventListener("abort", end);
        }
    };
}
