// Select target: the emulator, an agent of a project, an agent's own endpoint, a local port, or the folder's azd project.

import * as vscode from "vscode";
import {
    DEFAULT_LOCAL_PORT,
    longName,
    problemWithAgent,
    problemWithAgentEndpoint,
    problemWithEndpoint,
    problemWithPort,
} from "../model/target";
import type { Target } from "cupola-client";
import type { Problems } from "../problem";
import type { Scope } from "../scope";
import * as settings from "../settings";
import * as show from "../show";

interface Choice extends vscode.QuickPickItem {
    /** The target, or nothing when the person went away. */
    ask: () => Promise<Target | "automatic" | undefined>;
}

export function targetCommands(problems: Problems, scope: Scope): vscode.Disposable[] {
    return [
        problems.command("cupola.selectTarget", async () => {
            const { target } = await scope.line();
            const options = {
                title: "Cupola: which agent?",
                placeHolder: `Now: ${longName(target)}`,
            };
            const chosen = await (await show.pick(choices(scope), options))?.ask();
            if (chosen !== undefined) {
                await settings.setTarget(chosen === "automatic" ? undefined : chosen);
            }
        }),
    ];
}

function choices(scope: Scope): Choice[] {
    return [
        { label: "$(beaker) Emulator", description: "no account needed", ask: () => emulator(scope) },
        {
            label: "$(cloud) Agent of a project…",
            description: "project endpoint and agent name",
            ask: () => project(scope),
        },
        { label: "$(link) Agent endpoint…", description: "the agent's own URL", ask: agentEndpoint },
        { label: "$(plug) Local port…", description: "an agent you are running yourself", ask: local },
        { label: "$(folder) Workspace folder", description: "the azd project in it", ask: folder },
        {
            label: "$(sparkle) Automatic",
            description: "the open azd project, otherwise the emulator",
            ask: async () => "automatic",
        },
    ];
}

async function emulator(scope: Scope): Promise<Target | undefined> {
    const agent = await show.pickName(agentsOf(scope, { kind: "emulator" }), { title: "Emulated agent" });
    return agent === undefined ? undefined : { kind: "emulator", agent };
}

async function project(scope: Scope): Promise<Target | undefined> {
    const endpoint = await ask(
        "Project endpoint",
        "https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT",
        problemWithEndpoint,
    );
    if (endpoint === undefined) {
        return undefined;
    }
    const typed = "Type its name…";
    const found = agentsOf(scope, { kind: "project", endpoint, agent: "any" }).catch(() => []);
    const picked = await show.pickName(
        found.then((names) => [...names, typed]),
        { title: "Agent of the project" },
    );
    const agent = picked === typed ? await ask("Agent name", "my-agent", problemWithAgent) : picked;
    return agent === undefined ? undefined : { kind: "project", endpoint, agent };
}

async function agentEndpoint(): Promise<Target | undefined> {
    const shape =
        "https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT/agents/AGENT/endpoint/protocols/openai/responses";
    const url = await ask("Agent endpoint", shape, problemWithAgentEndpoint);
    return url === undefined ? undefined : { kind: "agentEndpoint", url };
}

async function local(): Promise<Target | undefined> {
    const port = await ask("Port on this machine", String(DEFAULT_LOCAL_PORT), problemWithPort);
    return port === undefined ? undefined : { kind: "local", port: Number(port) };
}

async function folder(): Promise<Target | undefined> {
    const folders = vscode.workspace.workspaceFolders ?? [];
    const chosen = folders.length > 1 ? await vscode.window.showWorkspaceFolderPick() : folders[0];
    if (chosen === undefined && folders.length === 0) {
        show.information("Cupola: open the folder of an azd project first.");
    }
    return chosen === undefined ? undefined : { kind: "directory", path: chosen.uri.fsPath };
}

/** The names of the agents that are where `target` is. */
async function agentsOf(scope: Scope, target: Target): Promise<string[]> {
    const visitor = scope.visitor();
    const { data } = await visitor.request("agents/list", { target }).finally(() => visitor.close());
    return data.map((agent) => String((agent as { name?: unknown }).name)).sort();
}

async function ask(
    title: string,
    placeHolder: string,
    problem: (text: string) => string | undefined,
): Promise<string | undefined> {
    const text = await show.input({
        title,
        placeHolder,
        validateInput: (typed) => (typed === "" ? undefined : problem(typed.trim())),
    });
    return text === undefined || text === "" ? undefined : text.trim();
}
