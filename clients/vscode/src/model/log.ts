// A session's log as lines of text. A log that is followed again after the daemon was away shows no line twice.

import type { MonitorEvent } from "cupola-client";

/** The most lines that the service repeats at the beginning of a log, and the number of lines that are remembered. */
const MOST_REPEATED = 300;

/** Turns the events of one session's log into lines. */
export class LogLines {
    readonly #shown = new Set<string>();

    /** The line to append; nothing for one that was shown before and for what has no text. */
    line(event: MonitorEvent): string | undefined {
        switch (event.type) {
            case "started":
                return undefined;
            case "session":
                return `${time(event.timestamp)}[session] ${event.state}${event.version == null ? "" : `, version ${event.version}`}`;
            case "line":
                return this.#isNew(event)
                    ? `${time(event.timestamp)}[${event.stream ?? "log"}] ${event.message}`
                    : undefined;
            case "raw":
                return event.data;
            case "notice":
                return `-- ${event.message}`;
            default:
                return undefined;
        }
    }

    /** A line without a time cannot be told from one with the same words. */
    #isNew(event: Extract<MonitorEvent, { type: "line" }>): boolean {
        if (event.timestamp == null || event.stream === "status") {
            return true;
        }
        const key = `${event.timestamp} ${event.stream ?? ""} ${event.message}`;
        if (this.#shown.has(key)) {
            return false;
        }
        this.#shown.add(key);
        for (const oldest of this.#shown) {
            if (this.#shown.size <= MOST_REPEATED) {
                break;
            }
            this.#shown.delete(oldest);
        }
        return true;
    }
}

/** The time of day, in the log's own clock (UTC). */
function time(timestamp: string | null | undefined): string {
    const found = /T(\d\d:\d\d:\d\d)/.exec(timestamp ?? "");
    return found === null ? "" : `${found[1]} `;
}
