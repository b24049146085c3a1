// Show daemon status: what the daemon says of itself, what this window is on, and what the daemon's doctor finds on the way
// there, in the output channel.

import type * as vscode from "vscode";
import type { Check, CheckStatus, DaemonStatusResponse, Line } from "cupola-client";
import { size } from "../model/files";
import { describe } from "../model/isolation";
import { longName } from "../model/target";
import type { Problems } from "../problem";
import type { Scope } from "../scope";
import type { Log } from "../show";

/** Of the column of names. */
const WIDTH = 20;

/** How a check is written down. */
const LEVELS: Record<CheckStatus, "info" | "warn" | "error" | "debug"> = {
    ok: "info",
    warning: "warn",
    error: "error",
    skipped: "debug",
};

export function statusCommands(problems: Problems, scope: Scope, log: Log): vscode.Disposable[] {
    return [
        problems.command("cupola.showStatus", async () => {
            const line = await scope.line();
            const status = await line.connection.request("daemon/status", {});
            const scopeRows: [string, string][] = [
                ["Target", longName(line.target)],
                ["Isolation", describe(line.isolation)],
                ["Connection", line.connection.server?.bound === true ? "bound to this target and isolation" : "open"],
            ];
            for (const [name, value] of [...rows(status), ...scopeRows]) {
                log.write("info", `${name.padEnd(WIDTH)}${value}`);
            }
            log.show();
            for (const check of await examined(scope, line)) {
                const hint = check.hint === undefined ? "" : ` Hint: ${check.hint}.`;
                log.write(LEVELS[check.status], `${check.name.padEnd(WIDTH)}${check.message}.${hint}`);
            }
        }),
    ];
}

/** The doctor looks at more than a bound connection may ask for. */
async function examined(scope: Scope, { target, isolation }: Line): Promise<Check[]> {
    const visitor = scope.visitor();
    return visitor
        .request("daemon/doctor", { target, isolation })
        .finally(() => visitor.close())
        .then(({ checks }) => checks);
}

function rows(status: DaemonStatusResponse): [string, string][] {
    const all: [string, string | undefined][] = [
        ["Socket", status.socket ?? undefined],
        ["State", status.stateDirectory],
        ["Started", new Date(status.startedAt).toLocaleString()],
        ["Connections", String(status.connections)],
        ["Runs", String(status.runs)],
        ["Saved partitions", status.partitions?.toString()],
        ["Memory", status.residentBytes == null ? undefined : size(status.residentBytes)],
        ["Emulator", status.emulator ?? "not started"],
        ["Daemon", `version ${status.version}, protocol ${status.protocolVersion}, process ${status.processId}`],
    ];
    return all.filter((row): row is [string, string] => row[1] !== undefined);
}
