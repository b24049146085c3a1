// The files of a session's home as documents of the editor: `cupola:/SESSION/path`. Saving one writes it in the session.
//
// Their bytes travel on the connection, so nothing of them is left on this machine's disk.

import * as vscode from "vscode";
import { CupolaError, exists, readFile, writeFile } from "cupola-client";
import { fileRow, fileRows, fromSegment, HOME, parent, toSegment } from "./model/files";
import { label } from "./model/harmless";
import type { Scope } from "./scope";

export const SCHEME = "cupola";

/** The document of a session's file. */
export function sessionFile(sessionId: string, path: string): vscode.Uri {
    return vscode.Uri.from({ scheme: SCHEME, path: `/${sessionId}/${path.split("/").map(toSegment).join("/")}` });
}

/** Which file of which session a document is. */
function parts(uri: vscode.Uri): { sessionId: string; path: string } {
    const [, sessionId = "", ...path] = uri.path.split("/");
    return { sessionId, path: path.map(fromSegment).join("/") || HOME };
}

export class SessionFiles implements vscode.FileSystemProvider, vscode.Disposable {
    readonly #changed = new vscode.EventEmitter<vscode.FileChangeEvent[]>();
    readonly onDidChangeFile = this.#changed.event;

    constructor(private readonly scope: Scope) {}

    /** The service does not report changes. */
    watch(): vscode.Disposable {
        return new vscode.Disposable(() => undefined);
    }

    /** Says that a document has changed, so that an open editor reads it again. */
    touched(uri: vscode.Uri, type: vscode.FileChangeType): void {
        this.#changed.fire([{ uri, type }]);
    }

    async stat(uri: vscode.Uri): Promise<vscode.FileStat> {
        const { sessionId, path } = parts(uri);
        if (path === HOME) {
            return { type: vscode.FileType.Directory, ctime: 0, mtime: 0, size: 0 };
        }
        const line = await this.scope.line();
        const entry = await line.request("files/stat", { sessionId, path }).catch(refuse(uri));
        const { isDirectory, modified, size } = fileRow(entry, parent(path));
        return {
            type: isDirectory ? vscode.FileType.Directory : vscode.FileType.File,
            ctime: 0,
            mtime: modified ?? 0,
            size,
        };
    }

    async readDirectory(uri: vscode.Uri): Promise<[string, vscode.FileType][]> {
        const { sessionId, path } = parts(uri);
        const line = await this.scope.line();
        const { entries } = await line.request("files/list", { sessionId, path }).catch(refuse(uri));
        return fileRows(entries, path).map((row) => [
            toSegment(row.name),
            row.isDirectory ? vscode.FileType.Directory : vscode.FileType.File,
        ]);
    }

    async readFile(uri: vscode.Uri): Promise<Uint8Array> {
        return readFile(await this.scope.line(), parts(uri)).catch(refuse(uri));
    }

    async writeFile(
        uri: vscode.Uri,
        content: Uint8Array,
        options: { create: boolean; overwrite: boolean },
    ): Promise<void> {
        if (!options.overwrite && (await this.#exists(uri))) {
            throw vscode.FileSystemError.FileExists(uri);
        }
        await writeFile(await this.scope.line(), parts(uri), content).catch(refuse(uri));
        this.touched(uri, vscode.FileChangeType.Changed);
    }

    async createDirectory(uri: vscode.Uri): Promise<void> {
        const line = await this.scope.line();
        await line.request("files/mkdir", parts(uri)).catch(refuse(uri));
        this.touched(uri, vscode.FileChangeType.Created);
    }

    async delete(uri: vscode.Uri, options: { recursive: boolean }): Promise<void> {
        const line = await this.scope.line();
        await line.request("files/delete", { ...parts(uri), recursive: options.recursive }).catch(refuse(uri));
        this.touched(uri, vscode.FileChangeType.Deleted);
    }

    rename(uri: vscode.Uri): never {
        throw vscode.FileSystemError.NoPermissions(
            label(`${uri.path}: the service cannot rename files; upload it under its new name`),
        );
    }

    dispose(): void {
        this.#changed.dispose();
    }

    /** Only the service's word that it is not there counts: anything else might overwrite a file. */
    async #exists(uri: vscode.Uri): Promise<boolean> {
        const { sessionId, path } = parts(uri);
        return exists(await this.scope.line(), { sessionId, path }).catch(refuse(uri));
    }
}

/** The editor treats a file that does not exist differently from one that cannot be read now. */
function refuse(uri: vscode.Uri): (error: unknown) => never {
    return (error) => {
        const failure = CupolaError.from(error);
        if (failure.kind === "notFound" || failure.kind === "sessionNotFound") {
            throw vscode.FileSystemError.FileNotFound(uri);
        }
        throw vscode.FileSystemError.Unavailable(label(failure.summary));
    };
}
