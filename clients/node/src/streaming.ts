// A call whose events come before its result: an async iterator of the events, and a promise of the result.

import { CupolaError } from "./error.js";

/**
 * Events of one call that may wait for the program to take them. The daemon disconnects a client that does not read, so
 * events are read as they come; a program that falls behind by this many has stopped taking them.
 */
export const MAX_WAITING_EVENTS = 100_000;

/** Makes the call: passes each event on, and ends early with the signal. */
export type StreamingCall<E, R> = (onEvent: (event: E) => void, signal: AbortSignal) => Promise<R>;

/** How a call may end early. */
export interface StreamingOptions {
    /** Cancels the call. */
    signal?: AbortSignal | undefined;
    /** Leaving the iteration early only stops listening. */
    leavesRunning?: boolean | undefined;
}

/**
 * The call is made at once. Iterate over its events, or await its result, or both. Leaving the iteration early cancels the
 * call.
 */
export class Streaming<E, R> implements AsyncIterable<E> {
    readonly #result: Promise<R>;
    readonly #cancel = new AbortController();
    readonly #leavesRunning: boolean;
    #waiting: E[] = [];
    /** How many of the waiting events were taken. */
    #taken = 0;
    /** Does anyone want the events? Asking for the result alone says no; iterating says yes. */
    #wants: "unknown" | "events" | "result" | "nothing" = "unknown";
    #isOver = false;
    #overflow: CupolaError | undefined;
    #wake: (() => void) | undefined;

    constructor(call: StreamingCall<E, R>, options: StreamingOptions = {}) {
        const { signal } = options;
        this.#leavesRunning = options.leavesRunning ?? false;
        const cancel = () => this.cancel();
        signal?.addEventListener("abort", cancel);
        if (signal?.aborted === true) {
            cancel();
        }
        this.#result = call((event) => this.#push(event), this.#cancel.signal)
            .catch((error: unknown) => Promise.reject(this.#overflow ?? error))
            .finally(() => {
                signal?.removeEventListener("abort", cancel);
                this.#isOver = true;
                this.#wake?.();
            });
        // Awaiting the result or iterating reports the failure; until then it is not an unhandled rejection.
        this.#result.catch(() => undefined);
    }

    /** The result, complete in itself. Events that wait stay for an iteration that begins later. */
    result(): Promise<R> {
        if (this.#wants === "unknown") {
            this.#wants = "result";
        }
        return this.#result;
    }

    /** Cancels the call at the daemon; nothing happens when it has ended. */
    cancel(): void {
        this.#cancel.abort();
    }

    /** The events that have not been taken yet, then those to come. Throws the call's failure at its end. */
    async *[Symbol.asyncIterator](): AsyncGenerator<E, void, undefined> {
        this.#wants = "events";
        try {
            for (;;) {
                while (this.#taken < this.#waiting.length) {
                    const event = this.#waiting[this.#taken++] as E;
                    if (this.#taken === this.#waiting.length) {
                        this.#waiting = [];
                        this.#taken = 0;
                    }
                    yield event;
                }
                if (this.#isOver) {
                    break;
                }
                await new Promise<void>((resolve) => (this.#wake = resolve));
            }
        } finally {
            if (!this.#isOver) {
                this.#leave();
            }
        }
        await this.#result;
    }

    /** The result, without asking for it. */
    protected get ending(): Promise<R> {
        return this.#result;
    }

    /** Called with each event as it arrives, whether or not it is taken. */
    protected saw(_event: E): void {}

    #leave(): void {
        this.#wants = "nothing";
        this.#waiting = [];
        this.#taken = 0;
        if (!this.#leavesRunning) {
            this.cancel();
        }
    }

    #push(event: E): void {
        this.saw(event);
        if (this.#wants === "nothing" || this.#overflow !== undefined) {
            return;
        }
        if (this.#waiting.length - this.#taken >= MAX_WAITING_EVENTS) {
            this.#overflows();
            return;
        }
        this.#waiting.push(event);
        this.#wake?.();
    }

    #overflows(): void {
        if (this.#wants === "result") {
            // Nobody iterates, and the result has everything.
            this.#wants = "nothing";
            this.#waiting = [];
            return;
        }
        this.#overflow = new CupolaError("eventsNotTaken", `${MAX_WAITING_EVENTS} events wait and none was taken`, {
            hint: "iterate over the call's events without long pauses, or await its result alone",
        });
        this.cancel();
    }
}
