// The Sessions view: the sessions that the isolation in use can see.

import * as vscode from "vscode";
import { CupolaError, type Line } from "cupola-client";
import { sessionRows, type SessionRow } from "../model/sessions";
import type { Scope } from "../scope";
import * as show from "../show";
import { problemItem } from "./problemItem";

/** More than anybody looks through; the newest are listed. */
const MOST_SESSIONS = 200;

export class SessionsView implements vscode.TreeDataProvider<SessionRow | CupolaError>, vscode.Disposable {
    readonly #changed = new vscode.EventEmitter<void>();
    readonly onDidChangeTreeData = this.#changed.event;

    constructor(private readonly scope: Scope) {}

    refresh(): void {
        this.#changed.fire();
    }

    async getChildren(parent?: SessionRow | CupolaError): Promise<(SessionRow | CupolaError)[]> {
        if (parent !== undefined) {
            return [];
        }
        try {
            const line = await this.scope.line();
            const [list, current] = await Promise.all([
                line.request("sessions/list", { limit: MOST_SESSIONS, order: "desc" }),
                currentSession(line),
            ]);
            return sessionRows(list.data, current, Date.now());
        } catch (error) {
            const failure = CupolaError.from(error);
            return failure.isCancelled ? [] : [failure];
        }
    }

    getTreeItem(row: SessionRow | CupolaError): vscode.TreeItem {
        if (row instanceof CupolaError) {
            return problemItem(row);
        }
        const item = show.row({
            label: row.label,
            description: row.description,
            tooltip: row.details.map(([name, value]) => `${name}: ${value}`),
            spoken: `Session ${row.id}, ${row.status}, ${row.description}`,
        });
        item.id = row.id;
        item.contextValue = row.isCurrent ? "session.current" : "session";
        item.iconPath = new vscode.ThemeIcon(
            row.icon,
            row.color === undefined ? undefined : new vscode.ThemeColor(row.color),
        );
        item.command = { command: "cupola.sessions.showFiles", title: "Show Files", arguments: [row] };
        return item;
    }

    dispose(): void {
        this.#changed.dispose();
    }
}

/** The session that the next invoke continues, if there is one. */
export async function currentSession(line: Line): Promise<string | undefined> {
    return line.request("sessions/show", {}).then(
        (session) => session.agent_session_id,
        // None is saved, or it is gone.
        () => undefined,
    );
}
