// What happens beside an answer: the model's reasoning and the agent's tool calls, from the service's own events. Pure.

/** One of them. */
export interface Aside {
    title: string;
    text: string;
}

/** Of one, in characters: the rest helps nobody in a chat. */
const MOST_SHOWN = 4000;

/** What an event of the service says beside the answer; nothing for most. */
export function aside(name: string | undefined, data: unknown): Aside | undefined {
    if (name === "response.reasoning_summary_text.done" || name === "response.reasoning_text.done") {
        const text = member(data, "text");
        return text === undefined ? undefined : { title: "Reasoning", text: cut(text) };
    }
    const item = name === "response.output_item.done" && isObject(data) ? data["item"] : undefined;
    const kind = member(item, "type") ?? "";
    if (!isObject(item) || !(kind.endsWith("_call") || kind.endsWith("_call_output"))) {
        return undefined;
    }
    const result = item["output"];
    const output = typeof result === "string" ? result : result == null ? undefined : JSON.stringify(result);
    const tool = member(item, "name") ?? kind.replace(/_call(_output)?$/, "");
    const title = kind.endsWith("_output") ? "Tool result" : `Tool: ${tool}`;
    return { title, text: cut([member(item, "arguments"), output].filter((text) => text !== undefined).join("\n")) };
}

function isObject(value: unknown): value is Record<string, unknown> {
    return typeof value === "object" && value !== null;
}

function member(value: unknown, name: string): string | undefined {
    const found = isObject(value) ? value[name] : undefined;
    return typeof found === "string" ? found : undefined;
}

function cut(text: string): string {
    return text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}…` : text;
}
