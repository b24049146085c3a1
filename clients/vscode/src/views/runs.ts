// The Runs view: answers of this isolation that are under way or ended recently, of all clients.

import * as vscode from "vscode";
import { CupolaError } from "cupola-client";
import { runRows, type RunRow } from "../model/runs";
import type { Scope } from "../scope";
import * as show from "../show";
import { problemItem } from "./problemItem";

/** While something is under way, the daemon is asked this often how it is. */
const NEWS_MS = 2_000;

export class RunsView implements vscode.TreeDataProvider<RunRow | CupolaError>, vscode.Disposable {
    readonly #changed = new vscode.EventEmitter<void>();
    readonly onDidChangeTreeData = this.#changed.event;
    readonly #tree: vscode.TreeView<RunRow | CupolaError>;
    #timer: NodeJS.Timeout | undefined;

    /** `isAsking` says that an answer is awaited here, which may be no run yet. */
    constructor(
        private readonly scope: Scope,
        private readonly isAsking: () => boolean,
    ) {
        this.#tree = vscode.window.createTreeView("cupola.runs", { treeDataProvider: this });
    }

    refresh(): void {
        clearTimeout(this.#timer);
        this.#changed.fire();
    }

    async getChildren(parent?: RunRow | CupolaError): Promise<(RunRow | CupolaError)[]> {
        if (parent !== undefined) {
            return [];
        }
        try {
            const line = await this.scope.line();
            const rows = runRows((await line.request("runs/list", {})).runs, Date.now());
            if (this.isAsking() || rows.some((row) => row.isRunning)) {
                this.#lookAgain();
            }
            return rows;
        } catch (error) {
            const failure = CupolaError.from(error);
            return failure.isCancelled ? [] : [failure];
        }
    }

    getTreeItem(row: RunRow | CupolaError): vscode.TreeItem {
        if (row instanceof CupolaError) {
            return problemItem(row);
        }
        const item = show.row({
            label: row.label,
            description: row.description,
            tooltip: row.details.map(([name, value]) => `${name}: ${value}`),
            spoken: `Run ${row.id}, ${row.label}, ${row.description}`,
        });
        item.id = row.id;
        item.contextValue = row.isRunning ? "run.running" : "run";
        item.iconPath = new vscode.ThemeIcon(
            row.icon,
            row.color === undefined ? undefined : new vscode.ThemeColor(row.color),
        );
        item.command = { command: "cupola.runs.attach", title: "Show Answer", arguments: [row] };
        return item;
    }

    dispose(): void {
        clearTimeout(this.#timer);
        vscode.Disposable.from(this.#tree, this.#changed).dispose();
    }

    /** Only while somebody looks. */
    #lookAgain(): void {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#tree.visible && this.refresh(), NEWS_MS);
    }
}
