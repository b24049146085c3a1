// One question and its answer, as the chat panel shows them. Pure: events in, what is shown out.

import type { CupolaError, InvokeEvent, InvokeResponse, Question, RunState } from "cupola-client";

/** The status of an answer: its run's status, or no longer followed while the run continues. */
export type TurnStatus = RunState | "left";

/** What is shown of one turn. */
export interface Turn {
    id: number;
    question: string;
    /** Was the run started elsewhere, so that it continues without this turn? */
    isAttached: boolean;
    /** The answer so far. */
    text: string;
    status: TurnStatus;
    notices: string[];
    /** What the agent asked and nobody here has answered yet. */
    questions: Question[];
    /** Why there is no whole answer. */
    problem: { message: string; hint?: string; kind: string } | undefined;
    runId: string | undefined;
    sessionId: string | undefined;
    conversationId: string | undefined;
    durationMs: number | undefined;
}

/** What the words of an ending are when the agent gives none. */
const ENDINGS: Partial<Record<TurnStatus, string>> = {
    failed: "The agent failed.",
    incomplete: "The agent stopped before its answer was complete.",
    truncated: "The answer was cut off: the stream ended without an ending.",
};

export function newTurn(id: number, question: string, isAttached = false): Turn {
    const ids = { runId: undefined, sessionId: undefined, conversationId: undefined };
    const nothing = { text: "", notices: [], questions: [], problem: undefined, durationMs: undefined };
    return { id, question, isAttached, status: "running", ...ids, ...nothing };
}

/** The turn after an event. Events of types a newer daemon added change nothing. */
export function afterEvent(turn: Turn, event: InvokeEvent): Turn {
    switch (event.type) {
        case "started":
            return { ...turn, runId: event.runId, sessionId: event.sessionId, conversationId: event.conversationId };
        case "textDelta":
            return { ...turn, text: turn.text + event.delta };
        case "snapshot":
            return { ...turn, text: event.text };
        case "notice":
            return { ...turn, notices: [...turn.notices, event.message] };
        default:
            return turn;
    }
}

/** The turn once its response is there, which is complete in itself. */
export function afterResponse(turn: Turn, response: InvokeResponse): Turn {
    const { failure, status } = response;
    // An answer that waits for the person is not cut short.
    const waits = status === "incomplete" && (response.questions ?? []).length > 0;
    const words = waits ? undefined : (failure?.message ?? ENDINGS[status]);
    return {
        ...turn,
        text: response.text,
        status,
        notices: (response.notices ?? []).map((notice) => notice.message),
        questions: response.questions ?? [],
        problem: words === undefined ? undefined : problem(words, failure?.kind ?? status, failure?.hint),
        runId: response.runId,
        sessionId: response.sessionId ?? turn.sessionId,
        conversationId: response.conversationId ?? turn.conversationId,
        durationMs: response.durationMs,
    };
}

/** The turn when there is no response. */
export function afterFailure(turn: Turn, failure: CupolaError): Turn {
    if (failure.isCancelled) {
        return { ...turn, status: turn.isAttached ? "left" : "cancelled" };
    }
    return { ...turn, status: "failed", problem: problem(failure.message, failure.kind, failure.hint) };
}

function problem(message: string, kind: string, hint: string | undefined): NonNullable<Turn["problem"]> {
    return hint === undefined ? { message, kind } : { message, kind, hint };
}
