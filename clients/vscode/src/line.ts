// A line to one agent under one isolation: a client, and the two parameters that every call on it carries.

import type { CallOptions, Client, Method, Params, Result } from "./client";
import type { Isolation, Target } from "./protocol";

/** The methods that are about an agent. */
type AgentMethod = { [M in Method]: Params<M> extends { target?: Target; isolation?: Isolation } ? M : never }[Method];
type OwnParams<M extends Method> = Omit<Params<M>, "target" | "isolation" | "partialResultToken">;

export class Line {
    constructor(
        readonly target: Target,
        readonly isolation: Isolation,
        readonly client: Client,
    ) {}

    /** A call to the line's agent, under its isolation. */
    request<M extends AgentMethod>(method: M, params: OwnParams<M>, options?: CallOptions<M>): Promise<Result<M>> {
        // A bound connection knows both already; another one, or a daemon that is too old to bind, does not.
        const whole = { target: this.target, isolation: this.isolation, ...params } as unknown as Params<M>;
        return this.client.request(method, whole, options);
    }
}
