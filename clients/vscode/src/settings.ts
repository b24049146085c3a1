// The settings, read when they are needed, so that a change counts from the next call on.

import { existsSync } from "node:fs";
import * as vscode from "vscode";
import type { IsolationModel, Target } from "cupola-client";
import { asTarget, DEFAULT_TARGET } from "./model/target";

const SECTION = "cupola";
/** What marks an azd project. */
const PROJECT_FILE = "azure.yaml";

/** The settings that decide which agent is called, and how. */
export const SCOPE_SETTINGS = [
    `${SECTION}.path`,
    `${SECTION}.target`,
    `${SECTION}.isolationModel`,
    `${SECTION}.bind`,
] as const;

/**
 * The `cupola` program: the one that is set, otherwise the one in the extension's package, otherwise the one on the `PATH`. A
 * setting of the machine: no workspace can name another one.
 */
export function program(extension: vscode.Uri): string {
    const packaged = vscode.Uri.joinPath(
        extension,
        "bin",
        process.platform === "win32" ? "cupola.exe" : "cupola",
    ).fsPath;
    return read<string>("path") || (existsSync(packaged) ? packaged : "cupola");
}

/** The target that is set; otherwise the azd project that is open; otherwise the emulator. */
export async function target(): Promise<Target> {
    return asTarget(read("target")) ?? (await openProject()) ?? DEFAULT_TARGET;
}

export async function setTarget(target: Target | undefined): Promise<void> {
    // A workspace that is not trusted has no say in the target, so what the user picks there is kept with the user.
    const isTrusted = vscode.workspace.isTrusted && vscode.workspace.workspaceFolders !== undefined;
    const place = isTrusted ? vscode.ConfigurationTarget.Workspace : vscode.ConfigurationTarget.Global;
    await vscode.workspace.getConfiguration(SECTION).update("target", target, place);
}

export function isolationModel(): IsolationModel | undefined {
    const model = read<"auto" | IsolationModel>("isolationModel");
    return model === "auto" ? undefined : model;
}

/** Shall the connection reach nothing but this agent and this isolation? */
export function bind(): boolean {
    return read<boolean>("bind") ?? true;
}

export function logKind(): "console" | "system" {
    return read<string>("logKind") === "system" ? "system" : "console";
}

export function logTail(): number {
    return read<number>("logTail") ?? 50;
}

function read<T>(name: string): T | undefined {
    return vscode.workspace.getConfiguration(SECTION).get<T>(name) ?? undefined;
}

async function openProject(): Promise<Target | undefined> {
    if (!vscode.workspace.isTrusted) {
        return undefined;
    }
    for (const folder of vscode.workspace.workspaceFolders ?? []) {
        if (folder.uri.scheme === "file" && (await exists(vscode.Uri.joinPath(folder.uri, PROJECT_FILE)))) {
            return { kind: "directory", path: folder.uri.fsPath };
        }
    }
    return undefined;
}

/** Is there a file or directory of this name? What cannot be looked at counts as one: it may be overwritten. */
export async function exists(uri: vscode.Uri): Promise<boolean> {
    return vscode.workspace.fs.stat(uri).then(
        () => true,
        (error: unknown) => !(error instanceof vscode.FileSystemError && error.code === "FileNotFound"),
    );
}
