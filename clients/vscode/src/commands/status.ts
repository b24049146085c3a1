// Show daemon status: what the daemon says of itself, in the output channel.

import * as vscode from "vscode";
import { describe } from "../model/isolation";
import { longName } from "../model/target";
import { size } from "../model/files";
import type { Problems } from "../problem";
import type { DaemonStatusResponse } from "../protocol";
import type { Scope } from "../scope";

/** Of the column of names. */
const WIDTH = 20;

export function statusCommands(problems: Problems, scope: Scope, log: vscode.LogOutputChannel): vscode.Disposable[] {
    return [
        problems.command("cupola.showStatus", async () => {
            const line = await scope.line();
            const status = await line.client.request("daemon/status", {});
            const scopeRows: [string, string][] = [
                ["Target", longName(line.target)],
                ["Isolation", describe(line.isolation)],
                ["Connection", line.client.server?.bound === true ? "bound to this target and isolation" : "open"],
            ];
            for (const [name, value] of [...rows(status), ...scopeRows]) {
                log.info(`${name.padEnd(WIDTH)}${value}`);
            }
            log.show(true);
        }),
    ];
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
