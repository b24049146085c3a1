// Wires the extension together. Nothing here waits for the daemon: it is found, or started, by the first call.

import * as vscode from "vscode";
import { fileCommands } from "./commands/files";
import { invokeCommands } from "./commands/invoke";
import { isolationCommands } from "./commands/isolation";
import { Logs } from "./commands/logs";
import { runCommands } from "./commands/runs";
import { sessionCommands } from "./commands/sessions";
import { statusCommands } from "./commands/status";
import { targetCommands } from "./commands/target";
import { SCHEME, SessionFiles } from "./filesystem";
import { Keys } from "./keys";
import { Conversation } from "./model/conversation";
import { label } from "./model/harmless";
import { participant } from "./participant";
import { Problems } from "./problem";
import { Scope } from "./scope";
import { Log } from "./show";
import { ChatPanel } from "./views/chat";
import { FilesView } from "./views/files";
import { RunsView } from "./views/runs";
import { SessionsView } from "./views/sessions";
import { StatusBar } from "./views/statusBar";

export function activate(context: vscode.ExtensionContext): void {
    const { version } = context.extension.packageJSON as { version: string };
    const log = new Log();
    const problems = new Problems(log);
    const keys = new Keys(context.secrets);
    const scope = new Scope(keys, version, context.extensionUri);
    const conversation = new Conversation();
    const panel = new ChatPanel(context.extensionUri, scope, conversation);
    const sessions = new SessionsView(scope);
    const files = new FilesView(scope);
    const runs = new RunsView(scope, () => conversation.isRunning);
    const documents = new SessionFiles(scope);
    const logs = new Logs(problems, scope);
    const filesTree = vscode.window.createTreeView("cupola.files", { treeDataProvider: files, showCollapseAll: true });
    const refresh = () => {
        sessions.refresh();
        files.refresh();
        runs.refresh();
    };

    context.subscriptions.push(
        log,
        scope,
        panel,
        sessions,
        files,
        runs,
        documents,
        logs,
        new StatusBar(scope),
        participant(context.extensionUri, scope),
        vscode.window.registerTreeDataProvider("cupola.sessions", sessions),
        filesTree,
        files.onTitle((session) => (filesTree.description = label(session ?? ""))),
        documents.onDidChangeFile(() => files.refresh()),
        vscode.workspace.registerFileSystemProvider(SCHEME, documents, { isCaseSensitive: true }),
        // What the views show belongs to one isolation, and a daemon that comes back may know more.
        scope.onLine(() => files.choose(undefined)),
        scope.onLine(refresh),
        scope.onFoundAgain(refresh),
        new vscode.Disposable(
            conversation.onChange((turn) => {
                if (turn !== undefined && turn.status !== "running") {
                    refresh();
                } else if (turn !== undefined && turn.runId === undefined) {
                    // It has only just been asked.
                    runs.refresh();
                }
            }),
        ),
        problems.command("cupola.refresh", refresh),
        ...invokeCommands(problems, scope, conversation, panel),
        ...isolationCommands(problems, scope, keys),
        ...targetCommands(problems, scope),
        ...sessionCommands(problems, scope, files, refresh),
        ...runCommands(problems, scope, runs, conversation, panel),
        ...fileCommands(problems, scope, files),
        ...statusCommands(problems, scope, log),
        ...logs.commands(),
    );
}
