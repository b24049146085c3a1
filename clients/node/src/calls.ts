// What the groups of methods share: a line, and options in the words of the protocol plus a signal.
//
// `agents`, `auth`, `daemon`, `files`, `partitions`, `runs` and `sessions` are one group each, with the names of the protocol.

import type { Method, Params, Result } from "./connection.js";
import type { AgentMethod, AnyLine, OwnParams } from "./line.js";

/** What every call may add. */
export interface Signal {
    /** Cancels the call at the daemon. */
    signal?: AbortSignal | undefined;
}

/** The parameters of a method that the caller may set, except those that are arguments of their own. */
export type Options<M extends Method, Named extends string = never> = Omit<OwnParams<M>, Named> & Signal;

/** A group of methods. */
export class Calls {
    readonly #line: AnyLine;

    constructor(line: AnyLine) {
        this.#line = line;
    }

    /** The line that the calls use. */
    protected get line(): AnyLine {
        return this.#line;
    }

    /** A call for the line's agent and isolation. */
    protected scoped<M extends AgentMethod>(method: M, options: OwnParams<M> & Signal): Promise<Result<M>> {
        const { signal, ...params } = options;
        return this.#line.request(method, params as unknown as OwnParams<M>, { signal });
    }

    /** A call for the place where the line's agent is. It names no isolation: that belongs to one agent. */
    protected ofPlace<M extends "runs/list" | "partitions/list">(
        method: M,
        { signal, ...params }: Options<M>,
    ): Promise<Result<M>> {
        const whole = { target: this.line.target, ...params } as unknown as Params<M>;
        return this.line.connection.request(method, whole, { signal });
    }

    /** A call that is not about one user's state. */
    protected plain<M extends Method>(method: M, params: Params<M>, { signal }: Signal): Promise<Result<M>> {
        return this.#line.connection.request(method, params, { signal });
    }
}
