// The sessions as rows of a tree. Pure: from what the daemon says to what is shown.

import type { Session } from "cupola-client";

/** One row. */
export interface SessionRow {
    id: string;
    label: string;
    description: string;
    /** As the service says it. */
    status: string;
    /** A codicon's name and, where it says something, a theme colour. */
    icon: string;
    color: string | undefined;
    details: [name: string, value: string][];
    /** Does the next invoke continue it? */
    isCurrent: boolean;
}

/** Statuses and how they look. A newer service's own get the plain circle. */
const ICONS: Record<string, [icon: string, color?: string]> = {
    creating: ["loading~spin"],
    updating: ["loading~spin"],
    active: ["circle-filled", "charts.green"],
    idle: ["circle-outline", "charts.green"],
    failed: ["error", "charts.red"],
    deleting: ["trash"],
    deleted: ["trash"],
    expired: ["clock"],
};

/** How much of an id tells sessions apart in a narrow view. */
const SHORT_ID = 13;

/** The rows, the current session first, then as the daemon listed them. `now` is in ms since 1970. */
export function sessionRows(sessions: readonly Session[], current: string | undefined, now: number): SessionRow[] {
    const rows = sessions.map((session) => row(session, session.agent_session_id === current, now));
    return [...rows.filter((row) => row.isCurrent), ...rows.filter((row) => !row.isCurrent)];
}

function row(session: Session, isCurrent: boolean, now: number): SessionRow {
    const id = session.agent_session_id;
    const [icon, color] = ICONS[session.status ?? ""] ?? ["circle-outline"];
    const used = session.last_accessed_at ?? session.created_at;
    // What the icon says needs no words in a narrow view.
    const status = session.status === "active" ? undefined : session.status;
    const parts = [isCurrent ? "current" : undefined, status, used == null ? undefined : age(now - used * 1000)];
    return {
        id,
        label: shortId(id),
        description: parts.filter((part) => part !== undefined && part !== null).join(" · "),
        status: session.status ?? "",
        icon,
        color,
        details: details(session),
        isCurrent,
    };
}

/** A long id, cut at its end. */
export function shortId(id: string): string {
    return id.length > SHORT_ID + 1 ? `${id.slice(0, SHORT_ID)}…` : id;
}

function details(session: Session): [string, string][] {
    const time = (seconds: number | null | undefined) =>
        seconds == null ? undefined : new Date(seconds * 1000).toLocaleString();
    const all: [string, string | undefined][] = [
        ["Session", session.agent_session_id],
        ["Status", session.status ?? undefined],
        ["Version", session.version_indicator?.agent_version],
        ["Created", time(session.created_at)],
        ["Last used", time(session.last_accessed_at)],
        ["Expires", time(session.expires_at)],
    ];
    return all.filter((detail): detail is [string, string] => detail[1] !== undefined);
}

/** `just now`, `5 min ago`, `3 h ago`, `2 d ago`. */
export function age(milliseconds: number): string {
    const minutes = Math.floor(milliseconds / 60_000);
    if (minutes < 1) {
        return "just now";
    }
    if (minutes < 60) {
        return `${minutes} min ago`;
    }
    const hours = Math.floor(minutes / 60);
    return hours < 48 ? `${hours} h ago` : `${Math.floor(hours / 24)} d ago`;
}
