// The Files view: what is in the home of one session, the current one unless another was chosen.

import * as vscode from "vscode";
import { CupolaError } from "cupola-client";
import { sessionFile } from "../filesystem";
import { type FileRow, fileRows, HOME } from "../model/files";
import { shortId } from "../model/sessions";
import type { Scope } from "../scope";
import * as show from "../show";
import { problemItem } from "./problemItem";
import { currentSession } from "./sessions";

/** A row, and the session it is in. */
export interface FileNode extends FileRow {
    sessionId: string;
}

export class FilesView implements vscode.TreeDataProvider<FileNode | CupolaError>, vscode.Disposable {
    readonly #changed = new vscode.EventEmitter<void>();
    readonly #title = new vscode.EventEmitter<string | undefined>();
    #chosen: string | undefined;
    readonly onDidChangeTreeData = this.#changed.event;
    /** Which session is shown, in few words; nothing when there is none. */
    readonly onTitle = this.#title.event;

    constructor(private readonly scope: Scope) {}

    refresh(): void {
        this.#changed.fire();
    }

    /** Shows this session's files; the current session's without one. */
    choose(sessionId: string | undefined): void {
        this.#chosen = sessionId;
        this.refresh();
    }

    /** The session whose files are shown. */
    async session(): Promise<string | undefined> {
        return this.#chosen ?? currentSession(await this.scope.line());
    }

    async getChildren(parent?: FileNode | CupolaError): Promise<(FileNode | CupolaError)[]> {
        if (parent instanceof CupolaError) {
            return [];
        }
        try {
            const sessionId = parent?.sessionId ?? (await this.session());
            if (parent === undefined) {
                this.#title.fire(sessionId && shortId(sessionId));
            }
            return sessionId === undefined ? [] : await this.#list(sessionId, parent?.path ?? HOME);
        } catch (error) {
            const failure = CupolaError.from(error);
            return failure.isCancelled ? [] : [failure];
        }
    }

    getTreeItem(node: FileNode | CupolaError): vscode.TreeItem {
        if (node instanceof CupolaError) {
            return problemItem(node);
        }
        const uri = sessionFile(node.sessionId, node.path);
        const state = node.isDirectory
            ? vscode.TreeItemCollapsibleState.Collapsed
            : vscode.TreeItemCollapsibleState.None;
        const changed = node.modified === undefined ? [] : [`Changed ${new Date(node.modified).toLocaleString()}`];
        const tooltip = [node.path, ...changed];
        const item = show.row({ label: node.name, description: node.description, tooltip, state });
        item.id = uri.toString();
        // The theme's own icons, chosen by the name.
        item.resourceUri = uri;
        item.iconPath = node.isDirectory ? vscode.ThemeIcon.Folder : vscode.ThemeIcon.File;
        item.contextValue = node.isDirectory ? "directory" : "file";
        if (!node.isDirectory) {
            item.command = { command: "cupola.files.open", title: "Open", arguments: [node] };
        }
        return item;
    }

    dispose(): void {
        vscode.Disposable.from(this.#changed, this.#title).dispose();
    }

    async #list(sessionId: string, path: string): Promise<FileNode[]> {
        const line = await this.scope.line();
        const { entries } = await line.request("files/list", { sessionId, ...(path !== HOME && { path }) });
        return fileRows(entries, path).map((row) => ({ ...row, sessionId }));
    }
}
