// What can go wrong, as people see it: what happened, its kind in one word, and what to do next.

import { ConnectionError, ErrorCodes, ResponseError } from "vscode-jsonrpc/node";
import type { ErrorData, Turn } from "./protocol";

/** Kinds of this side of the socket; all others are the daemon's `error.data.kind`. */
export type LocalKind = "programNotFound" | "daemonUnavailable" | "connectionLost" | "cancelled" | "internalError";

/** LSP's code for a request that its caller cancelled. */
const CANCELLED = -32800;
/** vscode-jsonrpc's own codes for a connection that closed before the response was there. */
const LOST: readonly number[] = [
    ErrorCodes.MessageWriteError,
    ErrorCodes.PendingResponseRejected,
    ErrorCodes.ConnectionInactive,
];

/** A call that did not succeed. */
export class Failure extends Error {
    override readonly name = "Failure";
    /** In one word that does not change between versions. */
    readonly kind: string;
    /** What to do next. */
    readonly hint: string | undefined;
    /** Can the same call succeed later? */
    readonly retryable: boolean;
    /** Whether the turn ran, if the call sent one. */
    readonly turn: Turn | undefined;

    constructor(
        kind: LocalKind | (string & {}),
        message: string,
        more: { hint?: string | undefined; retryable?: boolean; turn?: Turn | undefined } = {},
    ) {
        super(message);
        this.kind = kind;
        this.hint = more.hint;
        this.retryable = more.retryable ?? false;
        this.turn = more.turn;
    }

    /** Did the caller end it? Then there is nothing to report. */
    get isCancelled(): boolean {
        return this.kind === "cancelled";
    }

    /** One line for a notification or a log. */
    get summary(): string {
        const hint = this.hint === undefined ? "" : ` Hint: ${this.hint}.`;
        return `${sentence(this.message)}${hint} (${this.kind})`;
    }

    /** Whatever was thrown, as a failure. */
    static from(error: unknown): Failure {
        if (error instanceof Failure) {
            return error;
        }
        if (error instanceof ConnectionError) {
            return connectionLost();
        }
        if (error instanceof ResponseError) {
            return fromResponse(error as ResponseError<unknown>);
        }
        if (error instanceof Error && error.name === "AbortError") {
            return new Failure("cancelled", "cancelled");
        }
        return new Failure("internalError", error instanceof Error ? error.message : String(error));
    }
}

/** The daemon went away with the call unanswered. */
export function connectionLost(): Failure {
    return new Failure("connectionLost", "the connection to the Cupola daemon was lost", {
        hint: "it is made again by itself; try again",
        retryable: true,
    });
}

/** The daemon went away after it was sent a turn. */
export function turnLost(): Failure {
    return new Failure("connectionLost", "the connection to the Cupola daemon was lost before the answer was there", {
        hint:
            "the turn may have run; look before you send it again: the run is among the runs if the daemon is still there, " +
            "and the session's log shows what the agent did",
        turn: "mayHaveRun",
    });
}

function fromResponse(error: ResponseError<unknown>): Failure {
    if (isErrorData(error.data)) {
        const { kind, hint, retryable, turn } = error.data;
        return new Failure(kind, error.message, { hint, retryable, turn });
    }
    if (error.code === CANCELLED) {
        return new Failure("cancelled", error.message);
    }
    return LOST.includes(error.code) ? connectionLost() : new Failure("internalError", error.message);
}

function isErrorData(data: unknown): data is ErrorData {
    return typeof data === "object" && data !== null && "kind" in data && typeof data.kind === "string";
}

/** A message of the daemon has no full stop at its end. */
function sentence(text: string): string {
    const first = text.charAt(0).toUpperCase() + text.slice(1);
    return /[.!?]$/.test(first) ? first : `${first}.`;
}
