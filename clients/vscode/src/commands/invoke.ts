// Asking: from an input box or the editor's selection, the answer in the chat panel; and what else changes a conversation.

import * as vscode from "vscode";
import type { Question } from "cupola-client";
import { DECIDE } from "../model/answer";
import type { Conversation } from "../model/conversation";
import type { Problems } from "../problem";
import type { Scope } from "../scope";
import * as show from "../show";
import type { ChatPanel } from "../views/chat";

export function invokeCommands(
    problems: Problems,
    scope: Scope,
    conversation: Conversation,
    panel: ChatPanel,
): vscode.Disposable[] {
    const ask = (question: string) => {
        // The request leaves before the panel is drawn.
        void conversation.ask(scope.line(), question);
        panel.show(true);
    };
    return [
        problems.command("cupola.invoke", async (given?: unknown) => {
            const question = typeof given === "string" ? given : await questionFromBox();
            if (question !== undefined && question.trim() !== "") {
                ask(question);
            }
        }),
        problems.command("cupola.invokeSelection", () => {
            const text = selection();
            if (text === "") {
                show.information("Cupola: select the text to send first.");
            } else {
                ask(text);
            }
        }),
        problems.command(DECIDE, (question?: unknown, approve?: unknown) => {
            // From a button of VS Code's own chat; the answer is shown in the panel.
            if (isQuestion(question) && typeof approve === "boolean") {
                void conversation.decide(scope.line(), question, approve);
                panel.show(true);
            }
        }),
        problems.command("cupola.showChat", () => panel.show(false)),
        problems.command("cupola.cancel", () => conversation.cancel()),
        problems.command("cupola.newConversation", () => {
            conversation.startAnew();
            panel.show(false);
        }),
        new vscode.Disposable(
            conversation.onChange(() =>
                vscode.commands.executeCommand("setContext", "cupola.running", conversation.isRunning),
            ),
        ),
        // With another agent or isolation the previous message must not be offered again.
        scope.onLine(() => conversation.forget()),
    ];
}

function isQuestion(given: unknown): given is Question {
    return typeof given === "object" && given !== null && "id" in given && typeof given.id === "string";
}

function questionFromBox(): Thenable<string | undefined> {
    const selected = selection();
    return show.input({
        title: "Cupola: Invoke",
        prompt: "What to ask the agent",
        placeHolder: "remember the launch code is 4711",
        // The box holds one line only; another command takes several.
        ...(selected !== "" && !selected.includes("\n") && { value: selected }),
    });
}

function selection(): string {
    const editor = vscode.window.activeTextEditor;
    return editor?.document.getText(editor.selection).trim() ?? "";
}
