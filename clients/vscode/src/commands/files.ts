// What can be done with files: upload, download, open, make a directory, delete.

import { basename } from "node:path";
import * as vscode from "vscode";
import { Failure } from "../failure";
import { sessionFile } from "../filesystem";
import { HOME, isPlainName, join } from "../model/files";
import type { Problems } from "../problem";
import type { Scope } from "../scope";
import type { FileNode, FilesView } from "../views/files";

export function fileCommands(problems: Problems, scope: Scope, view: FilesView): vscode.Disposable[] {
    const remove = async (node: FileNode) => {
        const what = node.isDirectory ? `directory ${node.path} with all that is in it` : node.path;
        if ((await vscode.window.showWarningMessage(`Delete ${what}?`, { modal: true }, "Delete")) === "Delete") {
            await vscode.workspace.fs.delete(sessionFile(node.sessionId, node.path), { recursive: node.isDirectory });
        }
    };
    return [
        // From the Files view with a directory or nothing; from the Explorer with a file, and with all that are selected.
        problems.command(
            "cupola.files.upload",
            async (from?: FileNode | vscode.Uri, selected?: (FileNode | vscode.Uri)[]) => {
                const given = [from, ...(selected ?? [])].filter((one) => one instanceof vscode.Uri);
                const directory = from === undefined || from instanceof vscode.Uri ? HOME : from.path;
                const chosen =
                    given.length > 0
                        ? given
                        : await vscode.window.showOpenDialog({ canSelectMany: true, openLabel: "Upload" });
                await upload(scope, view, unique(chosen ?? []), directory);
            },
        ),
        problems.command("cupola.files.download", async (node: FileNode) => {
            const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
            const place = folder && vscode.Uri.joinPath(folder, node.name);
            const to = await vscode.window.showSaveDialog({
                saveLabel: "Download",
                ...(place && { defaultUri: place }),
            });
            if (to !== undefined) {
                const line = await scope.line();
                const { sessionId, path } = node;
                await line.request("files/download", { sessionId, path, localPath: localPath(to) });
                vscode.window.setStatusBarMessage(`$(check) ${node.name} is downloaded`, 5_000);
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
            const name = await vscode.window.showInputBox({
                title: "New directory",
                ignoreFocusOut: true,
                validateInput: (typed) => (typed === "" || isPlainName(typed) ? undefined : "A name, without slashes"),
            });
            if (name !== undefined && name !== "") {
                await vscode.workspace.fs.createDirectory(sessionFile(sessionId, join(parent?.path ?? HOME, name)));
            }
        }),
        problems.command("cupola.files.delete", remove),
    ];
}

async function upload(scope: Scope, view: FilesView, files: vscode.Uri[], directory: string): Promise<void> {
    if (files.length === 0) {
        return;
    }
    const sessionId = await sessionOf(view);
    const line = await scope.line();
    const options = {
        location: vscode.ProgressLocation.Window,
        title: `Uploading ${files.length === 1 ? basename(files[0]?.path ?? "") : `${files.length} files`}`,
    };
    await vscode.window.withProgress(options, async () => {
        for (const file of files) {
            await line.request("files/upload", {
                sessionId,
                localPath: localPath(file),
                path: join(directory, basename(file.path)),
            });
        }
    });
    view.refresh();
}

/** The session whose files are shown. */
async function sessionOf(view: FilesView): Promise<string> {
    const sessionId = await view.session();
    if (sessionId === undefined) {
        throw new Failure("sessionNotFound", "there is no session yet", {
            hint: "ask the agent something, or make a session first",
        });
    }
    return sessionId;
}

/** The daemon reads and writes files of the machine that it runs on. */
function localPath(uri: vscode.Uri): string {
    if (uri.scheme !== "file") {
        throw new Failure("localFile", `${uri.toString(true)} is not a file of the machine that Cupola runs on`);
    }
    return uri.fsPath;
}

function unique(files: readonly vscode.Uri[]): vscode.Uri[] {
    return [...new Map(files.map((file) => [file.toString(), file])).values()];
}
