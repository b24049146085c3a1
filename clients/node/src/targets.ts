// Which agent a call goes to: one small function per kind of target.

import { resolve } from "node:path";
import type { Target } from "./protocol.js";

type Of<K extends Target["kind"]> = Extract<Target, { kind: K }>;
type More<K extends Target["kind"], Named extends string = never> = Omit<Of<K>, "kind" | Named>;

/** The emulator inside the daemon, or the one that listens at `url`. */
export function emulator(agent?: string, more: More<"emulator", "agent"> = {}): Of<"emulator"> {
    return { kind: "emulator", ...(agent !== undefined && { agent }), ...more };
}

/** A deployed agent of a Foundry project. */
export function project(endpoint: string, agent: string, more?: More<"project", "endpoint" | "agent">): Of<"project"> {
    return { kind: "project", endpoint, agent, ...more };
}

/** A deployed agent by its own URL. */
export function agentEndpoint(url: string, more?: More<"agentEndpoint", "url">): Of<"agentEndpoint"> {
    return { kind: "agentEndpoint", url, ...more };
}

/** An agent's container on this machine. */
export function local(port = 8088, more?: More<"local", "port">): Of<"local"> {
    return { kind: "local", port, ...more };
}

/** The agent of the azd project at or above `path`, by default the working directory. */
export function directory(path = ".", more?: More<"directory", "path">): Of<"directory"> {
    return { kind: "directory", path: resolve(path), ...more };
}
