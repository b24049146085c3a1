// What can go wrong, as people see it: what happened, its kind in one word, and what to do next.

import { ConnectionError, ErrorCodes, ResponseError } from "vscode-jsonrpc/node";
import { harmless } from "./display.js";
import type { ErrorData, ErrorKind, InvokeResponse, Notice, Question, RunStatus, Turn } from "./protocol.js";

/** Kinds of failures that happen in this program; all others are the daemon's. */
export type LocalKind =
    /** There is no `cupola` program to find or start the daemon with. */
    | "programNotFound"
    /** No daemon answers, and none could be started. */
    | "daemonUnavailable"
    /** The daemon went away before it answered. */
    | "connectionLost"
    /** The daemon is too old to bind a connection. */
    | "notBound"
    /** The request is longer than a message may be. */
    | "messageTooLong"
    /** The program did not take the events of a call. */
    | "eventsNotTaken"
    /** The agent waits for an approval or for consent. */
    | "agentAsks"
    /** The call was cancelled. */
    | "cancelled"
    /** The client was closed. */
    | "closed";

/** What is known of a failure besides its kind and message. */
export type ErrorDetails = { [K in keyof Omit<ErrorData, "kind" | "lastEvents">]?: ErrorData[K] | undefined };

/** LSP's code for a request that its caller cancelled. */
const CANCELLED = -32800;
/** vscode-jsonrpc's own codes for a connection that closed before the response was there. */
const LOST: readonly number[] = [
    ErrorCodes.MessageWriteError,
    ErrorCodes.PendingResponseRejected,
    ErrorCodes.ConnectionInactive,
];

/**
 * A call that did not succeed. Match on `kind`, which does not change between versions. Nothing in `message` acts on a
 * terminal that shows it.
 */
export class CupolaError extends Error {
    override readonly name: string = "CupolaError";
    /** What went wrong, in one word. A newer daemon may know more kinds. */
    readonly kind: ErrorKind | LocalKind | RunStatus | (string & {});
    /** What to do next. */
    readonly hint: string | undefined;
    /** Can the same call succeed later? If the call is an invoke, only when its turn did not run. */
    readonly retryable: boolean;
    /** Whether the turn ran, when an invoke failed. After `mayHaveRun`, find out before you send it again. */
    readonly turn: Turn | undefined;
    /** When to try again, in ms, if the service said so. */
    readonly retryAfterMs: number | undefined;
    /** The service's HTTP status. */
    readonly httpStatus: number | undefined;
    /** The service's own code. */
    readonly serviceCode: string | undefined;
    /** The service's request id, for its support. */
    readonly requestId: string | undefined;
    /** The values to choose from, if one must be named. */
    readonly choices: readonly string[];
    /** The run, if it had begun before the failure. */
    readonly runId: string | undefined;
    /** What happened before the failure, for example that a saved session was replaced. */
    readonly notices: readonly Notice[];

    constructor(kind: CupolaError["kind"], message: string, details: ErrorDetails = {}) {
        super(harmless(message));
        this.kind = kind;
        this.hint = details.hint === undefined ? undefined : harmless(details.hint);
        this.retryable = details.retryable ?? false;
        this.turn = details.turn;
        this.retryAfterMs = details.retryAfterMs;
        this.httpStatus = details.httpStatus;
        this.serviceCode = details.serviceCode;
        this.requestId = details.requestId;
        this.choices = details.choices ?? [];
        this.runId = details.runId;
        this.notices = details.notices ?? [];
    }

    /** Did the caller end it, by cancelling the call or by closing the client? Then there is nothing to report. */
    get isCancelled(): boolean {
        return this.kind === "cancelled" || this.kind === "closed";
    }

    /** One line for a notification or a log: the message, the hint and the kind. */
    get summary(): string {
        const hint = this.hint === undefined ? "" : ` Hint: ${this.hint}.`;
        return `${sentence(this.message)}${hint} (${this.kind})`;
    }

    /** Whatever was thrown, as a `CupolaError`. */
    static from(error: unknown): CupolaError {
        if (error instanceof CupolaError) {
            return error;
        }
        if (error instanceof ConnectionError) {
            return connectionLost();
        }
        if (error instanceof ResponseError) {
            return fromResponse(error as ResponseError<unknown>);
        }
        if (error instanceof Error && error.name === "AbortError") {
            return cancelled();
        }
        return new CupolaError("internalError", error instanceof Error ? error.message : String(error));
    }
}

/** A run that took place and did not complete. `kind` is its status. */
export class RunFailed extends CupolaError {
    override readonly name: string = "RunFailed";
    /** How the run ended. */
    readonly status: RunStatus;
    /** The answer, as far as it came. */
    readonly text: string;

    constructor(response: InvokeResponse) {
        const { status, text, runId, failure, notices } = response;
        super(status, failure?.message ?? `the run ended as ${status}`, {
            hint: failure?.hint,
            turn: failure?.turn,
            serviceCode: failure?.serviceCode,
            runId,
            notices,
        });
        this.status = status;
        this.text = text;
    }
}

/** The agent waits for an answer. After a consent, send the input again; answer an approval with `approval()`. */
export class AgentAsks extends CupolaError {
    override readonly name: string = "AgentAsks";
    /** What it asks. */
    readonly questions: readonly Question[];
    /** What it has said so far. */
    readonly text: string;

    constructor({ text, runId, notices }: InvokeResponse, questions: readonly Question[]) {
        const asked = questions.map(({ kind, tool }) =>
            kind === "approval" ? `to call the tool ${tool}` : "for consent",
        );
        super("agentAsks", `the agent asks ${asked.join(", ")} and waits for the answer`, { runId, notices });
        this.questions = questions;
        this.text = text;
    }
}

/** The caller ended the call. */
export function cancelled(): CupolaError {
    return new CupolaError("cancelled", "cancelled");
}

/** The daemon went away with the call unanswered. */
export function connectionLost(): CupolaError {
    return new CupolaError("connectionLost", "the connection to the Cupola daemon was lost", {
        hint: "try again: the next call connects again",
        retryable: true,
    });
}

/** The daemon went away after it was sent a turn. */
export function turnLost(): CupolaError {
    return new CupolaError(
        "connectionLost",
        "the connection to the Cupola daemon was lost before the answer was there",
        {
            hint:
                "the turn may have run; look before you send it again: the run is among the runs if the daemon is still " +
                "there, and the session's log shows what the agent did",
            turn: "mayHaveRun",
        },
    );
}

function fromResponse(error: ResponseError<unknown>): CupolaError {
    if (isErrorData(error.data)) {
        return new CupolaError(error.data.kind, error.message, error.data);
    }
    if (error.code === CANCELLED) {
        return new CupolaError("cancelled", error.message);
    }
    return LOST.includes(error.code) ? connectionLost() : new CupolaError("internalError", error.message);
}

function isErrorData(data: unknown): data is ErrorData {
    return typeof data === "object" && data !== null && "kind" in data && typeof data.kind === "string";
}

/** A message of the daemon has no full stop at its end. */
function sentence(text: string): string {
    const first = text.charAt(0).toUpperCase() + text.slice(1);
    return /[.!?]$/.test(first) ? first : `${first}.`;
}
