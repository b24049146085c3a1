// Which agent: how a target is called in the interface, and what a person may type for one.

import type { Target } from "cupola-client";

/** What is meant when nothing is set and no project is open: the emulator needs no account. */
export const DEFAULT_TARGET: Target = { kind: "emulator" };
/** The emulated agent that is meant when none is named. */
const DEFAULT_EMULATED_AGENT = "notes";
/** Where an agent's container listens unless it is told otherwise. */
export const DEFAULT_LOCAL_PORT = 8088;

const KINDS: readonly string[] = [
    "emulator",
    "project",
    "agentEndpoint",
    "local",
    "directory",
] satisfies Target["kind"][];

/** A setting's value as a target. The daemon checks its fields; here only the kind is looked at. */
export function asTarget(value: unknown): Target | undefined {
    const isTarget =
        typeof value === "object" && value !== null && "kind" in value && KINDS.includes(String(value.kind));
    return isTarget ? (value as Target) : undefined;
}

/** A few words for the status bar. */
export function shortName(target: Target): string {
    const version = "version" in target && target.version !== undefined ? ` v${target.version}` : "";
    switch (target.kind) {
        case "emulator":
            return `${target.agent ?? DEFAULT_EMULATED_AGENT}${version} (emulator)`;
        case "project":
            return `${target.agent}${version}`;
        case "agentEndpoint":
            return `${agentOf(target.url) ?? target.url}${version}`;
        case "local":
            return `localhost:${target.port ?? DEFAULT_LOCAL_PORT}`;
        case "directory":
            return `${target.agent ?? lastSegment(target.path)}${version} (folder)`;
        case "gateway":
            return `${target.agent ?? "the agent"} (gateway)`;
    }
}

/** The whole of it, for tooltips and the status report. */
export function longName(target: Target): string {
    switch (target.kind) {
        case "emulator":
            return `agent ${target.agent ?? DEFAULT_EMULATED_AGENT} of ${target.url ?? "the daemon's own emulator"}`;
        case "project":
            return `agent ${target.agent} of ${target.endpoint}`;
        case "agentEndpoint":
            return target.url;
        case "local":
            return `the agent on this machine's port ${target.port ?? DEFAULT_LOCAL_PORT}`;
        case "directory":
            return `${target.agent ?? "the agent"} of the azd project around ${target.path}`;
        case "gateway":
            return `${target.agent ?? "the agent"} of the gateway`;
    }
}

/** The agent's name in an agent endpoint's URL. */
function agentOf(url: string): string | undefined {
    return /\/agents\/([^/?]+)/.exec(url)?.[1];
}

function lastSegment(path: string): string {
    return (
        path
            .split(/[\\/]/)
            .filter((segment) => segment !== "")
            .at(-1) ?? path
    );
}

/** What is wrong with a project endpoint, before the daemon is asked. */
export function problemWithEndpoint(text: string): string | undefined {
    return /^https:\/\/[^/?#@:]+\/api\/projects\/[^/?#@]+\/?$/.test(text)
        ? undefined
        : "It looks like https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT";
}

/** What is wrong with an agent endpoint, before the daemon is asked. */
export function problemWithAgentEndpoint(text: string): string | undefined {
    return /^https:\/\/[^/?#@:]+\/api\/projects\/[^/]+\/agents\/[^/]+\/endpoint\/protocols\//.test(text)
        ? undefined
        : "It looks like https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT/agents/AGENT/endpoint/protocols/PROTOCOL";
}

/** What is wrong with an agent's name. */
export function problemWithAgent(text: string): string | undefined {
    return /^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/.test(text)
        ? undefined
        : "1 to 63 letters, digits and hyphens, with a letter or digit at both ends";
}

/** What is wrong with a port. */
export function problemWithPort(text: string): string | undefined {
    return /^[1-9][0-9]{0,4}$/.test(text) && Number(text) <= 65_535 ? undefined : "A number from 1 to 65535";
}
