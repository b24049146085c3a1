// A line to one agent under one isolation: a connection, and the two parameters that every call on it carries.

import type { CallOptions, Connection, Method, Params, Result } from "./connection.js";
import type { Isolation, Target } from "./protocol.js";

/** The methods that read or change the state of a user of an agent. */
export type AgentMethod = { [M in Method]: "isolation" extends keyof Params<M> ? M : never }[Method];
/** What a method takes besides the agent and the isolation. */
export type OwnParams<M extends Method> = Omit<Params<M>, "target" | "isolation" | "partialResultToken">;

/** A line that may have no agent yet; the daemon refuses calls that need one. */
export type AnyLine = Line<Target | undefined>;

/** The isolation holds secrets: nothing that prints a line shows it. */
export class Line<T extends Target | undefined = Target> {
    readonly #target: T;
    readonly #isolation: Isolation;
    readonly #connection: Connection;

    constructor(target: T, isolation: Isolation, connection: Connection) {
        this.#target = target;
        this.#isolation = isolation;
        this.#connection = connection;
    }

    /** The agent. */
    get target(): T {
        return this.#target;
    }

    /** Whose state its calls see. */
    get isolation(): Isolation {
        return this.#isolation;
    }

    /** For calls that are not about one user's state. */
    get connection(): Connection {
        return this.#connection;
    }

    /** A call to the line's agent, under its isolation. A bound connection checks that both are its own. */
    request<M extends AgentMethod>(method: M, params: OwnParams<M>, options?: CallOptions<M>): Promise<Result<M>> {
        const whole = { target: this.target, isolation: this.isolation, ...params } as unknown as Params<M>;
        return this.connection.request(method, whole, options);
    }
}
