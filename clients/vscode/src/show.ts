// The only place that hands text to VS Code's interface: notifications, questions, rows, lists to choose from, output. All of
// it goes through `label` or `text`, because most of it holds words of the service or an agent. A test keeps other files
// from VS Code's own functions.

import * as vscode from "vscode";
import { label, line, text } from "./model/harmless";

/** How long a remark stays in the status bar. */
const REMARK_MS = 5_000;

export function error(message: string, ...actions: string[]): Thenable<string | undefined> {
    return vscode.window.showErrorMessage(label(message), ...actions);
}

export function warning(message: string, ...actions: string[]): Thenable<string | undefined> {
    return vscode.window.showWarningMessage(label(message), ...actions);
}

export function information(message: string): void {
    void vscode.window.showInformationMessage(label(message));
}

/** Asks before something that cannot be undone. */
export async function isConfirmed(question: string, action: string): Promise<boolean> {
    return (await vscode.window.showWarningMessage(label(question), { modal: true }, action)) === action;
}

/** Says that something is done, in the status bar. */
export function done(message: string): void {
    vscode.window.setStatusBarMessage(`$(check) ${label(message)}`, REMARK_MS);
}

/** Shows how far a piece of work is, until it ends or is cancelled. */
export function progress<T>(
    title: string,
    cancel: () => void,
    work: (report: (message: string) => void) => Promise<T>,
): Thenable<T> {
    const how = { location: vscode.ProgressLocation.Notification, title: label(title), cancellable: true };
    return vscode.window.withProgress(how, (progress, token) => {
        token.onCancellationRequested(cancel);
        return work((message) => progress.report({ message: label(message) }));
    });
}

/** What is shown of a row of a tree. */
export interface Row {
    label: string;
    description?: string;
    /** Lines. */
    tooltip: readonly string[];
    /** For screen readers, when the label alone does not say enough. */
    spoken?: string;
    state?: vscode.TreeItemCollapsibleState;
}

/** A row of a tree. Its text is set here; icons and commands are the caller's. */
export function row(row: Row): vscode.TreeItem {
    const item = new vscode.TreeItem(label(row.label), row.state);
    item.description = label(row.description ?? "");
    item.tooltip = row.tooltip.map(label).join("\n");
    if (row.spoken !== undefined) {
        item.accessibilityInformation = { label: label(row.spoken) };
    }
    return item;
}

/** Lets the user choose one of these names. */
export async function pickName(
    names: Thenable<readonly string[]>,
    options: { title: string },
): Promise<string | undefined> {
    const rows = names.then((all) => all.map((name) => ({ label: label(name), name })));
    const picked = await vscode.window.showQuickPick(rows, { title: label(options.title), ignoreFocusOut: true });
    return picked?.name;
}

/** Lets the user choose a row. Icons in the rows come from the extension, so callers use `label` for everything else. */
export function pick<T extends vscode.QuickPickItem>(
    rows: readonly T[],
    options: { title: string; placeHolder: string },
): Thenable<T | undefined> {
    const { title, placeHolder } = options;
    const shown = { title: label(title), placeHolder: label(placeHolder), ignoreFocusOut: true };
    return vscode.window.showQuickPick(rows, shown);
}

/** Lets the user type something. */
export function input(options: vscode.InputBoxOptions): Thenable<string | undefined> {
    const { title = "", prompt, placeHolder } = options;
    return vscode.window.showInputBox({
        // What is half typed is not lost to something else that takes the focus.
        ignoreFocusOut: true,
        ...options,
        title: label(title),
        ...(prompt !== undefined && { prompt: label(prompt) }),
        ...(placeHolder !== undefined && { placeHolder: label(placeHolder) }),
    });
}

/** The extension's own log, in an output channel. Each entry is one line. */
export class Log implements vscode.Disposable {
    readonly #channel = vscode.window.createOutputChannel("Cupola", { log: true });

    write(level: "debug" | "info" | "warn" | "error", entry: string): void {
        this.#channel[level](line(entry));
    }

    show(): void {
        this.#channel.show(true);
    }

    dispose(): void {
        this.#channel.dispose();
    }
}

/** An output channel with an agent's lines. Further lines of an entry are indented, so that none passes for another entry. */
export class Lines implements vscode.Disposable {
    readonly #channel: vscode.OutputChannel;

    constructor(name: string) {
        this.#channel = vscode.window.createOutputChannel(name, "log");
    }

    append(entry: string): void {
        this.#channel.appendLine(text(entry).trimEnd().replaceAll("\n", "\n    "));
    }

    /** Shows it, empty. */
    begin(): void {
        this.#channel.clear();
        this.#channel.show(true);
    }

    dispose(): void {
        this.#channel.dispose();
    }
}
