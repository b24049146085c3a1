// Where isolations are kept: in VS Code's secret storage, and nowhere else. One is in use per workspace; named ones are
// shared by all windows.

import * as vscode from "vscode";
import type { Isolation } from "cupola-client";

/** Isolations by the names a person gave them. */
export type NamedIsolations = Record<string, Isolation>;

const NAMED = "cupola.isolations";

export class Keys {
    readonly #inUse: string;

    constructor(private readonly secrets: vscode.SecretStorage) {
        const workspace = vscode.workspace.workspaceFile ?? vscode.workspace.workspaceFolders?.[0]?.uri;
        this.#inUse = `cupola.isolation:${workspace?.toString() ?? ""}`;
    }

    /** The isolation in use in this workspace. */
    async inUse(): Promise<Isolation> {
        return (await this.#read<Isolation>(this.#inUse)) ?? {};
    }

    async use(isolation: Isolation): Promise<void> {
        await this.#write(this.#inUse, isolation);
    }

    async named(): Promise<NamedIsolations> {
        return (await this.#read<NamedIsolations>(NAMED)) ?? {};
    }

    async name(name: string, isolation: Isolation): Promise<void> {
        await this.#write(NAMED, { ...(await this.named()), [name]: isolation });
    }

    async forget(name: string): Promise<void> {
        const { [name]: _, ...rest } = await this.named();
        await this.#write(NAMED, rest);
    }

    async #read<T>(key: string): Promise<T | undefined> {
        const text = await this.secrets.get(key);
        return text === undefined ? undefined : (JSON.parse(text) as T);
    }

    async #write(key: string, value: object): Promise<void> {
        await (Object.keys(value).length === 0
            ? this.secrets.delete(key)
            : this.secrets.store(key, JSON.stringify(value)));
    }
}
