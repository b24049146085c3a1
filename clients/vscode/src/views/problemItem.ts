// A failure as a row of a tree, in the place of what could not be listed.

import * as vscode from "vscode";
import type { CupolaError } from "cupola-client";
import { row } from "../show";

export function problemItem(failure: CupolaError): vscode.TreeItem {
    const item = row({ label: failure.message, description: failure.kind, tooltip: [failure.summary] });
    item.iconPath = new vscode.ThemeIcon("warning", new vscode.ThemeColor("list.warningForeground"));
    item.contextValue = "problem";
    item.command = { command: "cupola.refresh", title: "Try Again" };
    return item;
}
