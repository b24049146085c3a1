// Switch isolation: a form of five fields, and the isolations that were named. Values are typed unseen and kept in VS Code's
// secret storage.

import * as vscode from "vscode";
import type { Isolation } from "cupola-client";
import type { Keys } from "../keys";
import { label } from "../model/harmless";
import { describe, type Field, FIELDS, shown, withField } from "../model/isolation";
import type { Problems } from "../problem";
import type { Scope } from "../scope";
import * as show from "../show";

/** A row of the form, and what choosing it does. The form stays open when that gives true. */
interface Row extends vscode.QuickPickItem {
    choose?: () => Promise<boolean>;
    forget?: () => Promise<void>;
}

const NAME: vscode.InputBoxOptions = {
    title: "Name this isolation",
    prompt: "Shown in this list; not a secret",
    placeHolder: "acme",
};
const FORGET: vscode.QuickInputButton = { iconPath: new vscode.ThemeIcon("trash"), tooltip: "Forget this name" };

export function isolationCommands(problems: Problems, scope: Scope, keys: Keys): vscode.Disposable[] {
    return [
        problems.command("cupola.switchIsolation", async () => {
            let stays = true;
            while (stays) {
                stays = await choose(await rows(scope, keys));
            }
        }),
    ];
}

async function rows(scope: Scope, keys: Keys): Promise<Row[]> {
    const [isolation, named] = await Promise.all([keys.inUse(), keys.named()]);
    const use = async (chosen: Isolation) => {
        await scope.isolate(chosen);
        return false;
    };
    const names = Object.entries(named).map(([name, saved]): Row => ({
        label: `$(organization) ${label(name)}`,
        description: label(describe(saved)),
        buttons: [FORGET],
        choose: () => use(saved),
        forget: () => keys.forget(name),
    }));
    const fields = FIELDS.map((field): Row => ({
        label: `$(${field.icon}) ${field.label}`,
        description: label(shown(field, isolation) ?? "not set"),
        detail: field.about,
        choose: () => fill(field, isolation, scope),
    }));
    const isSet = Object.keys(isolation).length > 0;
    const whole: Row[] = [
        {
            label: "$(save) Name this isolation…",
            description: "to switch back to it later",
            choose: () => nameIt(keys, isolation),
        },
        { label: "$(clear-all) Clear all", description: "the caller's own state", choose: () => use({}) },
    ];
    return [...section("Named", names), ...section("In use", fields), ...section("All of it", isSet ? whole : [])];
}

function section(title: string, rows: Row[]): Row[] {
    return rows.length === 0 ? [] : [{ label: title, kind: vscode.QuickPickItemKind.Separator }, ...rows];
}

/** Shows the form once. Gives whether to show it again. */
function choose(rows: Row[]): Promise<boolean> {
    const pick = vscode.window.createQuickPick<Row>();
    pick.title = "Cupola: whose state?";
    pick.placeholder = "Choose a field to fill in, or a named isolation";
    pick.matchOnDescription = true;
    pick.ignoreFocusOut = true;
    pick.items = rows;
    return new Promise<boolean>((resolve, reject) => {
        pick.onDidAccept(() => {
            const [row] = pick.selectedItems;
            // Resolved before hiding, which would resolve it otherwise.
            resolve(row?.choose?.() ?? false);
            pick.hide();
        });
        pick.onDidTriggerItemButton(({ item }) => {
            (item.forget?.() ?? Promise.resolve()).then(() => resolve(true), reject);
            pick.hide();
        });
        pick.onDidHide(() => resolve(false));
        pick.show();
    }).finally(() => pick.dispose());
}

async function fill(field: Field, isolation: Isolation, scope: Scope): Promise<boolean> {
    const value = await show.input({
        title: field.label,
        prompt: `${field.about}. Leave it empty to take it away.`,
        password: field.secret,
        // A secret that is set is not shown again, not even as dots that give its length away.
        ...(!field.secret && { value: isolation[field.name] ?? "" }),
        validateInput: (typed) => (typed === "" ? undefined : field.problem(typed)),
    });
    if (value === undefined) {
        return true;
    }
    await scope.isolate(withField(isolation, field.name, value));
    return true;
}

async function nameIt(keys: Keys, isolation: Isolation): Promise<boolean> {
    const name = await show.input(NAME);
    if (name === undefined || name.trim() === "") {
        return true;
    }
    await keys.name(name.trim(), isolation);
    return false;
}
