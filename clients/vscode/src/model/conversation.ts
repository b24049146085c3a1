// The turns with an agent that this window has seen. In memory only: prompts and answers are not kept anywhere.

import { continued, CupolaError, type InvokeEvent, type InvokeResponse, type Line, type Question } from "cupola-client";
import { approval, consentLink, decision } from "./questions";
import { shortId } from "./sessions";
import { afterEvent, afterFailure, afterResponse, newTurn, type Turn } from "./turn";

/** The oldest turns are forgotten past this many; a panel with more is not read any more. */
const MOST_TURNS = 200;

/** The daemon's refusals of an answer to a question that is not open: it has an answer, or is not known any more. */
const NOT_OPEN: readonly (string | undefined)[] = ["conflict", "notFound"];

/** What a call that streams an answer is given. */
interface Following {
    signal: AbortSignal;
    onEvent: (event: InvokeEvent) => void;
}

export class Conversation {
    #turns: Turn[] = [];
    #nextId = 1;
    #startsConversation = false;
    readonly #running = new Map<number, AbortController>();
    readonly #listeners = new Set<(turn: Turn | undefined) => void>();

    get turns(): readonly Turn[] {
        return this.#turns;
    }

    get isRunning(): boolean {
        return this.#running.size > 0;
    }

    /** Calls `listener` with each turn that changes, or with nothing when all did. */
    onChange(listener: (turn: Turn | undefined) => void): () => void {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
    }

    /** Asks the line's agent, and gives the turn once it has ended: it never throws. `line` may still be on its way. */
    ask(line: Promise<Line>, question: string): Promise<Turn> {
        const newConversation = this.#startsConversation;
        this.#startsConversation = false;
        const params = { input: question, ...(newConversation && { newConversation }) };
        return this.#follow(newTurn(this.#nextId++, question), async (options) =>
            (await line).request("invoke", params, options),
        );
    }

    /**
     * Answers what the agent asked in a turn; nothing if it has an answer. The daemon sees to it that the first answer counts. If
     * the answer is not sent, the question can be answered again.
     */
    async answer(line: Promise<Line>, turnId: number, id: string, approve: boolean): Promise<Turn | undefined> {
        const turn = this.#turns.find((known) => known.id === turnId);
        const question = turn?.questions.find((open) => open.id === id && open.kind === "approval");
        if (turn === undefined || question === undefined) {
            return undefined;
        }
        this.#changed({ ...turn, questions: turn.questions.filter((open) => open !== question) });
        const answered = await this.decide(line, question, approve);
        const asking = this.#turns.find((known) => known.id === turnId);
        if (asking !== undefined && !answered.wasSent && !NOT_OPEN.includes(answered.problem?.kind)) {
            this.#changed({ ...asking, questions: [...asking.questions, question] });
        }
        return answered;
    }

    /** The same for a question that was shown elsewhere. */
    decide(line: Promise<Line>, question: Question, approve: boolean): Promise<Turn> {
        const params = { input: approval(question, approve) };
        return this.#follow(newTurn(this.#nextId++, decision(question, approve)), async (options) =>
            (await line).request("invoke", params, options),
        );
    }

    /** The link of a consent that a turn asks for. */
    link(turnId: number, id: string): string | undefined {
        const turn = this.#turns.find((known) => known.id === turnId);
        const question = turn?.questions.find((open) => open.id === id);
        return question === undefined ? undefined : consentLink(question);
    }

    /**
     * Shows what a run has said so far, and follows it: as `ask`, but cancelling leaves the run alone. A run that outlives its daemon is
     * followed on the next one, after the last event that was shown.
     */
    async attach(line: Promise<Line>, runId: string, name = shortId(runId)): Promise<void> {
        const isShown = this.#turns.some((turn) => turn.runId === runId && turn.status === "running");
        if (!isShown) {
            const turn = { ...newTurn(this.#nextId++, name, true), runId };
            await this.#follow(turn, async ({ onEvent, signal }) => {
                const { connection } = await line;
                const attach = continued(
                    connection,
                    (onEvent, signal) => connection.request("runs/attach", { runId }, { onEvent, signal }),
                    true,
                    { runId },
                );
                return attach(onEvent, signal);
            });
        }
    }

    async #follow(turn: Turn, call: (options: Following) => Promise<InvokeResponse>): Promise<Turn> {
        const cancel = new AbortController();
        this.#running.set(turn.id, cancel);
        this.#turns = [...this.#turns, turn].slice(-MOST_TURNS);
        this.#changed(turn);
        const onEvent = (event: InvokeEvent) => this.#changed((turn = afterEvent(turn, event)));
        try {
            turn = afterResponse(turn, await call({ signal: cancel.signal, onEvent }));
        } catch (error) {
            turn = afterFailure(turn, CupolaError.from(error));
        }
        this.#running.delete(turn.id);
        this.#changed(turn);
        return turn;
    }

    /** Cancels whatever is under way. */
    cancel(): void {
        for (const running of this.#running.values()) {
            running.abort();
        }
    }

    /** The next question starts a conversation, and the turns so far are not shown any more. */
    startAnew(): void {
        this.#startsConversation = true;
        this.forget();
    }

    /** Shows no turn that has ended: they belong to another agent or isolation. */
    forget(): void {
        this.#turns = this.#turns.filter((turn) => this.#running.has(turn.id));
        this.#changed(undefined);
    }

    #changed(turn: Turn | undefined): void {
        this.#turns = this.#turns.map((known) => (known.id === turn?.id ? turn : known));
        for (const listener of this.#listeners) {
            listener(turn);
        }
    }
}
