// The chat panel: a page that shows the conversation and takes questions. The page has no state that matters, so it can be
// hidden and shown again at any time.

import { randomBytes } from "node:crypto";
import * as vscode from "vscode";
import type { Conversation } from "../model/conversation";
import { describe } from "../model/isolation";
import { shortName } from "../model/target";
import type { Turn } from "../model/turn";
import type { Scope } from "../scope";
import { type FromPage, PAGE_COMMANDS, type ToPage, type Where } from "./messages";

/** Deltas that come faster than the eye are shown together. */
const FRAME_MS = 30;

export class ChatPanel implements vscode.Disposable {
    #panel: vscode.WebviewPanel | undefined;
    #isReady = false;
    readonly #waiting = new Map<number, Turn>();
    #timer: NodeJS.Timeout | undefined;
    readonly #subscriptions: vscode.Disposable[];

    constructor(
        private readonly extension: vscode.Uri,
        private readonly scope: Scope,
        private readonly conversation: Conversation,
    ) {
        const forget = conversation.onChange((turn) => this.#turnChanged(turn));
        this.#subscriptions = [
            new vscode.Disposable(forget),
            scope.onLine(() => this.#post({ type: "where", where: this.#where() })),
        ];
    }

    /** Shows the panel, beside the editor when it is new, without taking the focus from where one types. */
    show(preserveFocus: boolean): void {
        if (this.#panel === undefined) {
            this.#panel = this.#create(preserveFocus);
        } else {
            this.#panel.reveal(undefined, preserveFocus);
        }
    }

    dispose(): void {
        clearTimeout(this.#timer);
        this.#panel?.dispose();
        vscode.Disposable.from(...this.#subscriptions).dispose();
    }

    #create(preserveFocus: boolean): vscode.WebviewPanel {
        const roots = ["dist", "media"].map((name) => vscode.Uri.joinPath(this.extension, name));
        const options = { enableScripts: true, localResourceRoots: roots };
        const place = { viewColumn: vscode.ViewColumn.Beside, preserveFocus };
        const panel = vscode.window.createWebviewPanel("cupola.chat", "Cupola", place, options);
        panel.iconPath = vscode.Uri.joinPath(this.extension, "media", "icon.png");
        panel.webview.onDidReceiveMessage((message: FromPage) => this.#received(message));
        panel.onDidChangeViewState(() => (this.#isReady &&= panel.visible));
        panel.onDidDispose(() => {
            this.#panel = undefined;
            this.#isReady = false;
        });
        panel.webview.html = page(panel.webview, roots);
        return panel;
    }

    #received(message: FromPage): void {
        switch (message.type) {
            case "ready":
                this.#isReady = true;
                this.#postAll();
                break;
            case "ask":
                void this.conversation.ask(this.scope.line(), message.question);
                break;
            case "answer":
                void this.conversation.answer(this.scope.line(), message.turn, message.id, message.approve);
                break;
            case "open": {
                // The page names the question; its link is the one that the daemon gave. VS Code asks before it opens it.
                const link = this.conversation.link(message.turn, message.id);
                if (link !== undefined) {
                    void vscode.env.openExternal(vscode.Uri.parse(link, true));
                }
                break;
            }
            case "run":
                // The page is ours, but what it may run is decided here.
                if (PAGE_COMMANDS.includes(message.command)) {
                    void vscode.commands.executeCommand(message.command);
                }
        }
    }

    #turnChanged(turn: Turn | undefined): void {
        if (turn === undefined) {
            this.#waiting.clear();
            this.#postAll();
            return;
        }
        this.#waiting.set(turn.id, turn);
        this.#timer ??= setTimeout(() => {
            this.#timer = undefined;
            for (const changed of this.#waiting.values()) {
                this.#post({ type: "turn", turn: changed, running: this.conversation.isRunning });
            }
            this.#waiting.clear();
        }, FRAME_MS);
    }

    #postAll(): void {
        this.#post({
            type: "all",
            turns: this.conversation.turns,
            where: this.#where(),
            running: this.conversation.isRunning,
        });
    }

    /** A page that is hidden gets everything when it says that it is ready again. */
    #post(message: ToPage): void {
        if (this.#isReady) {
            void this.#panel?.webview.postMessage(message);
        }
    }

    #where(): Where {
        const line = this.scope.current;
        return line === undefined
            ? { agent: "…", isolation: "…" }
            : { agent: shortName(line.target), isolation: describe(line.isolation) };
    }
}

/** The page. Nothing runs or loads in it but the extension's own script and style. */
function page(webview: vscode.Webview, [dist, media]: vscode.Uri[]): string {
    const file = (directory: vscode.Uri | undefined, name: string) =>
        directory === undefined ? "" : webview.asWebviewUri(vscode.Uri.joinPath(directory, name)).toString();
    const nonce = randomBytes(16).toString("base64");
    const policy = `default-src 'none'; style-src ${webview.cspSource}; script-src 'nonce-${nonce}'`;
    return `<!DOCTYPE html>
<html lang="en">
<head>
    <meta charset="utf-8">
    <meta http-equiv="Content-Security-Policy" content="${policy}">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <link rel="stylesheet" href="${file(media, "chat.css")}">
    <title>Cupola</title>
</head>
<body>
    <header>
        <button id="agent" class="chip" title="Select another target"></button>
        <button id="isolation" class="chip" title="Switch isolation"></button>
        <div class="actions">
            <button id="new-conversation" class="quiet" title="The next question starts a conversation; the session stays">New conversation</button>
            <button id="new-session" class="quiet" title="Makes a session: a new sandbox with an empty home">New session</button>
        </div>
    </header>
    <main id="turns" role="log" aria-live="polite" aria-label="Conversation" tabindex="0"></main>
    <form id="form">
        <textarea id="question" rows="1" aria-label="Question" placeholder="Ask the agent (Shift+Enter: new line)"></textarea>
        <button id="send" type="submit">Send</button>
        <button id="stop" type="button" hidden>Stop</button>
    </form>
    <script nonce="${nonce}" src="${file(dist, "chat.js")}"></script>
</body>
</html>`;
}
