// The turns with an agent that this window has seen. In memory only: prompts and answers are not kept anywhere.

import { Failure } from "../failure";
import type { Line } from "../line";
import type { InvokeEvent } from "../protocol";
import { afterEvent, afterFailure, afterResponse, newTurn, type Turn } from "./turn";

/** The oldest turns are forgotten past this many; a panel with more is not read any more. */
const MOST_TURNS = 200;

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
    async ask(line: Promise<Line>, question: string, signal?: AbortSignal): Promise<Turn> {
        let turn = newTurn(this.#nextId++, question);
        const newConversation = this.#startsConversation;
        this.#startsConversation = false;
        const cancel = new AbortController();
        const abort = () => cancel.abort();
        signal?.addEventListener("abort", abort);
        this.#running.set(turn.id, cancel);
        this.#turns = [...this.#turns, turn].slice(-MOST_TURNS);
        this.#changed(turn);
        const onEvent = (event: InvokeEvent) => this.#changed((turn = afterEvent(turn, event)));
        try {
            const params = { input: question, textOnly: true, ...(newConversation && { newConversation }) };
            const response = await (await line).request("invoke", params, { signal: cancel.signal, onEvent });
            turn = afterResponse(turn, response);
        } catch (error) {
            turn = afterFailure(turn, Failure.from(error));
        }
        signal?.removeEventListener("abort", abort);
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
