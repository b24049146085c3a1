// Runs as rows of a tree: answers that are under way or ended recently, of all clients. Pure: from what the daemon says to what
// is shown.

import type { Latency, RunInfo, RunState } from "cupola-client";
import { age, shortId } from "./sessions";

/** One row. */
export interface RunRow {
    id: string;
    label: string;
    description: string;
    /** A codicon's name and, where it says something, a theme colour. */
    icon: string;
    color: string | undefined;
    details: [name: string, value: string][];
    isRunning: boolean;
}

/** States and how they look. A newer daemon's own get the plain circle. */
const ICONS: Partial<Record<RunState, [icon: string, color?: string]>> = {
    running: ["loading~spin"],
    completed: ["pass", "charts.green"],
    failed: ["error", "charts.red"],
    incomplete: ["warning", "charts.yellow"],
    truncated: ["warning", "charts.yellow"],
    cancelled: ["circle-slash"],
};

/** The rows, in the daemon's order: newest first. `now` is in ms since 1970. */
export function runRows(runs: readonly RunInfo[], now: number): RunRow[] {
    return runs.map((run) => {
        const [icon, color] = ICONS[run.status] ?? ["circle-outline"];
        const remark = run.status === "running" && run.detached ? ["detached"] : [];
        return {
            id: run.runId,
            label: run.status,
            description: [age(now - Date.parse(run.startedAt)), ...remark, shortId(run.runId)].join(" · "),
            icon,
            color,
            details: details(run),
            isRunning: run.status === "running",
        };
    });
}

function latency({ responseBeginMs, sessionStart }: Latency): string {
    return [`${responseBeginMs} ms`, ...(sessionStart ? [sessionStart] : [])].join(" · ");
}

function details(run: RunInfo): [string, string][] {
    const time = (text: string | undefined) => text && new Date(text).toLocaleString();
    const all: [string, string | undefined][] = [
        ["Run", run.runId],
        ["Began", time(run.startedAt)],
        ["Ended", time(run.endedAt)],
        ["Session", run.sessionId],
        ["Version", run.agentVersion],
        ["Answer began after", run.latency?.responseBeginMs === undefined ? undefined : latency(run.latency)],
    ];
    return all.filter((detail): detail is [string, string] => detail[1] !== undefined);
}
