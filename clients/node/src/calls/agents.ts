// `agents/*`: the project's agents, as the service describes them.

import { Calls, type Options } from "../calls.js";
import type { AgentListResponse, AgentShowResponse } from "../protocol.js";

/** These calls read no user's state, so no isolation is sent. */
export class Agents extends Calls {
    /** The agents of the project that the client's target is in. */
    list({ signal, ...params }: Options<"agents/list"> = {}): Promise<AgentListResponse> {
        return this.plain("agents/list", { ...this.#agent(), ...params }, { signal });
    }

    /** The client's agent, and the version that its target selects. */
    show({ signal, ...params }: Options<"agents/show"> = {}): Promise<AgentShowResponse> {
        return this.plain("agents/show", { ...this.#agent(), ...params }, { signal });
    }

    #agent() {
        const { target } = this.line;
        return target === undefined ? {} : { target };
    }
}
