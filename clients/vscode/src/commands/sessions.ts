// What can be done with a session: make one, continue in one, stop, delete, look into it.

import * as vscode from "vscode";
import type { SessionRow } from "../model/sessions";
import type { Problems } from "../problem";
import type { Scope } from "../scope";
import * as show from "../show";
import type { FilesView } from "../views/files";

export function sessionCommands(
    problems: Problems,
    scope: Scope,
    files: FilesView,
    refresh: () => void,
): vscode.Disposable[] {
    const changed = () => {
        files.choose(undefined);
        refresh();
    };
    return [
        problems.command("cupola.newSession", async () => {
            const line = await scope.line();
            const session = await line.request("sessions/create", {});
            changed();
            show.done(`Session ${session.agent_session_id} is the current one`);
        }),
        problems.command("cupola.sessions.use", async (row: SessionRow) => {
            const line = await scope.line();
            await line.request("sessions/use", { sessionId: row.id });
            changed();
        }),
        problems.command("cupola.sessions.stop", async (row: SessionRow) => {
            const line = await scope.line();
            await line.request("sessions/stop", { sessionId: row.id });
            refresh();
        }),
        problems.command("cupola.sessions.delete", async (row: SessionRow) => {
            const question = `Delete session ${row.id} and its files?`;
            if (await show.isConfirmed(question, "Delete")) {
                const line = await scope.line();
                await line.request("sessions/delete", { sessionId: row.id });
                changed();
            }
        }),
        problems.command("cupola.sessions.copyId", (row: SessionRow) => vscode.env.clipboard.writeText(row.id)),
        problems.command("cupola.sessions.showFiles", (row: SessionRow) => files.choose(row.id)),
    ];
}
