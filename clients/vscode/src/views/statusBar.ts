// The status bar: which agent, under which isolation, and whether the daemon is there. Keys are masked.

import * as vscode from "vscode";
import type { State } from "cupola-client";
import { label } from "../model/harmless";
import { describe, FIELDS, shown } from "../model/isolation";
import { longName, shortName } from "../model/target";
import type { Scope } from "../scope";

const STATES: Record<State, [icon: string, words: string]> = {
    idle: ["flame", "not connected yet: the first call connects"],
    connected: ["flame", "connected"],
    lost: ["debug-disconnect", "the daemon is away: the next call starts it"],
    closed: ["flame", "not connected"],
};

/** The tooltip's links may run these. */
const COMMANDS = ["cupola.selectTarget", "cupola.switchIsolation", "cupola.showStatus"];

export class StatusBar implements vscode.Disposable {
    readonly #item = vscode.window.createStatusBarItem("cupola.scope", vscode.StatusBarAlignment.Left, 10);
    readonly #subscriptions: vscode.Disposable[];

    constructor(private readonly scope: Scope) {
        this.#item.name = "Cupola";
        this.#item.command = "cupola.switchIsolation";
        this.#subscriptions = [scope.onLine(() => this.#show()), scope.onState(() => this.#show())];
        this.#show();
        this.#item.show();
    }

    dispose(): void {
        vscode.Disposable.from(this.#item, ...this.#subscriptions).dispose();
    }

    #show(): void {
        const line = this.scope.current;
        if (line === undefined) {
            this.#item.text = "$(flame) Cupola";
            return;
        }
        const [icon, words] = STATES[line.connection.state];
        const isolation = describe(line.isolation);
        this.#item.text = `$(${icon}) ${label(`${shortName(line.target)} · ${isolation}`)}`;
        this.#item.accessibilityInformation = {
            label: label(`Cupola: ${longName(line.target)}, ${isolation}, ${words}`),
            role: "button",
        };
        this.#item.tooltip = this.#tooltip(words);
    }

    #tooltip(state: string): vscode.MarkdownString {
        const { target, isolation } = this.scope.current ?? { target: undefined, isolation: {} };
        const text = new vscode.MarkdownString(undefined, true);
        text.isTrusted = { enabledCommands: COMMANDS };
        text.appendMarkdown("**Cupola**\n\n").appendText(target === undefined ? "" : label(longName(target)));
        for (const field of FIELDS) {
            text.appendMarkdown(`\n\n$(${field.icon}) ${field.label}: `).appendText(
                label(shown(field, isolation) ?? "not set"),
            );
        }
        text.appendMarkdown("\n\n").appendText(state);
        return text.appendMarkdown(
            "\n\n[Switch isolation](command:cupola.switchIsolation) · [Select target](command:cupola.selectTarget) · [Status](command:cupola.showStatus)",
        );
    }
}
