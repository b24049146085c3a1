// What can be done with files and directories: upload, download, open, make, delete.

import { realpath } from "node:fs/promises";
import { basename, dirname, join as joinLocal } from "node:path";
import * as vscode from "vscode";
import { CupolaError } from "cupola-client";
import { sessionFile } from "../filesystem";
import { HOME, isPlainName, join } from "../model/files";
import { line } from "../model/harmless";
import type { Problems } from "../problem";
import type { Scope } from "../scope";
import { exists } from "../settings";
import * as show from "../show";
import type { FileNode, FilesView } from "../views/files";
import { transfer } from "./transfers";

export function fileCommands(problems: Problems, scope: Scope, view: FilesView): vscode.Disposable[] {
    const upload = async (files: vscode.Uri[], directory: string) => {
        if (files.length === 0) {
            return;
        }
        const sessionId = await sessionOf(view);
        try {
            for (const file of files) {
                const name = basename(file.path);
                const from = await withoutLinks(localPath(file));
                const params = { sessionId, localPath: from, path: join(directory, name), recursive: true };
                await scope.transferring("files/upload", dirname(from), (line) =>
                    transfer(problems, line, "files/upload", params, `Uploading ${name}`),
                );
            }
        } finally {
            view.refresh();
        }
    };
    /** A click beside a file means the whole workspace to the Explorer: directories are asked about. */
    const uploadSelected = async (files: vscode.Uri[]) => {
        const kinds = await Promise.all(files.map((file) => vscode.workspace.fs.stat(file)));
        const directories = files.filter((_, index) => (kinds[index]?.type ?? 0) & vscode.FileType.Directory);
        const names = directories.map((directory) => basename(directory.path)).join(", ");
        const question = `Upload ${names} and everything in it?`;
        const isMeant = directories.length === 0 || (await show.isConfirmed(question, "Upload"));
        if (isMeant) {
            await upload(files, HOME);
        }
    };
    const remove = async (node: FileNode) => {
        const what = node.isDirectory ? `directory ${node.path} and everything in it` : node.path;
        if (await show.isConfirmed(`Delete ${what}?`, "Delete")) {
            await vscode.workspace.fs.delete(sessionFile(node.sessionId, node.path), { recursive: node.isDirectory });
        }
    };
    return [
        // From the Files view with a directory or nothing; from the Explorer with what was clicked, and all that is
        // selected if that is among it.
        problems.command(
            "cupola.files.upload",
            async (from?: FileNode | vscode.Uri, selected?: (FileNode | vscode.Uri)[]) => {
                if (from instanceof vscode.Uri) {
                    const given = (selected ?? []).filter((one) => one instanceof vscode.Uri);
                    const isAmong = given.some((one) => one.toString() === from.toString());
                    await uploadSelected(isAmong ? given : [from]);
                    return;
                }
                const dialog = { canSelectMany: true, openLabel: "Upload" };
                await upload((await vscode.window.showOpenDialog(dialog)) ?? [], from?.path ?? HOME);
            },
        ),
        // One dialog cannot choose files and folders everywhere.
        problems.command("cupola.files.uploadFolder", async (from?: FileNode) => {
            const dialog = { canSelectMany: true, canSelectFiles: false, canSelectFolders: true, openLabel: "Upload" };
            await upload((await vscode.window.showOpenDialog(dialog)) ?? [], from?.path ?? HOME);
        }),
        problems.command("cupola.files.download", async (node: FileNode) => {
            const to = await (node.isDirectory ? placeForDirectory(line(node.name)) : placeForFile(line(node.name)));
            if (to !== undefined) {
                const { sessionId, path, isDirectory: recursive } = node;
                const place = await withoutLinks(to);
                const params = { sessionId, path, localPath: place, recursive };
                await scope.transferring("files/download", dirname(place), (line) =>
                    transfer(problems, line, "files/download", params, `Downloading ${node.name}`),
                );
                show.done(`${node.name} is downloaded`);
            }
        }),
        problems.command("cupola.files.open", (node: FileNode) => {
            // Beside the chat panel, not over it.
            const isChat = vscode.window.tabGroups.activeTabGroup.activeTab?.input instanceof vscode.TabInputWebview;
            const column = isChat ? vscode.ViewColumn.One : vscode.ViewColumn.Active;
            return vscode.commands.executeCommand("vscode.open", sessionFile(node.sessionId, node.path), column);
        }),
        problems.command("cupola.files.newDirectory", async (parent?: FileNode) => {
            const sessionId = parent?.sessionId ?? (await sessionOf(view));
            const name = await show.input({
                title: "New directory",
                validateInput: (typed) => (typed === "" || isPlainName(typed) ? undefined : "A name, without slashes"),
            });
            if (name !== undefined && name !== "") {
                await vscode.workspace.fs.createDirectory(sessionFile(sessionId, join(parent?.path ?? HOME, name)));
            }
        }),
        problems.command("cupola.files.delete", remove),
    ];
}

/** Where a file goes to; the dialog asks before one is replaced. */
async function placeForFile(name: string): Promise<string | undefined> {
    const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
    const place = folder && vscode.Uri.joinPath(folder, name);
    const to = await vscode.window.showSaveDialog({ saveLabel: "Download", ...(place && { defaultUri: place }) });
    return to && localPath(to);
}

/** Where a directory goes to: into the folder that is chosen, beside what is there. */
async function placeForDirectory(name: string): Promise<string | undefined> {
    const dialog = { canSelectFiles: false, canSelectFolders: true, openLabel: "Download Here" };
    const [folder] = (await vscode.window.showOpenDialog(dialog)) ?? [];
    const to = folder && joinLocal(localPath(folder), name);
    const question = `${to} is there already. Files of the same names are replaced.`;
    const isThere = to !== undefined && (await exists(vscode.Uri.file(to)));
    const goesOn = !isThere || (await show.isConfirmed(question, "Download"));
    return goesOn ? to : undefined;
}

/** The same place by a path without links: a connection that is bound to a directory follows none. */
async function withoutLinks(path: string): Promise<string> {
    // What is to be made does not exist yet; its directory does.
    return realpath(path).catch(async () => joinLocal(await realpath(dirname(path)), basename(path)));
}

/** The session whose files are shown. */
async function sessionOf(view: FilesView): Promise<string> {
    const sessionId = await view.session();
    if (sessionId === undefined) {
        throw new CupolaError("sessionNotFound", "there is no session yet", {
            hint: "ask the agent something, or make a session first",
        });
    }
    return sessionId;
}

/** The daemon reads and writes files of the machine that it runs on. */
function localPath(uri: vscode.Uri): string {
    if (uri.scheme !== "file") {
        throw new CupolaError("localFile", `${uri.toString(true)} is not a file of the machine that Cupola runs on`);
    }
    return uri.fsPath;
}
