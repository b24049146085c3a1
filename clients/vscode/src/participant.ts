// `@cupola` in VS Code's own chat, where there is one: the agent answers there as it does in the panel.

import * as vscode from "vscode";
import { answer } from "./model/answer";
import type { Scope } from "./scope";

export function participant(extension: vscode.Uri, scope: Scope): vscode.Disposable {
    // Editors that are built on VS Code may leave its chat out.
    const chat = (vscode as { chat?: typeof vscode.chat }).chat;
    if (chat === undefined) {
        return new vscode.Disposable(() => undefined);
    }
    const agent = chat.createChatParticipant("cupola.agent", async (request, _context, stream, token) => {
        const cancel = new AbortController();
        const listening = token.onCancellationRequested(() => cancel.abort());
        try {
            return await answer(await scope.line(), request.prompt, stream, cancel.signal);
        } finally {
            listening.dispose();
        }
    });
    agent.iconPath = vscode.Uri.joinPath(extension, "media", "icon.png");
    return agent;
}
