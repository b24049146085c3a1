// What an agent asks the person, in words, and the input that answers it. Pure.

import type { Input, Question } from "cupola-client";

/** What the agent wants, with everything that it wants to do. */
export function describe({ kind, tool, server, message }: Question): string {
    const of = server === undefined ? "" : ` of the server ${server}`;
    switch (kind) {
        case "approval":
            return `The agent asks to call the tool ${tool ?? "(not named)"}${of}.`;
        case "consent":
            return `The agent needs your consent${of}.${message === undefined ? "" : ` ${message}`}`;
        default:
            return "The agent waits for more information: answer with the next message.";
    }
}

/** What is shown as the person's side of an answer. */
export function decision({ tool }: Question, approve: boolean): string {
    return `${approve ? "Allow" : "Refuse"} ${tool ?? "the tool"} once`;
}

/** The input that answers an approval. */
export function approval({ id }: Question, approve: boolean): Input {
    return [{ type: "mcp_approval_response", approval_request_id: id, approve }];
}

/** The link to open for a consent, if it is one that may be opened. */
export function consentLink({ kind, url }: Question): string | undefined {
    return kind === "consent" && url?.startsWith("https://") === true ? url : undefined;
}
