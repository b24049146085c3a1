// What can be done with a run: show its answer so far and follow it, cancel it.

import type * as vscode from "vscode";
import type { Conversation } from "../model/conversation";
import type { RunRow } from "../model/runs";
import type { Problems } from "../problem";
import type { Scope } from "../scope";
import type { ChatPanel } from "../views/chat";
import type { RunsView } from "../views/runs";

export function runCommands(
    problems: Problems,
    scope: Scope,
    view: RunsView,
    conversation: Conversation,
    panel: ChatPanel,
): vscode.Disposable[] {
    return [
        problems.command("cupola.runs.attach", (row: RunRow) => {
            void conversation.attach(scope.line(), row.id);
            panel.show(true);
        }),
        problems.command("cupola.runs.cancel", async (row: RunRow) => {
            const line = await scope.line();
            await line.connection.request("runs/cancel", { runId: row.id });
            view.refresh();
        }),
    ];
}
